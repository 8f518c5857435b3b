//! What the demo does, step by step, and how it tells of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::kernel::{self, Routes};
use super::lab::{self, Lab, namespace};
use super::plan::{CUT, Node, Plan};
use super::sessions::{Pair, Sessions};
use super::traffic::{Count, INTERVAL_MS, Pings};
use crate::failure::Failure;
use crate::output::{Out, Tone};

/// For each step; they take a second or two.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Of pings around the cut, in seconds: one before it, the rest after.
const WATCHED: u64 = 6;

const PICTURE: &str = "
        tor1 ─────────────── tor2
       ╱ │ ╲ ╲             ╱ ╱ │ ╲        every host is cabled to both ToRs
  host11 host12         host21 host22
     │      │              │      │
   pod11  pod12          pod21  pod22";

pub async fn tell(plan: &Plan, lab: &mut Lab, keep: bool, out: &mut Out) -> Result<(), Failure> {
    let mut teller = Teller {
        start: Instant::now(),
        out,
    };
    teller.line(PICTURE)?;
    teller.line(&design(plan))?;
    teller.heading("Building")?;
    lab.build(plan)?;
    for node in &plan.nodes {
        lab.start_daemon(node, plan.reflector)?;
    }
    teller.event("10 namespaces, 13 cables and 6 daemons")?;

    let mut sessions = Sessions::default();
    let none = BTreeSet::new();
    let all = teller
        .until_sessions(plan, lab, &mut sessions, none, |up| up == plan.cables.len())
        .await?;
    teller
        .until_routes(plan, lab, "both ToRs in every host's kernel", by_both)
        .await?;
    teller.routes(plan, "host11")?;
    teller.routes(plan, "tor1")?;
    teller.all_reach_all(plan).await?;

    teller.heading("Cutting the cable between host11 and tor1, under pings")?;
    let pings = Pings::stream(plan, WATCHED)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (tor, host) = CUT;
    lab::plug(tor, host, false)?;
    teller.event("the cable is cut")?;
    let fewer = teller
        .until_sessions(plan, lab, &mut sessions, all, |up| up < plan.cables.len())
        .await?;
    teller
        .until_routes(plan, lab, "the other ToR instead", after_cut)
        .await?;
    teller.routes(plan, "host11")?;
    teller.losses(&pings.finish().await?)?;
    teller.all_reach_all(plan).await?;

    teller.heading("Putting it back")?;
    lab::plug(tor, host, true)?;
    teller
        .until_sessions(plan, lab, &mut sessions, fewer, |up| {
            up == plan.cables.len()
        })
        .await?;
    teller
        .until_routes(plan, lab, "both ToRs again", by_both)
        .await?;
    teller.all_reach_all(plan).await?;
    teller.heading("All as it should be.")?;
    if keep {
        teller.keep(plan, lab).await?;
    }
    Ok(())
}

fn design(plan: &Plan) -> String {
    if plan.reflector {
        "\n  one AS, 65000; both ToRs are route reflectors of the hosts".to_owned()
    } else {
        let of = |node: &Node| format!("{} AS {}", node.name, node.asn);
        let names: Vec<String> = plan.nodes.iter().map(of).collect();
        format!("\n  {}", names.join(", "))
    }
}

fn by_both(_host: &str, _other: &str, via: &[String]) -> bool {
    via == ["tor1", "tor2"]
}

/// How a host goes to another one's pods once the cable is cut: host11 has one
/// ToR left. To it the other ToR is the short way; the long one, over both, may
/// count as equal within one AS.
fn after_cut(host: &str, other: &str, via: &[String]) -> bool {
    if host == CUT.1 {
        via == ["tor2"]
    } else if other == CUT.1 {
        via.iter().any(|tor| tor == "tor2")
    } else {
        by_both(host, other, via)
    }
}

struct Teller<'a> {
    start: Instant,
    out: &'a mut Out,
}

impl Teller<'_> {
    fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.out.line(text)?;
        self.out.flush()
    }

    fn heading(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.out.paint(Tone::Good, text);
        self.line(&format!("\n{text}"))
    }

    fn event(&mut self, text: &str) -> Result<(), Failure> {
        let at = format!("{:6.2} s", self.start.elapsed().as_secs_f64());
        let at = self.out.paint(Tone::Dim, &at);
        self.line(&format!("{at}  {text}"))
    }

    /// Tells of each session that comes or goes, until `enough` of them stand.
    async fn until_sessions(
        &mut self,
        plan: &Plan,
        lab: &mut Lab,
        sessions: &mut Sessions,
        mut known: BTreeSet<Pair>,
        enough: impl Fn(usize) -> bool,
    ) -> Result<BTreeSet<Pair>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            lab.check_daemons()?;
            let up = sessions.up(plan, lab).await?;
            for pair in known.difference(&up) {
                self.event(&format!("session {} – {} down", pair.0, pair.1))?;
            }
            known.retain(|pair| up.contains(pair));
            for pair in up {
                if known.insert(pair.clone()) {
                    let count = format!("{} of {}", known.len(), plan.cables.len());
                    self.event(&format!("session {} – {} up ({count})", pair.0, pair.1))?;
                }
            }
            if enough(known.len()) {
                return Ok(known);
            }
            if Instant::now() > deadline {
                return Err(late("the sessions", lab));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until every host's kernel goes to every other host's pods as it
    /// should: `right(host, other, its ToRs)`.
    async fn until_routes(
        &mut self,
        plan: &Plan,
        lab: &mut Lab,
        what: &str,
        right: impl Fn(&str, &str, &[String]) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !routes_are(plan, &right)? {
            lab.check_daemons()?;
            if Instant::now() > deadline {
                self.routes(plan, CUT.1)?;
                return Err(late(what, lab));
            }
            tokio::time::sleep(POLL).await;
        }
        self.event(&format!("kernel routes: {what}"))
    }

    /// A node's kernel routes to the pods' prefixes.
    fn routes(&mut self, plan: &Plan, node: &str) -> Result<(), Failure> {
        let routes = kernel::routes(node)?;
        self.line(&format!("          {node}'s kernel:"))?;
        for host in plan.hosts().filter(|host| host.name != node) {
            let cells: Vec<String> = host
                .prefixes
                .iter()
                .map(|prefix| {
                    let via = routes.get(prefix).map_or_else(
                        || "no route".to_owned(),
                        |via| format!("via {}", via.join(" and ")),
                    );
                    format!("{:15} {via:18}", prefix.to_string())
                })
                .collect();
            let line = format!("            {}", cells.join("   "));
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Pings from each pod to each other until all are answered.
    async fn all_reach_all(&mut self, plan: &Plan) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        for (family, name) in ["IPv4", "IPv6"].into_iter().enumerate() {
            let mut told = None;
            loop {
                let counts = Pings::once(plan, family)?.finish().await?;
                let answered = counts.iter().filter(|count| count.received > 0).count();
                if told.replace(answered) != Some(answered) {
                    let all = counts.len();
                    let text =
                        format!("pings, pod to pod over {name}: {answered} of {all} answered");
                    self.event(&text)?;
                }
                if answered == counts.len() {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(Failure::Refused("not all pods reach each other".into()));
                }
            }
        }
        Ok(())
    }

    fn losses(&mut self, counts: &[Count]) -> Result<(), Failure> {
        let sent: u64 = counts.iter().map(|count| count.sent).sum();
        let lost = |count: &Count| count.sent - count.received.min(count.sent);
        let all: u64 = counts.iter().map(lost).sum();
        let worst = counts.iter().map(lost).max().unwrap_or(0);
        self.event(&format!(
            "{all} of {sent} pings were lost around the cut; the worst stream of {} was \
             without answer for {} ms",
            counts.len(),
            worst * INTERVAL_MS
        ))
    }

    async fn keep(&mut self, plan: &Plan, lab: &Lab) -> Result<(), Failure> {
        let socket = lab::socket(&lab.dir, "host11");
        let namespace = namespace("host11");
        self.line(&format!(
            "It stays until Ctrl-C. To look around:\n\
             \x20 godwit --socket {} status\n\
             \x20 nsenter --net=/run/netns/{namespace} ip route\n\
             \x20 {} holds the configurations and logs of {}",
            socket.display(),
            lab.dir.display(),
            plan.nodes
                .iter()
                .map(|node| node.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        ))?;
        std::future::pending().await
    }
}

fn routes_are(
    plan: &Plan,
    right: &impl Fn(&str, &str, &[String]) -> bool,
) -> Result<bool, Failure> {
    for host in plan.hosts() {
        let routes: Routes = kernel::routes(&host.name)?;
        for other in plan.hosts().filter(|other| other.name != host.name) {
            let wrong = |prefix| {
                let via = routes.get(prefix).map_or(&[][..], Vec::as_slice);
                !right(&host.name, &other.name, via)
            };
            if other.prefixes.iter().any(wrong) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The step that did not come to pass, and what the daemons complained of.
fn late(what: &str, lab: &Lab) -> Failure {
    let mut complaints = Vec::new();
    for name in ["tor1", "host11"] {
        let log = std::fs::read_to_string(lab.dir.join(format!("{name}.log")));
        let log = log.unwrap_or_default();
        let last = log.lines().rev().take(5).collect::<Vec<_>>();
        complaints.extend(last.iter().rev().map(|line| format!("  {name}: {line}")));
    }
    Failure::Refused(format!(
        "waited {} s in vain for {what}\n{}",
        PATIENCE.as_secs(),
        complaints.join("\n")
    ))
}
