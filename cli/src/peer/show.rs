//! One peer in full.

use godwit_proto::v1::{
    Capability, Counters, MessageCounters, Peer, PeerError, PeerFamily, PeerSource, Session,
    SessionKind, StaleRoutes, Transport,
};

use super::{asn, bfd, chain, limit, path, state_name};
use crate::failure::Failure;
use crate::output::{Out, Table, Tone, or_dash};
use crate::span;
use crate::status::family;

pub fn print(peer: &Peer, out: &mut Out) -> Result<(), Failure> {
    head(peer, out)?;
    if !peer.interface.is_empty() {
        interface(peer, out)?;
    }
    if let Some(session) = &peer.session {
        self::session(session, out)?;
    }
    path::print(peer, out)?;
    if let Some(session) = &peer.bfd {
        bfd::print(session, out)?;
    }
    if let Some(transport) = &peer.transport {
        self::transport(transport, out)?;
    }
    if let Some(timers) = &peer.timers {
        out.line(format!(
            "timers: hold {}, keepalive {}, connect retry {}",
            span::of(timers.hold_time.as_ref()),
            span::of(timers.keepalive.as_ref()),
            span::of(timers.connect_retry.as_ref()),
        ))?;
    }
    if !peer.waiting_for.is_empty() {
        let until = peer.waiting_until.as_ref();
        let until = until.map_or_else(String::new, |at| format!(", {} at most", span::until(at)));
        out.line(format!("waits for {}{until}", peer.waiting_for))?;
    }
    if let Some(stale) = &peer.stale {
        self::stale(stale, out)?;
    }
    if let Some(error) = &peer.last_error {
        last_error(error, out)?;
    }
    routes(peer, out)?;
    families(peer, out)?;
    if let Some(counters) = &peer.counters {
        self::counters(counters, out)?;
    }
    if let Some(session) = &peer.session {
        capabilities(session, out)?;
    }
    Ok(())
}

fn head(peer: &Peer, out: &mut Out) -> Result<(), Failure> {
    let kind = match peer.kind() {
        SessionKind::External => "external",
        SessionKind::Internal => "internal",
        SessionKind::InternalClient => "internal, route reflector client",
        SessionKind::Unspecified => "-",
    };
    let source = match peer.source() {
        PeerSource::Runtime => "added by command",
        PeerSource::Range => "called from a range of the configuration file",
        PeerSource::File | PeerSource::Unspecified => "from the configuration file",
    };
    let state = if peer.disabled {
        out.paint(Tone::Dim, "disabled")
    } else if peer.session.is_some() {
        out.paint(Tone::Good, state_name(peer.state()))
    } else {
        out.paint(Tone::Bad, state_name(peer.state()))
    };
    let description = match peer.description.as_str() {
        "" => String::new(),
        text => format!("   {text}"),
    };
    out.line(format!("{}{description}", peer.address))?;
    out.line(format!(
        "{state} for {}",
        span::age(peer.state_since.as_ref())
    ))?;
    out.line(format!(
        "{kind}: AS {}, ours {}   group {}   {source}{}",
        asn(peer.remote_asn),
        peer.local_asn,
        or_dash(&peer.group),
        if peer.passive { "   passive" } else { "" },
    ))
}

/// What is done to its routes besides policy, where it is not the usual.
fn routes(peer: &Peer, out: &mut Out) -> Result<(), Failure> {
    let mut words = Vec::new();
    if peer.weight > 0 {
        words.push(format!("weight {}", peer.weight));
    }
    if peer.blackhole_community {
        words.push("community blackhole honoured".into());
    }
    for f in &peer.families {
        if let Some(default) = &f.default_originate {
            let on = match default.condition.as_str() {
                "" => String::new(),
                condition => format!(" while there is a route to {condition}"),
            };
            words.push(format!("{} default route originated{on}", family(f.family)));
        }
    }
    if !peer.graceful_restart {
        words.push("not kept while it restarts".into());
    }
    if peer.graceful_shutdown != (peer.kind() == SessionKind::External) {
        let not = if peer.graceful_shutdown { "" } else { "not " };
        words.push(format!("community graceful-shutdown {not}honoured"));
    }
    match words.is_empty() {
        true => Ok(()),
        false => out.line(format!("routes: {}", words.join(", "))),
    }
}

/// Who was found on the interface, and what is odd there.
fn interface(peer: &Peer, out: &mut Out) -> Result<(), Failure> {
    if !peer.neighbour.is_empty() {
        out.line(format!(
            "found {} by router advertisement, {} ago",
            peer.neighbour,
            span::age(peer.neighbour_since.as_ref())
        ))?;
    }
    if !peer.note.is_empty() {
        let note = out.paint(Tone::Warn, &peer.note);
        out.line(note)?;
    }
    Ok(())
}

fn session(session: &Session, out: &mut Out) -> Result<(), Failure> {
    out.line(format!(
        "router id {}   {} to {}",
        session.remote_router_id, session.local_endpoint, session.remote_endpoint
    ))?;
    let families: Vec<&str> = session.families.iter().map(|f| family(*f)).collect();
    let mut agreed = vec![families.join(", ")];
    for (yes, name) in [
        (session.four_octet_as, "4-octet AS"),
        (session.extended_message, "extended messages"),
        (session.route_refresh, "route refresh"),
        (session.enhanced_route_refresh, "enhanced route refresh"),
        (session.extended_next_hop, "IPv4 over IPv6 next hops"),
    ] {
        if yes {
            agreed.push(name.into());
        }
    }
    out.line(format!("negotiated: {}", agreed.join(", ")))
}

fn transport(transport: &Transport, out: &mut Out) -> Result<(), Failure> {
    let mut parts = vec![format!("port {}, TTL {}", transport.port, transport.ttl)];
    match transport.ttl_security {
        0 => {}
        1 => parts.push("ttl-security, one hop".to_owned()),
        hops => parts.push(format!("ttl-security, {hops} hops")),
    }
    if transport.md5 {
        parts.push("TCP-MD5".to_owned());
    }
    for (name, value) in [
        ("local address", &transport.local_address),
        ("local interface", &transport.local_interface),
    ] {
        if !value.is_empty() {
            parts.push(format!("{name} {value}"));
        }
    }
    out.line(format!("transport: {}", parts.join(", ")))
}

/// What is kept of it while it restarts.
fn stale(stale: &StaleRoutes, out: &mut Out) -> Result<(), Failure> {
    let families: Vec<&str> = stale.families.iter().map(|f| family(*f)).collect();
    let awaited = match stale.back {
        true => "its End-of-RIB",
        false => "it is back",
    };
    let until = stale.until.as_ref();
    let until = until.map_or_else(String::new, |at| format!(", {} at most", span::until(at)));
    let text = format!(
        "restarts: its {} routes are kept until {awaited}{until}",
        families.join(" and ")
    );
    let text = out.paint(Tone::Warn, &text);
    out.line(text)
}

fn last_error(error: &PeerError, out: &mut Out) -> Result<(), Failure> {
    let text = out.paint(Tone::Warn, &error.text);
    out.line(format!(
        "last error: {text}, {} ago",
        span::age(error.at.as_ref())
    ))
}

fn families(peer: &Peer, out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    let mut table = Table::new(&[
        "FAMILY",
        "RECEIVED",
        "ACCEPTED",
        "REJECTED",
        "BEST",
        "ADVERTISED",
        "ADD-PATH",
        "END-OF-RIB",
        "IMPORT",
        "EXPORT",
    ]);
    for f in &peer.families {
        let end = match (f.negotiated, f.end_of_rib_received) {
            (false, _) => "not negotiated",
            (true, true) if f.refreshing => "refreshing",
            (true, true) => "received",
            (true, false) => "awaited",
        };
        table.row([
            family(f.family).into(),
            f.received.into(),
            f.accepted.into(),
            f.rejected.into(),
            f.best.into(),
            f.advertised.into(),
            or_dash(add_path(f)).into(),
            end.into(),
            chain(&f.import).into(),
            chain(&f.export).into(),
        ]);
    }
    out.table(&mut table)?;
    for f in &peer.families {
        limits(f, out)?;
    }
    for f in peer.families.iter().filter(|f| f.stale > 0) {
        let text = format!(
            "{}: {} of the routes received are stale",
            family(f.family),
            f.stale
        );
        let text = out.paint(Tone::Warn, &text);
        out.line(text)?;
    }
    for f in peer.families.iter().filter(|f| f.refused > 0) {
        let text = format!(
            "{}: {} paths not kept: too many of one prefix",
            family(f.family),
            f.refused
        );
        let text = out.paint(Tone::Warn, &text);
        out.line(text)?;
    }
    Ok(())
}

fn limits(f: &PeerFamily, out: &mut Out) -> Result<(), Failure> {
    let name = family(f.family);
    if let Some(limit) = &f.prefix_limit {
        let mut line = format!("{name}: prefix limit {}", limit::text(limit));
        if f.over_limit + f.dropped > 0 {
            let over = format!("; {} over it, {} not remembered", f.over_limit, f.dropped);
            line += &out.paint(Tone::Warn, &over);
        }
        out.line(line)?;
    }
    if let Some(limit) = &f.prefix_limit_out {
        out.line(format!("{name}: prefix limit out {}", limit::text(limit)))?;
    }
    Ok(())
}

/// Both directions of RFC 7911.
fn add_path(f: &PeerFamily) -> String {
    let mut ways = Vec::new();
    if f.add_path_receive {
        ways.push(format!("receive ({} prefixes)", f.prefixes));
    }
    if !f.add_path_send.is_empty() {
        ways.push(format!("send {}", f.add_path_send));
    }
    ways.join(", ")
}

fn counters(counters: &Counters, out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    let mut table = Table::new(&[
        "MESSAGES",
        "OPEN",
        "UPDATE",
        "NOTIFICATION",
        "KEEPALIVE",
        "REFRESH",
        "BYTES",
    ]);
    for (name, side) in [("received", &counters.received), ("sent", &counters.sent)] {
        let c: MessageCounters = side.unwrap_or_default();
        table.row([
            name.into(),
            c.open.into(),
            c.update.into(),
            c.notification.into(),
            c.keepalive.into(),
            c.route_refresh.into(),
            c.bytes.into(),
        ]);
    }
    out.table(&mut table)?;
    out.line(format!(
        "established {} times; malformed UPDATEs survived: {} treated as withdraw, {} attributes discarded",
        counters.established, counters.treated_as_withdraw, counters.attributes_discarded
    ))?;
    match counters.connections_refused {
        0 => Ok(()),
        n => out.line(format!(
            "{n} of its connections refused; see `godwit peer explain`"
        )),
    }
}

fn capabilities(session: &Session, out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    let mut table = Table::new(&["CAPABILITY", "OURS", "THEIRS"]);
    let mut all: Vec<&Capability> = session
        .local_capabilities
        .iter()
        .chain(&session.remote_capabilities)
        .collect();
    all.sort_by_key(|c| (c.code, c.text.as_str()));
    all.dedup();
    let yes = |side: &[Capability], c| if side.contains(c) { "yes" } else { "-" };
    for c in all {
        table.row([
            c.text.as_str().into(),
            yes(&session.local_capabilities, c).into(),
            yes(&session.remote_capabilities, c).into(),
        ]);
    }
    out.table(&mut table)
}
