//! NOTIFICATIONs in words: what they mean here, and what to do.

use std::time::SystemTime;

use godwit_bgp::session::{ErrorOrigin, SessionError};
use godwit_bgp::wire::notification::{cease, code, open};
use godwit_bgp::wire::{Capability, Notification, Open};

use super::judge::{finding, open_text};
use super::{Facts, Finding};

/// "12 s ago".
pub fn ago(now: SystemTime, at: SystemTime) -> String {
    match now.duration_since(at).unwrap_or_default().as_secs() {
        s @ 0..=119 => format!("{s} s ago"),
        s @ 120..=7199 => format!("{} min ago", s / 60),
        s => format!("{} h ago", s / 3600),
    }
}

/// What an OPEN says, as far as it decides.
pub fn message(open: &Open) -> String {
    let families: Vec<String> = open
        .capabilities
        .iter()
        .filter_map(|c| match c {
            Capability::MultiProtocol(family) => Some(family.to_string()),
            _ => None,
        })
        .collect();
    let families = match families.as_slice() {
        [] => "no families".to_owned(),
        some => some.join(", "),
    };
    format!(
        "its OPEN says AS {}, router id {}, hold time {} s, {families}",
        open.asn, open.router_id, open.hold_time
    )
}

/// What ended the last connection.
pub fn notification(facts: &Facts, at: SystemTime, error: &SessionError) -> Finding {
    let when = ago(facts.now, at);
    let Some(n) = &error.notification else {
        return finding(
            "closed",
            "the last connection ended without a word",
            format!("{error}, {when}"),
            "see its log: it may not know us by this address, or have been restarted",
        );
    };
    let sent = error.origin == ErrorOrigin::Sent;
    let evidence = match open_text(facts).filter(|_| n.code == code::OPEN) {
        Some(open) => format!("{error}, {when}; {open}"),
        None => format!("{error}, {when}"),
    };
    let (reason, what, advice) = if sent {
        sent_by_us(facts, n)
    } else {
        sent_by_it(facts, n)
    };
    finding(reason, what, evidence, advice)
}

type Meaning = (&'static str, String, String);

fn meaning(reason: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Meaning {
    (reason, what.into(), advice.into())
}

fn sent_by_us(facts: &Facts, n: &Notification) -> Meaning {
    let config = &facts.status.config;
    match (n.code, n.subcode) {
        (code::OPEN, open::BAD_PEER_AS) => {
            let says = facts.clues.open.as_ref().map(|open| open.asn.to_string());
            meaning(
                "wrong-as",
                match says {
                    Some(asn) => format!("it is AS {asn}, and `remote-as` is {}", config.remote_as),
                    None => format!("its AS is not `remote-as`, {}", config.remote_as),
                },
                "set `remote-as` to its number, or correct the number there",
            )
        }
        (code::OPEN, open::BAD_IDENTIFIER) => meaning(
            "router-id",
            "its router id is ours, or zero",
            "within one AS every router needs a `router-id` of its own",
        ),
        (code::OPEN, open::UNACCEPTABLE_HOLD_TIME) => meaning(
            "hold-time",
            "its hold time is one that BGP forbids",
            "set 0 or at least 3 s there",
        ),
        (code::OPEN, open::UNSUPPORTED_CAPABILITY) => meaning(
            "no-common-family",
            "no address family in common",
            "activate a family for us there that is configured here",
        ),
        (code::OPEN, open::ROLE_MISMATCH) => meaning(
            "role",
            "its role does not go with ours",
            "a provider's neighbour is a customer, a peer's a peer (RFC 9234): change `role` on one side",
        ),
        (code::HOLD_TIMER_EXPIRED, _) => hold_timer("it was silent for the whole hold time"),
        (code::CEASE, cease::MAX_PREFIXES) => meaning(
            "prefix-limit",
            "it announced more prefixes than its `prefix-limit` allows",
            "raise the limit, or have it announce less; `godwit peer reset --hard` starts it again",
        ),
        (code::CEASE, cease::COLLISION_RESOLUTION) => collision(),
        (code::CEASE, _) => meaning(
            "ended-here",
            "we ended the last session",
            "nothing, if that was meant: it comes back by itself",
        ),
        _ => meaning(
            "protocol-error",
            "we found an error in what it sent",
            "see our log and its version: one of both is at fault",
        ),
    }
}

fn sent_by_it(facts: &Facts, n: &Notification) -> Meaning {
    let status = &facts.status;
    let told = match n.communication() {
        Some(text) if !text.is_empty() => format!(", saying \"{text}\""),
        _ => String::new(),
    };
    match (n.code, n.subcode) {
        (code::OPEN, open::BAD_PEER_AS) => meaning(
            "wrong-as-there",
            match status.config.path.local_as {
                // The next OPEN shows the one that the last did not.
                Some(local) if local.dual_as => {
                    "it expects another AS than the number of ours that it was shown".to_owned()
                }
                _ => format!("it expects another AS than ours, {}", status.local_asn),
            },
            "correct the number there, or give it the one it knows with `local-as`",
        ),
        (code::OPEN, open::BAD_IDENTIFIER) => meaning(
            "router-id",
            "it does not accept our router id",
            "within one AS every router needs a `router-id` of its own",
        ),
        (code::OPEN, open::UNACCEPTABLE_HOLD_TIME) => meaning(
            "hold-time",
            format!(
                "it does not accept our hold time, {} s",
                status.config.hold_time.as_secs()
            ),
            "set `hold-time` to what it wants (FRR: `bgp minimum-holdtime`), or have that lowered there",
        ),
        (code::OPEN, open::UNSUPPORTED_CAPABILITY) => meaning(
            "no-common-family",
            "it wants a capability that we did not offer, most likely a family",
            "configure the families here that are active there",
        ),
        (code::OPEN, open::ROLE_MISMATCH) => meaning(
            "role",
            "our role does not go with its",
            "a provider's neighbour is a customer, a peer's a peer (RFC 9234): change `role` on one side",
        ),
        (code::HOLD_TIMER_EXPIRED, _) => hold_timer("it did not hear from us in time"),
        (code::CEASE, cease::ADMIN_SHUTDOWN) => meaning(
            "shut-down-there",
            format!("it was shut down there by its operator{told}"),
            "ask its operator",
        ),
        (code::CEASE, cease::PEER_DECONFIGURED) => meaning(
            "not-configured-there",
            "we were taken out of its configuration",
            "ask its operator",
        ),
        (code::CEASE, cease::ADMIN_RESET) => meaning(
            "reset-there",
            format!("its operator reset the session{told}"),
            "nothing: it should come back by itself",
        ),
        (code::CEASE, cease::CONNECTION_REJECTED) => meaning(
            "rejected-there",
            "it rejects our connections",
            "is our address configured there, and enabled? Does it expect another `local-address`?",
        ),
        (code::CEASE, cease::MAX_PREFIXES) => meaning(
            "prefix-limit-there",
            "we announce more prefixes than it allows",
            "have `export` announce less, or have the limit raised there",
        ),
        (code::CEASE, cease::OUT_OF_RESOURCES) => meaning(
            "resources-there",
            "it is out of resources",
            "see its memory and its limits",
        ),
        (code::CEASE, cease::COLLISION_RESOLUTION) => collision(),
        (code::CEASE, _) => meaning(
            "ended-there",
            format!("it ended the last session{told}"),
            "see its log; it may come back by itself",
        ),
        _ => meaning(
            "protocol-error-there",
            "it found an error in what we sent",
            "see its log: one of both is at fault",
        ),
    }
}

fn hold_timer(what: &str) -> Meaning {
    meaning(
        "hold-timer",
        format!("the hold timer expired: {what}"),
        "is its host overloaded, do large packets get lost on the way (MTU: `ping -M do -s 1472`), \
         does a firewall forget the connection?",
    )
}

fn collision() -> Meaning {
    meaning(
        "collision",
        "both ends connect, and each time the other connection is closed",
        "that settles by itself; if not, set `passive` on one side",
    )
}

/// It holds on to a connection that is none of ours.
pub fn held_elsewhere(facts: &Facts) -> Option<Finding> {
    let at = facts.status.collision?;
    let later = facts.status.last_error.as_ref().map(|(at, _)| *at);
    (Some(at) > later).then(|| {
        finding(
            "collision",
            "it closes our connections as one too many: it still holds an older one",
            format!(
                "Cease/Connection Collision Resolution {}, and we have no other connection to it",
                ago(facts.now, at)
            ),
            "it lets go when its hold timer expires, or reset the session there; if it stays, \
             another host may use our address",
        )
    })
}
