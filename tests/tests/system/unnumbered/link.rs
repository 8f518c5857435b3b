//! What can happen to a link, and what is said about it.

use godwit_tests::godwit::Godwit;
use godwit_tests::{Host, Lab, wait_for};

use super::{is_established, link_local, peer, set_link_local, wait_established};

fn router(asn: u32, id: &str, interface: &str) -> String {
    format!(
        "[router]\nasn = {asn}\nrouter-id = \"{id}\"\n[fib]\nenabled = false\n\
         [[peer]]\ninterface = \"{interface}\"\nremote-as = \"external\"\nhold-time = \"3s\"\n\
         import = [\"accept-all\"]\nexport = [\"accept-all\"]\nconnect-retry = \"1s\"\n"
    )
}

#[track_caller]
fn wait_note(daemon: &Godwit, interface: &str, note: &str) {
    wait_for(&format!("`{note}` to be said"), || {
        let shown = peer(daemon, interface)["note"].as_str()?.to_owned();
        shown.contains(note).then_some(())
    });
}

fn pair(lab: &Lab) -> (Host, Host) {
    let (us, them) = (lab.host("us"), lab.host("them"));
    lab.link(&us, &[], &them, &[]);
    (us, them)
}

#[test]
fn a_link_may_come_late_go_and_get_another_name() {
    let lab = Lab::new();
    let (us_host, them_host) = (lab.host("us"), lab.host("them"));
    let us = Godwit::start(&us_host, &router(65001, "1.1.1.1", "to-them"));
    let _them = Godwit::start(&them_host, &router(65002, "2.2.2.2", "to-us"));
    wait_note(&us, "to-them", "there is no interface to-them");
    lab.link(&us_host, &[], &them_host, &[]);
    wait_established(&us, "to-them");
    wait_for("nothing to note", || {
        let shown = peer(&us, "to-them");
        shown["note"]
            .as_str()
            .unwrap_or("")
            .is_empty()
            .then_some(())
    });
    for _ in 0..3 {
        us_host.ip(&["link", "set", "to-them", "down"]);
        us_host.ip(&["link", "set", "to-them", "up"]);
    }
    wait_established(&us, "to-them");
    us_host.ip(&["link", "set", "to-them", "down"]);
    wait_note(&us, "to-them", "to-them is down");
    assert!(!is_established(&us, "to-them"));
    us_host.ip(&["link", "set", "to-them", "name", "other"]);
    wait_note(&us, "to-them", "there is no interface to-them");
    us_host.ip(&["link", "set", "other", "up"]);
    us.reload(&router(65001, "1.1.1.1", "other"));
    wait_established(&us, "other");
    // Gone with both its ends, and there again.
    us_host.ip(&["link", "del", "other"]);
    wait_note(&us, "other", "there is no interface other");
    lab.link(&us_host, &[], &them_host, &[]);
    us_host.ip(&["link", "set", "to-them", "down"]);
    us_host.ip(&["link", "set", "to-them", "name", "other"]);
    us_host.ip(&["link", "set", "other", "up"]);
    wait_established(&us, "other");
}

#[test]
fn silence_and_its_reasons_are_told() {
    let lab = Lab::new();
    let (us_host, them_host) = pair(&lab);
    let us = Godwit::start(&us_host, &router(65001, "1.1.1.1", "to-them"));
    wait_note(
        &us,
        "to-them",
        "waiting for a router advertisement on to-them",
    );
    let listed = us.cli(&["peer", "list"]).unwrap();
    assert!(
        listed.contains("waiting for a router advertisement"),
        "{listed}"
    );
    us_host.sysctl("net/ipv6/conf/to-them/disable_ipv6", "1");
    wait_note(&us, "to-them", "net.ipv6.conf.to-them.disable_ipv6");
    us_host.sysctl("net/ipv6/conf/to-them/disable_ipv6", "0");
    wait_note(&us, "to-them", "waiting for a router advertisement");
    them_host.ip(&["link", "set", "to-us", "down"]);
    wait_note(&us, "to-them", "to-them has no carrier");
}

#[test]
fn the_neighbour_may_change_its_address() {
    let lab = Lab::new();
    let (us_host, them_host) = pair(&lab);
    let us = Godwit::start(&us_host, &router(65001, "1.1.1.1", "to-them"));
    let _them = Godwit::start(&them_host, &router(65002, "2.2.2.2", "to-us"));
    wait_established(&us, "to-them");
    set_link_local(&them_host, "to-us", "fe80::77");
    wait_for("a session with the new address", || {
        let shown = peer(&us, "to-them");
        (shown["neighbour"] == "fe80::77%to-them" && is_established(&us, "to-them")).then_some(())
    });
}

#[test]
fn a_second_router_on_the_link_is_told_and_changes_nothing() {
    let lab = Lab::new();
    let switch = lab.switch("lan");
    let [us_host, them_host, odd_host] = ["us", "them", "odd"].map(|name| {
        let host = lab.host(name);
        lab.plug(&host, &[], &switch);
        host
    });
    let us = Godwit::start(&us_host, &router(65001, "1.1.1.1", "to-lan"));
    let _them = Godwit::start(&them_host, &router(65002, "2.2.2.2", "to-lan"));
    wait_established(&us, "to-lan");
    let theirs = link_local(&them_host, "to-lan");
    let _odd = Godwit::start(&odd_host, &router(65003, "3.3.3.3", "to-lan"));
    let odd = link_local(&odd_host, "to-lan");
    wait_note(&us, "to-lan", &odd);
    assert!(is_established(&us, "to-lan"));
    assert_eq!(peer(&us, "to-lan")["neighbour"], format!("{theirs}%to-lan"));
}

#[test]
fn a_peer_can_be_added_and_removed_while_running() {
    let lab = Lab::new();
    let (us_host, them_host) = pair(&lab);
    let us = Godwit::start(&us_host, "[router]\nasn = 65001\nrouter-id = \"1.1.1.1\"\n");
    let _them = Godwit::start(&them_host, &router(65002, "2.2.2.2", "to-us"));
    us.cli(&["peer", "add", "to-them", "--remote-as", "65002"])
        .unwrap();
    wait_established(&us, "to-them");
    us.cli(&["peer", "disable", "to-them"]).unwrap();
    wait_for("it to end", || {
        (!is_established(&us, "to-them")).then_some(())
    });
    us.cli(&["peer", "enable", "to-them"]).unwrap();
    wait_established(&us, "to-them");
    us.cli(&["peer", "remove", "to-them"]).unwrap();
    assert_eq!(peer(&us, "to-them"), serde_json::Value::Null);
}
