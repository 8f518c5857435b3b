//! A peer that speaks two-octet AS numbers only (RFC 6793 §4.2).

use std::net::Ipv4Addr;

use godwit_tests::attrs;
use godwit_tests::raw::{Raw, RawOpen};
use godwit_tests::router::{Announce, Router};
use godwit_tests::wait_for;

use crate::duo::{Duo, Options, RAW, RAW_ASN, US_TO_RAW, raw_open};

const BIG_ASN: u32 = 4_200_000_000;

fn options() -> Options {
    Options {
        they_speak_as4: false,
        they_announce: vec![Announce {
            as_path: vec![65020, BIG_ASN],
            ..Announce::plain("10.2.0.0/24")
        }],
        ..Options::default()
    }
}

fn their_path_is_whole_beyond_us<R: Router>() {
    let duo: Duo<R> = Duo::start(options());
    let update = duo.raw().expect_announcement("10.2.0.0/24");
    let expected = attrs::as_path(&[64512, 65002, 65020, BIG_ASN]);
    assert_eq!(update.attribute(2), Some((0x40, &expected[3..])));
    assert_eq!(
        update.attribute(17),
        None,
        "AS4_PATH is not for NEW speakers"
    );
}

fn a_path_with_large_numbers_is_whole_at_theirs<R: Router>() {
    let duo: Duo<R> = Duo::start(options());
    let mut raw = duo.raw();
    raw.send_update(&attrs::update(
        &[],
        &[
            attrs::origin(0),
            attrs::as_path(&[RAW_ASN, BIG_ASN, 65031]),
            attrs::next_hop(Ipv4Addr::new(10, 0, 1, 2)),
        ],
        &["10.9.0.0/24".parse().expect("a prefix")],
    ));
    let seen = wait_for("the route there", || duo.them.route("10.9.0.0/24"));
    // FRR, told not to negotiate, does not read AS4_PATH either.
    let big = if R::NAME == "frr" { 23456 } else { BIG_ASN };
    assert_eq!(seen.as_path, format!("64512 65003 {big} 65031"));
}

/// What other makes hide by merging: the bytes themselves.
fn gets_as_trans_and_as4_path_on_the_wire<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        they_announce: vec![Announce {
            as_path: vec![65020, BIG_ASN],
            ..Announce::plain("10.2.0.0/24")
        }],
        ..Options::default()
    });
    let open = RawOpen {
        as4: false,
        ..raw_open()
    };
    let mut raw = Raw::establish(&duo.raw_host, RAW, US_TO_RAW, &open);
    let update = raw.expect_announcement("10.2.0.0/24");
    let narrow = attrs::as_path_2(&[64512, 65002, 65020, 23456]);
    assert_eq!(update.attribute(2), Some((0x40, &narrow[3..])));
    let wide = attrs::as4_path(&[64512, 65002, 65020, BIG_ASN]);
    assert_eq!(update.attribute(17), Some((0xc0, &wide[3..])));
}

with_every_router!(
    their_path_is_whole_beyond_us,
    a_path_with_large_numbers_is_whole_at_theirs,
    gets_as_trans_and_as4_path_on_the_wire,
);
