//! Two uplinks whose neighbours have the same link-local address.
//!
//! ```text
//!             to-a ── fe80::1 a ┐
//!   us 10.8.0.1                 ├ 10.9.0.1 (both)
//!             to-b ── fe80::1 b ┘
//! ```

use godwit_tests::godwit::Godwit;
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;

use super::{is_established, set_link_local, wait_established, wait_ping};

fn router(asn: u32, id: &str, prefix: &str, interfaces: &[&str]) -> String {
    let mut text = format!(
        "[router]\nasn = {asn}\nrouter-id = \"{id}\"\nmultipath-relax = true\n\
         [[originate]]\nprefix = \"{prefix}\"\n"
    );
    for interface in interfaces {
        text.push_str(&format!(
            "[[peer]]\ninterface = \"{interface}\"\nremote-as = \"external\"\n\
             import = [\"accept-all\"]\nexport = [\"accept-all\"]\nconnect-retry = \"1s\"\n"
        ));
    }
    text
}

/// The links that the kernel sends a prefix out by.
fn links_of(host: &Host, prefix: &str) -> Vec<String> {
    let routes = host.routes("-4", &[prefix]);
    let Some(id) = routes.first().and_then(|route| route["nhid"].as_u64()) else {
        return Vec::new();
    };
    let object = |id: u64| -> Option<Value> {
        let text = host.run(&["ip", "-j", "nexthop", "get", "id", &id.to_string()]);
        let mut all: Vec<Value> = serde_json::from_str(&text.ok()?).ok()?;
        all.pop()
    };
    let group = object(id).unwrap_or_default()["group"].take();
    let members = group.as_array().cloned().unwrap_or_default();
    let device = |member: &Value| Some(object(member["id"].as_u64()?)?["dev"].as_str()?.to_owned());
    let mut links: Vec<String> = members.iter().filter_map(device).collect();
    links.sort();
    links
}

#[test]
fn both_carry_traffic_and_one_takes_over() {
    let lab = Lab::new();
    let [us_host, a_host, b_host] = ["us", "a", "b"].map(|name| lab.host(name));
    us_host.ip(&["addr", "add", "10.8.0.1/32", "dev", "lo"]);
    for twin in [&a_host, &b_host] {
        twin.ip(&["addr", "add", "10.9.0.1/32", "dev", "lo"]);
        lab.link(&us_host, &[], twin, &[]);
        set_link_local(twin, "to-us", "fe80::1");
    }
    let us = Godwit::start(
        &us_host,
        &router(65001, "1.1.1.1", "10.8.0.1/32", &["to-a", "to-b"]),
    );
    let a = Godwit::start(
        &a_host,
        &router(65002, "2.2.2.2", "10.9.0.1/32", &["to-us"]),
    );
    let _b = Godwit::start(
        &b_host,
        &router(65003, "3.3.3.3", "10.9.0.1/32", &["to-us"]),
    );
    wait_established(&us, "to-a");
    wait_established(&us, "to-b");
    wait_for("both ways in the kernel", || {
        (links_of(&us_host, "10.9.0.1/32") == ["to-a", "to-b"]).then_some(())
    });
    wait_ping(&us_host, "10.8.0.1", "10.9.0.1");
    // One link goes: its session with it, at once and not by the hold timer.
    a_host.ip(&["link", "set", "to-us", "down"]);
    wait_for("the other link alone", || {
        (links_of(&us_host, "10.9.0.1/32") == ["to-b"]).then_some(())
    });
    assert!(is_established(&us, "to-b"));
    wait_for("the session on the dead link to end", || {
        (!is_established(&us, "to-a")).then_some(())
    });
    wait_ping(&us_host, "10.8.0.1", "10.9.0.1");
    // And it comes back by itself; IPv6 loses a link's addresses with it.
    a_host.ip(&["link", "set", "to-us", "up"]);
    set_link_local(&a_host, "to-us", "fe80::1");
    wait_for("both ways again", || {
        (links_of(&us_host, "10.9.0.1/32") == ["to-a", "to-b"]).then_some(())
    });
    assert!(is_established(&a, "to-us"));
}
