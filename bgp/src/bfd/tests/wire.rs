//! Control packets on the wire.

use proptest::prelude::*;

use super::super::packet::Malformed;
use super::*;

#[test]
fn a_packet_is_laid_out_as_in_4_1() {
    let packet = Packet {
        diagnostic: Diagnostic::DETECTION_TIME_EXPIRED,
        state: State::Up,
        poll: true,
        is_final: false,
        control_plane_independent: true,
        demand: false,
        detect_mult: 3,
        my_discriminator: NonZeroU32::new(0x0102_0304).unwrap(),
        your_discriminator: 0x0506_0708,
        desired_min_tx: 50 * MS,
        required_min_rx: SECOND,
        required_min_echo_rx: Duration::ZERO,
    };
    #[rustfmt::skip]
    let bytes = [
        0x21, 0xe8, 3, 24,
        1, 2, 3, 4,
        5, 6, 7, 8,
        0, 0, 0xc3, 0x50,
        0, 0x0f, 0x42, 0x40,
        0, 0, 0, 0,
    ];
    assert_eq!(packet.encode(), bytes);
    assert_eq!(Packet::decode(&bytes), Ok(packet));
    // What follows the length field's end is not ours.
    let longer = [bytes.as_slice(), &[1, 2, 3]].concat();
    assert_eq!(Packet::decode(&longer), Ok(packet));
}

#[test]
fn what_6_8_6_drops_is_dropped() {
    let good = says(State::Up).encode();
    let with = |at: usize, octet: u8| {
        let mut bytes = good;
        bytes[at] = octet;
        Packet::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0x40), Malformed::Version(2));
    assert_eq!(with(3, 23), Malformed::Length(23));
    assert_eq!(with(3, 25), Malformed::Short);
    assert_eq!(with(2, 0), Malformed::DetectMult);
    assert_eq!(with(1, 0xc1), Malformed::Multipoint);
    assert_eq!(with(7, 0), Malformed::MyDiscriminator);
    assert_eq!(with(11, 0), Malformed::YourDiscriminator);
    assert_eq!(with(1, 0xc4), Malformed::Length(24));
    assert_eq!(Packet::decode(&good[..23]), Err(Malformed::Short));
    assert_eq!(Packet::decode(&[]), Err(Malformed::Short));

    let mut authenticated = [good.as_slice(), &[1, 3, 1]].concat();
    authenticated[1] |= 4;
    authenticated[3] = 27;
    assert_eq!(
        Packet::decode(&authenticated),
        Err(Malformed::Authenticated)
    );
}

#[test]
fn an_interval_too_long_for_the_wire_is_the_longest() {
    let packet = Packet {
        desired_min_tx: 5000 * SECOND,
        ..says(State::Down)
    };
    let read = Packet::decode(&packet.encode()).unwrap();
    assert_eq!(read.desired_min_tx, Packet::MAX_INTERVAL);
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Packet::decode(&bytes) {
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
    }

    #[test]
    fn headers_that_nearly_fit_are_read_or_refused(
        flags in any::<u8>(), length in 22u8..30, rest in proptest::collection::vec(any::<u8>(), 20..26),
    ) {
        let bytes = [&[0x20, flags, 3, length], rest.as_slice()].concat();
        if let Ok(packet) = Packet::decode(&bytes) {
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
    }
}
