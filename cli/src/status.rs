//! `godwit status` and `godwit stop`: the daemon as a whole.

use godwit_proto::v1::{
    Family, GetStatusRequest, GetStatusResponse, ListPeersRequest, RefusedConnections, StopRequest,
};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, Table, Tone, or_dash};
use crate::{drain, peer, span};

pub async fn run(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let status = client.daemon().get_status(GetStatusRequest {}).await?;
    let status = status.into_inner();
    if out.json {
        out.json(&status)?;
    } else {
        let peers = client.peers().list_peers(ListPeersRequest {}).await?;
        identity(&status, out)?;
        out.line("")?;
        peer::table(&peers.into_inner().peers, out)?;
        out.line("")?;
        tables(&status, out)?;
        problems(&status, out)?;
    }
    if status.problems.is_empty() {
        Ok(())
    } else {
        out.flush()?;
        Err(Failure::No)
    }
}

pub async fn stop(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.daemon().stop(StopRequest {}).await?.into_inner();
    if out.json {
        out.json(&answer)
    } else {
        out.line("the daemon ends its sessions and exits")
    }
}

fn identity(status: &GetStatusResponse, out: &mut Out) -> Result<(), Failure> {
    let id = status.identity.clone().unwrap_or_default();
    let configuration = status.configuration.clone().unwrap_or_default();
    out.line(format!(
        "{}   AS {}   router id {}   cluster id {}",
        or_dash(&id.node_name),
        id.asn,
        or_dash(&id.router_id),
        or_dash(&id.cluster_id),
    ))?;
    out.line(format!(
        "godwitd {}   pid {}   up {}   {} resident",
        status.version,
        status.pid,
        span::age(status.started.as_ref()),
        size(status.resident_bytes),
    ))?;
    out.line(format!(
        "configuration {}, read {} ago",
        or_dash(&configuration.file),
        span::age(configuration.loaded.as_ref()),
    ))?;
    let listening: Vec<&str> = status
        .listeners
        .iter()
        .filter(|l| l.error.is_empty())
        .map(|l| l.address.as_str())
        .collect();
    let listening = if listening.is_empty() {
        "nowhere".to_owned()
    } else {
        listening.join(", ")
    };
    out.line(format!("listening on {listening}"))?;
    if let Some(drain) = &status.drain {
        let text = out.paint(Tone::Warn, &drain::line(drain));
        out.line(text)?;
    }
    if let Some(until) = &status.updates_held_until {
        let left = std::time::SystemTime::try_from(*until)
            .ok()
            .and_then(|at| at.duration_since(std::time::SystemTime::now()).ok());
        let text = format!(
            "updates are held back until every peer has sent its routes, {} at most",
            span::short(left.unwrap_or_default())
        );
        let text = out.paint(Tone::Warn, &text);
        out.line(text)?;
    }
    if let Some(counts) = &status.peers {
        out.line(format!(
            "peers: {} established of {}, {} disabled",
            counts.established, counts.configured, counts.disabled
        ))?;
    }
    for range in &status.ranges {
        let refused = match range.refused {
            0 => String::new(),
            n => format!(", {n} connections refused"),
        };
        out.line(format!(
            "range {}: {} of {} neighbours{refused}",
            range.range, range.peers, range.limit
        ))?;
    }
    let refused = status.refused.unwrap_or_default();
    if refused != RefusedConnections::default() {
        out.line(format!(
            "connections refused: {} of strangers, {} too many from one address, {} beyond a limit",
            refused.strangers, refused.rate, refused.limit
        ))?;
    }
    Ok(())
}

fn tables(status: &GetStatusResponse, out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&["TABLE", "PREFIXES", "PATHS"]);
    for t in &status.tables {
        table.row([family(t.family).into(), t.prefixes.into(), t.paths.into()]);
    }
    out.table(&mut table)?;
    out.line("")?;
    match &status.fib {
        Some(fib) if fib.enabled => {
            let stale = match fib.stale {
                0 => String::new(),
                n => format!(", {n} of a former run"),
            };
            out.line(format!(
                "kernel: table {} metric {}: {} installed, {} pending, {} failed{stale}",
                fib.table, fib.metric, fib.installed, fib.pending, fib.failed
            ))?;
        }
        _ => out.line("kernel: off, no routes are installed")?,
    }
    for s in status.host_settings.iter().filter(|s| !s.ok) {
        let text = format!("{} is {}, wanted {}", s.name, s.value, s.wanted);
        let text = out.paint(Tone::Warn, &text);
        out.line(text)?;
    }
    Ok(())
}

fn problems(status: &GetStatusResponse, out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    if status.problems.is_empty() {
        let text = out.paint(Tone::Good, "healthy");
        return out.line(text);
    }
    for p in &status.problems {
        let subject = out.paint(Tone::Bad, &p.subject);
        let hint = match p.hint.as_str() {
            "" => String::new(),
            hint => format!("; {hint}"),
        };
        out.line(format!("{subject}: {}{hint}", p.what))?;
    }
    Ok(())
}

/// The configuration's name for a family.
pub fn family(value: i32) -> &'static str {
    match Family::try_from(value) {
        Ok(Family::Ipv4Unicast) => "ipv4-unicast",
        Ok(Family::Ipv6Unicast) => "ipv6-unicast",
        _ => "?",
    }
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}
