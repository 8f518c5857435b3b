//! Frames, OPEN, NOTIFICATION, ROUTE-REFRESH.

use bytes::{Bytes, BytesMut};

use crate::types::{AfiSafi, Asn, Family, RouterId};
use crate::wire::*;

fn split(bytes: &[u8]) -> Result<Option<Frame>, Notification> {
    split_frame(&mut BytesMut::from(bytes), MAX_MESSAGE)
}

fn header(length: u16, kind: u8) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(kind);
    bytes
}

fn fault(notification: &Notification) -> (u8, u8, &[u8]) {
    (notification.code, notification.subcode, &notification.data)
}

#[test]
fn frames_are_split_one_after_another_and_the_rest_stays() {
    let mut buf = BytesMut::from(keepalive().as_ref());
    buf.extend_from_slice(&header(23, 2));
    buf.extend_from_slice(&[0, 0]);
    let frame = split_frame(&mut buf, MAX_MESSAGE).unwrap().unwrap();
    assert_eq!(
        frame,
        Frame {
            kind: MessageType::Keepalive,
            body: Bytes::new()
        }
    );
    assert_eq!(split_frame(&mut buf, MAX_MESSAGE).unwrap(), None);
    buf.extend_from_slice(&[0, 0]);
    let frame = split_frame(&mut buf, MAX_MESSAGE).unwrap().unwrap();
    assert_eq!(frame.kind, MessageType::Update);
    assert_eq!(frame.body.as_ref(), [0; 4]);
    assert!(buf.is_empty());
}

#[test]
fn header_faults_have_their_code_and_data() {
    let mut bytes = header(19, 4);
    bytes[3] = 0;
    assert_eq!(fault(&split(&bytes).unwrap_err()), (1, 1, &[][..]));
    for (length, kind) in [
        (18, 4),
        (20, 4),
        (28, 1),
        (22, 2),
        (20, 3),
        (18, 5),
        (4097, 2),
    ] {
        let length: u16 = length;
        let error = split(&header(length, kind)).unwrap_err();
        assert_eq!(
            fault(&error),
            (1, 2, &length.to_be_bytes()[..]),
            "{length} {kind}"
        );
    }
    assert_eq!(fault(&split(&header(19, 6)).unwrap_err()), (1, 3, &[6][..]));
}

#[test]
fn only_open_and_keepalive_stay_small_with_extended_messages() {
    for kind in [2, 3, 5] {
        let split = split_frame(&mut BytesMut::from(&header(65535, kind)[..]), MAX_EXTENDED);
        assert_eq!(split.unwrap(), None);
    }
    for kind in [1, 4] {
        let split = split_frame(&mut BytesMut::from(&header(4097, kind)[..]), MAX_EXTENDED);
        assert_eq!(split.unwrap_err().subcode, 2);
    }
}

fn body_of(message: &Bytes, kind: MessageType) -> Bytes {
    let mut buf = BytesMut::from(message.as_ref());
    let frame = split_frame(&mut buf, MAX_EXTENDED).unwrap().unwrap();
    assert_eq!((frame.kind, buf.len()), (kind, 0));
    frame.body
}

fn every_capability() -> Vec<Capability> {
    let [v4, v6] = Family::ALL.map(Family::afi_safi);
    vec![
        Capability::MultiProtocol(v4),
        Capability::MultiProtocol(v6),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(v4, 2)]),
        Capability::ExtendedMessage,
        Capability::Role(3),
        Capability::GracefulRestart {
            restart: true,
            notification: true,
            time: 0xabc,
            families: vec![(v4, true), (v6, false)],
        },
        Capability::FourOctetAs(Asn(4_200_000_001)),
        Capability::AddPath(vec![(v4, 3)]),
        Capability::EnhancedRouteRefresh,
        Capability::Fqdn {
            host: Bytes::from_static(b"a"),
            domain: Bytes::from_static(b"b.c"),
        },
        Capability::Unknown {
            code: 199,
            data: Bytes::from_static(&[1, 2, 3]),
        },
    ]
}

#[test]
fn open_comes_back_as_it_went() {
    let open = Open::new(Asn(4_200_000_001), 90, RouterId(7), every_capability());
    assert_eq!(open.my_as, 23456);
    let body = body_of(&open.encode(), MessageType::Open);
    assert!(body[9] < 255);
    assert_eq!(Open::decode(&body).unwrap(), open);
    let bare = Open::new(Asn(65001), 0, RouterId(u32::MAX), vec![]);
    let body = body_of(&bare.encode(), MessageType::Open);
    assert_eq!(body.len(), 10);
    assert_eq!(Open::decode(&body).unwrap(), bare);
}

#[test]
fn open_takes_the_long_form_exactly_when_it_must() {
    for extra in 240..=260u16 {
        let split = extra / 2;
        let data = |n: u16| Bytes::from(vec![7; usize::from(n)]);
        let unknown = |n| Capability::Unknown {
            code: 200,
            data: data(n),
        };
        let capabilities = vec![unknown(split - 2), unknown(extra - split - 2)];
        let open = Open::new(Asn(1), 90, RouterId(7), capabilities);
        let body = body_of(&open.encode(), MessageType::Open);
        assert_eq!(body[9] == 255 && body[10] == 255, extra > 253, "{extra}");
        assert_eq!(Open::decode(&body).unwrap(), open);
    }
}

#[test]
fn long_form_is_read_whatever_its_first_length_says() {
    let body = [4, 0, 1, 0, 90, 1, 1, 1, 1, 9, 255, 0, 5, 2, 0, 2, 2, 0];
    let open = Open::decode(&Bytes::copy_from_slice(&body)).unwrap();
    assert_eq!(open.capabilities, [Capability::RouteRefresh]);
}

#[test]
fn open_faults_have_their_subcode() {
    let good = [4, 0, 1, 0, 90, 1, 1, 1, 1, 0];
    let with = |at: usize, value: &[u8]| {
        let mut body = good.to_vec();
        body.splice(
            at..(at + value.len()).min(body.len()),
            value.iter().copied(),
        );
        body
    };
    let cases: &[(&str, Vec<u8>, u8, &[u8])] = &[
        ("version 3", with(0, &[3]), 1, &[0, 4]),
        ("AS 0", with(1, &[0, 0]), 2, &[]),
        (
            "AS 0 in the capability",
            with(9, &[8, 2, 6, 65, 4, 0, 0, 0, 0]),
            2,
            &[],
        ),
        (
            "AS_TRANS without the capability",
            with(1, &[0x5b, 0xa0]),
            2,
            &[],
        ),
        ("identifier 0", with(5, &[0, 0, 0, 0]), 3, &[]),
        ("parameter 1", with(9, &[3, 1, 1, 0]), 4, &[]),
        (
            "parameters longer than the message",
            with(9, &[9, 2, 2, 2, 0]),
            0,
            &[],
        ),
        (
            "parameters shorter than the message",
            with(9, &[2, 2, 0, 0]),
            0,
            &[],
        ),
        (
            "capability longer than its parameter",
            with(9, &[4, 2, 2, 2, 9]),
            0,
            &[],
        ),
        (
            "capability 65 of three octets",
            with(9, &[7, 2, 5, 65, 3, 0, 0, 1]),
            0,
            &[],
        ),
    ];
    for (name, body, subcode, data) in cases {
        let error = Open::decode(&Bytes::copy_from_slice(body)).unwrap_err();
        assert_eq!(fault(&error), (2, *subcode, *data), "{name}");
    }
    assert!(Open::decode(&Bytes::copy_from_slice(&good)).is_ok());
}

#[test]
fn known_capability_of_the_wrong_length_is_kept_as_unknown() {
    let body = [4, 0, 1, 0, 90, 1, 1, 1, 1, 5, 2, 3, 1, 1, 9];
    let open = Open::decode(&Bytes::copy_from_slice(&body)).unwrap();
    let data = Bytes::from_static(&[9]);
    assert_eq!(open.capabilities, [Capability::Unknown { code: 1, data }]);
}

#[test]
fn capabilities_that_burst_the_open_are_left_out() {
    let big = Capability::Unknown {
        code: 200,
        data: Bytes::from(vec![0; 255]),
    };
    let too_big = Capability::Unknown {
        code: 201,
        data: Bytes::from(vec![0; 256]),
    };
    let mut capabilities = vec![too_big];
    capabilities.extend(std::iter::repeat_n(big, 20));
    capabilities.push(Capability::RouteRefresh);
    let message = Open::new(Asn(1), 90, RouterId(7), capabilities).encode();
    let open = Open::decode(&body_of(&message, MessageType::Open)).unwrap();
    assert!(message.len() <= MAX_MESSAGE);
    assert_eq!(open.capabilities.len(), 16);
    assert_eq!(open.capabilities.last(), Some(&Capability::RouteRefresh));
}

#[test]
fn notification_comes_back_and_says_what_it_is() {
    let cease = Notification::shutdown(notification::cease::ADMIN_SHUTDOWN, "back at\n5");
    let body = body_of(&cease.encode(), MessageType::Notification);
    let read = Notification::decode(&body).unwrap();
    assert_eq!(read, cease);
    assert_eq!(read.communication(), Some("back at\n5"));
    assert_eq!(
        read.to_string(),
        "Cease/Administrative Shutdown: back at\\n5"
    );
    let shown = |code, subcode| Notification::new(code, subcode).to_string();
    assert_eq!(shown(4, 0), "Hold Timer Expired");
    assert_eq!(shown(3, 99), "UPDATE Message Error/subcode 99");
    assert_eq!(shown(77, 3), "code 77/subcode 3");
}

#[test]
fn shutdown_text_is_cut_between_characters_at_255_octets() {
    let text = "é".repeat(200);
    let cease = Notification::shutdown(notification::cease::ADMIN_RESET, &text);
    assert_eq!(cease.communication().unwrap().len(), 254);
    assert!(
        Notification::shutdown(notification::cease::PEER_DECONFIGURED, "x")
            .data
            .is_empty()
    );
}

#[test]
fn shutdown_text_that_is_no_text_is_no_communication() {
    for data in [&[][..], &[5, b'a'], &[2, 0xff, 0xfe], &[0]] {
        let cease = Notification::with_data(6, 2, Bytes::copy_from_slice(data));
        assert_eq!(cease.communication(), None, "{data:?}");
    }
}

#[test]
fn notification_never_passes_the_message_size() {
    let big = Notification::with_data(3, 9, Bytes::from(vec![0; 60_000]));
    assert_eq!(big.encode().len(), MAX_MESSAGE);
}

#[test]
fn refresh_comes_back_and_knows_the_lengths_of_7313() {
    let afi_safi = AfiSafi { afi: 2, safi: 1 };
    for subtype in [0, 1, 2, 9] {
        let refresh = RouteRefresh { afi_safi, subtype };
        let body = body_of(&refresh.encode(), MessageType::RouteRefresh);
        assert_eq!(RouteRefresh::decode(&body, true).unwrap(), refresh);
    }
    let long = |subtype| Bytes::copy_from_slice(&[0, 2, subtype, 1, 1, 2]);
    assert!(RouteRefresh::decode(&long(0), true).is_ok());
    let error = RouteRefresh::decode(&long(1), true).unwrap_err();
    assert_eq!((error.code, error.subcode, error.data.len()), (7, 1, 25));
}

/// Its length is the body's to judge: RFC 7313 §5 has an error of its own.
#[test]
fn a_refresh_that_is_too_short_is_split_off_and_refused_by_its_subtype() {
    for (body, enhanced, code, subcode) in [
        (&[0, 1, 1][..], true, 7, 1),
        (&[0, 1, 2], true, 7, 1),
        (&[0, 1, 1], false, 1, 2),
        (&[0, 1, 0], true, 1, 2),
        (&[], true, 1, 2),
    ] {
        let length = 19 + body.len() as u16;
        let whole = [header(length, 5), body.to_vec()].concat();
        let frame = split(&whole).unwrap().unwrap();
        let error = RouteRefresh::decode(&frame.body, enhanced).unwrap_err();
        let data = match code {
            7 => whole,
            _ => length.to_be_bytes().to_vec(),
        };
        assert_eq!(fault(&error), (code, subcode, &data[..]), "{body:?}");
    }
}
