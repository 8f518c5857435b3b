//! From facts to findings, the likeliest first; pure.

use std::io::ErrorKind;

use godwit_bgp::Family;
use godwit_bgp::session::State;

use super::wait::{excess, nobody, waiting};
use super::words::{ago, held_elsewhere, message, notification};
use super::{Facts, Finding, Interface, Way};
use crate::netstat::Drops;
use crate::status::{Attempt, AttemptFailure, Rejection};

pub(super) fn finding(
    reason: &'static str,
    what: impl Into<String>,
    evidence: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        reason,
        what: what.into(),
        evidence: evidence.into(),
        advice: advice.into(),
    }
}

/// Never empty for a peer that is not up.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let status = &facts.status;
    if status.state == State::Established {
        return families(facts).into_iter().collect();
    }
    if status.disabled {
        return vec![disabled(facts)];
    }
    if let Some(only) = excess(facts).or_else(|| nobody(facts)) {
        return vec![only];
    }
    let mut found = here(facts);
    found.extend(way(facts));
    found.extend(held_elsewhere(facts));
    // An older session's end explains less than what happens to attempts now.
    let failed = facts.clues.attempt.as_ref();
    let last = status
        .last_error
        .as_ref()
        .filter(|(_, e)| e.state != State::Connect);
    match (failed, last) {
        (Some(attempt), Some((at, error))) if attempt.at < *at => {
            found.push(notification(facts, *at, error));
            found.push(self::attempt(facts, attempt));
        }
        (attempt, last) => {
            found.extend(attempt.map(|a| self::attempt(facts, a)));
            found.extend(refused(facts));
            found.extend(signatures(facts));
            found.extend(last.map(|(at, error)| notification(facts, *at, error)));
        }
    }
    // One cause has one finding, whichever showed it first.
    let mut seen = Vec::new();
    found.retain(|f| {
        let new = !seen.contains(&f.reason);
        seen.push(f.reason);
        new
    });
    found.extend(waiting(facts));
    if found.is_empty() {
        found.push(finding(
            "under-way",
            "nothing is known to be wrong",
            format!("the session is in {}", status.state),
            "ask again in a few seconds",
        ));
    }
    found
}

fn disabled(facts: &Facts) -> Finding {
    let name = facts.status.name;
    if facts.status.config.disabled {
        return finding(
            "disabled",
            "it is disabled in the configuration",
            "`disabled = true`",
            format!("take that out and reload, or `godwit peer enable {name}`"),
        );
    }
    finding(
        "disabled",
        "it was disabled by command",
        "the configuration has it enabled",
        format!("`godwit peer enable {name}`"),
    )
}

/// An up session that carries less than was configured.
fn families(facts: &Facts) -> Option<Finding> {
    let status = &facts.status;
    let agreed = status.session.as_ref()?.negotiated.families;
    let missing: Vec<&str> = Family::ALL
        .into_iter()
        .filter(|f| status.config.families.get(f.index()) == Some(&true))
        .filter(|f| agreed.get(f.index()) != Some(&true))
        .map(Family::name)
        .collect();
    (!missing.is_empty()).then(|| {
        finding(
            "family-not-negotiated",
            format!("up, without {}", missing.join(", ")),
            "its OPEN did not offer that",
            "activate the family for us there, or name only the others here",
        )
    })
}

/// What is wrong on this host.
fn here(facts: &Facts) -> Vec<Finding> {
    let config = &facts.status.config;
    let mut found = Vec::new();
    if let Some(name) = &config.local_interface {
        let wrong = match facts.kernel.interface {
            Interface::Fine => None,
            Interface::Missing => Some("is not there"),
            Interface::Down => Some("is down, or has no carrier"),
        };
        found.extend(wrong.map(|wrong| {
            finding(
                "local-interface",
                format!("the interface {name} {wrong}"),
                "the kernel's list of links",
                format!("see `ip link show {name}`, or change `local-interface`"),
            )
        }));
    }
    if let Some(local) = config
        .local_address
        .filter(|_| !facts.kernel.has_local_address)
    {
        found.push(finding(
            "local-address",
            format!("{local} is no address of this host"),
            format!("`local-address = \"{local}\"`, and the kernel's list of addresses"),
            "give the address to an interface, or change `local-address`",
        ));
    }
    let address = facts.status.address;
    let ours = |l: &&crate::listener::ListenerStatus| l.address.is_ipv4() == address.is_ipv4();
    let listening = facts.listeners.iter().filter(ours);
    if let Some((listener, why)) = listening.clone().find_map(|l| Some((l, l.error.as_ref()?))) {
        found.push(finding(
            "not-listening",
            format!("we do not listen on {}", listener.address),
            why.clone(),
            "stop the other BGP daemon (`ss -ltnp sport = :179`) and reload, or change \
             `[router] listen`",
        ));
    } else if config.passive && listening.clone().next().is_none() {
        found.push(finding(
            "not-listening",
            "we wait for it, and listen nowhere for its family",
            "`passive`, and `[router] listen`",
            "add an address of its family to `[router] listen`",
        ));
    }
    let missing = listening.clone().find_map(|l| {
        let mut missing = l.keys_missing.iter();
        missing.find(|(peers, _)| peers.contains(&address))
    });
    if let Some((_, why)) = missing {
        found.push(finding(
            "md5-key-not-set",
            "it cannot connect to us: its TCP-MD5 key is not on the listening socket",
            why.clone(),
            "raise the limit and reload; or have us connect to it",
        ));
    }
    found
}

/// Whether packets get there at all.
fn way(facts: &Facts) -> Option<Finding> {
    let status = &facts.status;
    let address = status.address;
    match &facts.kernel.way {
        Way::None(why) => Some(finding(
            "no-route",
            format!("this host has no route to {address}"),
            why.clone(),
            format!("see `ip route get {address}`; is the interface to it up, with an address?"),
        )),
        Way::Through(via, interface) if status.config.external && status.config.on_link() => {
            let ttl = status.config.ttl();
            Some(finding(
                "not-on-link",
                "it is not on a link of ours",
                format!(
                    "the way to it leads through {via} on {interface}; packets leave with TTL {ttl}"
                ),
                if status.config.ttl_security.is_some() {
                    "give `ttl-security` the number of hops, here and there"
                } else {
                    "set `multihop` to the number of hops, here and there"
                },
            ))
        }
        Way::Through(..) | Way::OnLink(_) | Way::Unknown => None,
    }
}

fn attempt(facts: &Facts, attempt: &Attempt) -> Finding {
    let status = &facts.status;
    let target = std::net::SocketAddr::new(status.address, status.config.port);
    let when = ago(facts.now, attempt.at);
    let (kind, text) = match &attempt.failure {
        AttemptFailure::Silence => return silence(facts, attempt, &when),
        AttemptFailure::Error(kind, text) => (*kind, text),
    };
    let evidence = format!("connecting to {target} {when}: {text}");
    match kind {
        ErrorKind::ConnectionRefused => finding(
            "refused",
            "connection refused",
            evidence,
            format!(
                "the host is there, but nothing listens on port {} for us: is its BGP daemon \
                 running, does it listen on {}, does a firewall reject us?",
                status.config.port, status.address
            ),
        ),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => finding(
            "unreachable",
            "it cannot be reached",
            evidence,
            format!(
                "is it on? see `ip neigh show {0}`, `ping {0}`, and the routes on the way",
                status.address
            ),
        ),
        ErrorKind::TimedOut => silence(facts, attempt, &when),
        _ => finding(
            "cannot-connect",
            "we cannot connect",
            evidence,
            "the evidence names what failed",
        ),
    }
}

/// Nothing came back, or nothing that the kernel let through.
fn silence(facts: &Facts, attempt: &Attempt, when: &str) -> Finding {
    let status = &facts.status;
    let signed = status.config.password.is_some();
    let Attempt { dropped, drops, .. } = attempt;
    let evidence = |why: &str| {
        format!(
            "the attempt {when} had no answer but {dropped} segments that the kernel dropped: {why}"
        )
    };
    if *dropped > 0 && drops.ttl > 0 {
        return ttl(&evidence("their TTL was too low (TCPMinTTLDrop)"));
    }
    if *dropped > 0 && drops.wrong > 0 {
        return other_key(&evidence(
            "the signature was of another key (TCPMD5Failure)",
        ));
    }
    if *dropped > 0 && drops.unsigned > 0 {
        return not_signed(&evidence("they were not signed (TCPMD5NotFound)"));
    }
    let evidence = format!(
        "the attempt to connect to port {} {when} had no answer",
        status.config.port
    );
    if signed {
        return finding(
            "no-answer",
            "no answer, as with another TCP-MD5 key",
            evidence,
            "compare the key there with our `password-file`; if they are alike: is the host on, \
             does a firewall drop our segments?",
        );
    }
    let guarded = status.config.ttl_security.is_none();
    finding(
        "no-answer",
        "no answer",
        evidence,
        format!(
            "is the host on, does a firewall drop our segments? A neighbour that wants TCP-MD5{} \
             does not answer either",
            if guarded { " or TTL security" } else { "" }
        ),
    )
}

fn refused(facts: &Facts) -> Option<Finding> {
    let (at, why) = facts.clues.refusal.as_ref()?;
    let when = ago(facts.now, *at);
    let evidence = format!(
        "{} connections of its own were closed, the last {when}: {why}",
        facts.clues.refused
    );
    let advice = match why {
        Rejection::Ttl { .. } => return Some(ttl(&evidence)),
        Rejection::Unsigned => "set the key of password-file there too",
        Rejection::FirstSegmentUnknown => "it sent before we could look: it will try again",
        Rejection::Rate => {
            "see its log for why it comes back so soon; `[router] connection-rate` is how often it may"
        }
        Rejection::Interface(_) => {
            "see `ip route get` here and there for the interface; change `local-interface`, or the routes"
        }
        Rejection::System(_) => "the evidence names what failed",
    };
    Some(finding(
        "connection-refused-here",
        "we refuse its connections",
        evidence,
        advice,
    ))
}

/// What the whole host dropped: a sign where this peer could be meant.
fn signatures(facts: &Facts) -> Vec<Finding> {
    let Drops {
        unsigned,
        unexpected,
        wrong,
        ttl: low,
    } = facts.drops;
    let config = &facts.status.config;
    let evidence = |n: u64, what: &str| {
        format!(
            "since it was last up, this host dropped {n} segments {what}; it does not count them by neighbour"
        )
    };
    let mut found = Vec::new();
    if config.password.is_some() {
        if wrong > 0 {
            found.push(other_key(&evidence(
                wrong,
                "signed with another key (TCPMD5Failure)",
            )));
        }
        if unsigned > 0 {
            found.push(not_signed(&evidence(
                unsigned,
                "without a signature (TCPMD5NotFound)",
            )));
        }
    } else if unexpected > 0 {
        found.push(finding(
            "md5-unexpected",
            "it seems to sign its segments, and we have no key for it",
            evidence(
                unexpected,
                "with a signature that nobody expected (TCPMD5Unexpected)",
            ),
            "set `password-file` to a file with the key that it has",
        ));
    }
    if config.ttl_security.is_some() && low > 0 {
        found.push(ttl(&evidence(
            low,
            "with a TTL that is too low (TCPMinTTLDrop)",
        )));
    }
    found
}

fn other_key(evidence: &str) -> Finding {
    finding(
        "md5-mismatch",
        "its TCP-MD5 key is another than ours",
        evidence,
        "compare the key there with the file of `password-file`, blanks included; reload after a change",
    )
}

fn not_signed(evidence: &str) -> Finding {
    finding(
        "md5-missing",
        "it does not sign its segments, and we want that",
        evidence,
        "set the key there too, or take `password-file` out",
    )
}

fn ttl(evidence: &str) -> Finding {
    finding(
        "ttl",
        "its packets arrive with a TTL that `ttl-security` forbids",
        evidence,
        "switch TTL security on there too (BIRD `ttl security on`, FRR `ttl-security hops 1`), \
         or allow as many hops as it is away",
    )
}

pub(super) fn open_text(facts: &Facts) -> Option<String> {
    let open = facts.clues.open.as_ref()?;
    Some(message(open))
}
