//! A listening socket that the kernel has no room for all TCP-MD5 keys of.

use std::io::ErrorKind;

use godwit_tests::bird::Bird;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{KEEPALIVE, Raw, RawOpen};
use godwit_tests::router::{Neighbour, Router, RouterSpec};
use godwit_tests::{Lab, PATIENCE, wait_for};

use super::{NONE, OUR_ASN, Place, RIGHT, THEIR_ASN, configuration, signs};

#[test]
fn a_key_that_the_listening_socket_has_no_room_for_costs_no_session_of_ours() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    us.write("right", "right-secret\n");
    us.sysctl("net/core/optmem_max", "4096");
    // Keys are set in order of the address; ours is the last.
    let fillers: String = (1..100)
        .map(|i| {
            format!("{NONE}\npassive = true\npassword-file = \"@right\"\n")
                .replace("THEM", &format!("address = \"9.0.0.{i}\""))
        })
        .collect();
    let godwit = Godwit::start(
        &us,
        &configuration(Place::Link4, &us, &format!("{fillers}{RIGHT}")),
    );
    let mut neighbour = Neighbour::new("10.0.0.1", OUR_ASN);
    signs(&mut neighbour);
    let _bird = Bird::start(
        &them,
        RouterSpec {
            asn: THEIR_ASN,
            router_id: "10.0.0.2".to_owned(),
            neighbours: vec![neighbour],
            announce: Vec::new(),
        },
    );
    godwit.wait_established("10.0.0.2");
    let Err(status) = godwit.cli(&["status"]) else {
        panic!("keys are missing");
    };
    assert!(status.contains("net.core.optmem_max is 4096"), "{status}");
    assert!(status.contains("cannot connect to us"), "{status}");
    let Err(why) = godwit.cli(&["peer", "explain", "9.0.0.99"]) else {
        panic!("it is not up");
    };
    assert!(why.contains("sysctl -w net.core.optmem_max="), "{why}");
}

/// The kernel lets in whoever does not sign where a socket has no key for the
/// address.
#[test]
fn an_unsigned_connection_is_refused_also_where_the_listening_socket_has_no_key() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    us.write("right", "right-secret\n");
    us.sysctl("net/core/optmem_max", "4096");
    let fillers: String = (1..100)
        .map(|i| {
            format!("{RIGHT}\npassive = true\n")
                .replace("THEM", &format!("address = \"9.0.0.{i}\""))
        })
        .collect();
    let ours = format!("{fillers}{RIGHT}\npassive = true");
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, &ours));
    let status = godwit.cli(&["status"]).expect_err("keys are missing");
    assert!(status.contains("net.core.optmem_max is 4096"), "{status}");
    let open = RawOpen::new(THEIR_ASN, "10.0.0.2");
    // All that a session needs, sent without waiting for an answer.
    let mut raw = Raw::connect(&them, "10.0.0.2", "10.0.0.1");
    raw.send_open(&open).expect("a connection");
    // It may be gone already.
    let _ = raw.send(KEEPALIVE, &[]);
    let heard = raw.read_message(PATIENCE).map_err(|e| e.kind());
    assert!(
        matches!(
            heard,
            Err(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
        ),
        "{heard:?}"
    );
    wait_for("the reason to be told", || {
        let why = godwit.cli(&["peer", "explain", "10.0.0.2"]).err()?;
        why.contains("no TCP-MD5 signature").then_some(())
    });
}
