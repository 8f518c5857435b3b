//! `godwit config diff`: the plan, and the routes as they are counted.

use std::io::{IsTerminal, Write};

use godwit_proto::v1::diff_config_response::Event;
use godwit_proto::v1::{ConfigPlan, DiffConfigRequest, DryRunProgress, DryRunResult, PeerPlan};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, Table};

/// What `-o json` tells.
#[derive(Debug, Default, serde::Serialize)]
struct Told {
    plan: ConfigPlan,
    routes: Option<DryRunResult>,
}

pub async fn run(
    request: DiffConfigRequest,
    routes: bool,
    client: &Client,
    out: &mut Out,
) -> Result<(), Failure> {
    let stream = client.config().diff_config(request).await;
    let mut stream = stream.map_err(super::of_file)?.into_inner();
    let mut told = Told::default();
    let mut progress = Progress::default();
    while let Some(message) = stream.message().await? {
        match message.event {
            Some(Event::Plan(plan)) => {
                if !out.json {
                    print(&plan, out)?;
                    out.flush()?;
                }
                told.plan = plan;
                if !routes {
                    break;
                }
            }
            Some(Event::Progress(at)) => progress.show(&at)?,
            Some(Event::Result(result)) => {
                progress.clear()?;
                if !out.json {
                    count(&result, out)?;
                }
                told.routes = Some(result);
            }
            None => {}
        }
    }
    if out.json {
        return out.json(&told);
    }
    Ok(())
}

fn print(plan: &ConfigPlan, out: &mut Out) -> Result<(), Failure> {
    for warning in &plan.warnings {
        eprintln!("{warning}");
    }
    let mut lines = Vec::new();
    let mut each = |sign: &str, what: &str, names: &[String]| {
        lines.extend(names.iter().map(|name| format!("{sign} {what} {name}")));
    };
    each("-", "peer", &plan.peers_removed);
    each("+", "peer", &plan.peers_added);
    each("-", "route", &plan.routes_withdrawn);
    each("+", "route", &plan.routes_originated);
    each("~", "policy", &plan.policies);
    lines.extend(plan.peers_changed.iter().map(peer));
    let keys = plan.keys.iter();
    lines.extend(keys.map(|key| format!("~ {}: {}", key.key, key.effect)));
    if lines.is_empty() {
        lines.push(format!("nothing differs from revision {}", plan.revision));
    }
    for line in lines {
        out.line(line)?;
    }
    for what in &plan.by_command {
        out.line(format!("  by command, and stays so: {what}"))?;
    }
    Ok(())
}

fn peer(plan: &PeerPlan) -> String {
    let keys: Vec<String> = (plan.keys.iter())
        .map(|key| format!("\n    {}: {}", key.key, key.effect))
        .collect();
    let how = match &plan.restarts_for[..] {
        [] => String::new(),
        keys => format!(" restarts for {}", keys.join(", ")),
    };
    format!("~ peer {}{how}{}", plan.peer, keys.concat())
}

fn count(result: &DryRunResult, out: &mut Out) -> Result<(), Failure> {
    if result.prefixes == 0 {
        return Ok(());
    }
    out.line("")?;
    if result.peers.is_empty() {
        let text = format!("of {} prefixes no route would change", result.prefixes);
        return out.line(text);
    }
    let mut table = Table::new(&[
        "PEER",
        "ACCEPTED",
        "REJECTED",
        "EDITED",
        "ADVERTISED",
        "WITHDRAWN",
        "CHANGED",
    ]);
    for peer in &result.peers {
        table.row([
            peer.peer.as_str().into(),
            format!("+{}", peer.newly_accepted).into(),
            format!("-{}", peer.newly_rejected).into(),
            format!("~{}", peer.accepted_changed).into(),
            format!("+{}", peer.newly_advertised).into(),
            format!("-{}", peer.withdrawn).into(),
            format!("~{}", peer.advertised_changed).into(),
        ]);
    }
    out.table(&mut table)?;
    let (prefixes, changed) = (result.prefixes, result.best_changed);
    out.line(format!(
        "of {prefixes} prefixes {changed} would have another best path"
    ))?;
    if result.changed_meanwhile > 0 {
        out.line(format!(
            "{} routes changed while they were counted: the figures are about so many off",
            result.changed_meanwhile
        ))?;
    }
    Ok(())
}

/// A line on a terminal that is written over.
#[derive(Debug, Default)]
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, at: &DryRunProgress) -> Result<(), Failure> {
        let mut terminal = std::io::stderr();
        if terminal.is_terminal() {
            self.shown = true;
            let percent = (at.done * 100).checked_div(at.total).unwrap_or(100);
            write!(terminal, "\rcounting routes: {} %", percent.min(100))?;
            terminal.flush()?;
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.shown) {
            write!(std::io::stderr(), "\r\x1b[K")?;
        }
        Ok(())
    }
}
