//! IPv4 over IPv6 next hops (RFC 8950), and sessions on links that have no
//! addresses but the link-local ones that every interface makes for itself.

mod extended;
mod flood;
mod link;
mod twins;
mod with;

use godwit_tests::godwit::Godwit;
use godwit_tests::{Host, wait_for};
use serde_json::Value;

/// The peer on an interface, as the API shows it.
fn peer(daemon: &Godwit, interface: &str) -> Value {
    let peers = daemon.json(&["peer", "list"]);
    let peers = peers["peers"].as_array().or_else(|| peers.as_array());
    let found = peers.and_then(|all| all.iter().find(|p| p["address"] == interface));
    found.cloned().unwrap_or_default()
}

fn is_established(daemon: &Godwit, interface: &str) -> bool {
    let state = peer(daemon, interface)["state"].to_string().to_lowercase();
    state.contains("established")
}

#[track_caller]
fn wait_established(daemon: &Godwit, interface: &str) {
    wait_for(&format!("the session on {interface}"), || {
        is_established(daemon, interface).then_some(())
    });
}

/// The link-local address of an interface, without its length.
#[track_caller]
fn link_local(host: &Host, interface: &str) -> String {
    wait_for("a link-local address", || {
        let shown = host.ip(&[
            "-6", "-br", "addr", "show", "dev", interface, "scope", "link",
        ]);
        let address = shown.split_whitespace().find(|word| word.contains(':'))?;
        Some(address.split('/').next()?.to_owned())
    })
}

/// Instead of what the kernel made of the hardware address.
fn set_link_local(host: &Host, interface: &str, address: &str) {
    host.ip(&["link", "set", interface, "addrgenmode", "none"]);
    host.ip(&["-6", "addr", "flush", "dev", interface]);
    host.ip(&[
        "addr",
        "add",
        &format!("{address}/64"),
        "dev",
        interface,
        "nodad",
    ]);
}

fn pings_from(host: &Host, source: &str, target: &str) -> bool {
    let ping = ["ping", "-nqc1", "-W1", "-I", source, target];
    host.run(&ping).is_ok()
}

#[track_caller]
fn wait_ping(host: &Host, source: &str, target: &str) {
    wait_for(&format!("a ping from {source} to {target}"), || {
        pings_from(host, source, target).then_some(())
    });
}
