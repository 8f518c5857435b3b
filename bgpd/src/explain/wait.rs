//! What a session waits for, and what shortens the wait.

use std::time::SystemTime;

use godwit_bgp::session::State;
use godwit_config::LimitAction;

use super::judge::finding;
use super::words::ago;
use super::{Facts, Finding};
use crate::discovery::Note;
use crate::status::{Excess, Waiting};

/// A limit that was passed keeps the session down: nothing else matters.
pub fn excess(facts: &Facts) -> Option<Finding> {
    let status = &facts.status;
    let Excess { key, family, max } = status.excess()?;
    let until = status.waiting.as_ref().and_then(|(_, until)| *until);
    let (back, start) = match left(facts, until) {
        Some(left) => (
            format!("it returns in {left}"),
            format!("`godwit peer reset --hard {}`", status.name),
        ),
        None => (
            "it stays down until somebody enables it".to_owned(),
            format!("`godwit peer enable {}`", status.name),
        ),
    };
    let inward = key == Excess::IN;
    let who = match inward {
        true => "it announced",
        false => "we have for it",
    };
    let then = match inward {
        true => status.config.limit_in(family),
        false => status.config.limit_out(family),
    };
    let then = then.map_or_else(String::new, |limit| match limit.then {
        LimitAction::Restart(pause) => format!(", then \"restart\" after {} s", pause.as_secs()),
        action => format!(", then \"{}\"", action.name()),
    });
    let ended = match &status.last_error {
        Some((at, _)) => format!("; the session ended {}", ago(facts.now, *at)),
        None => String::new(),
    };
    Some(finding(
        key,
        format!(
            "down because the prefix limit was hit: {who} more than {max} {family} prefixes; {back}"
        ),
        format!("`{key}` of {max}{then}{ended}"),
        match inward {
            true => format!(
                "have it announce less, or raise `{key}` if it may announce so many; \
                 a raised limit or {start} starts it at once"
            ),
            false => format!(
                "have `export` let less through, or raise `{key}` if it may have so many; \
                 a raised limit or {start} starts it at once"
            ),
        },
    ))
}

/// A peer that is named by its interface and has nobody to talk to.
pub fn nobody(facts: &Facts) -> Option<Finding> {
    let status = &facts.status;
    let note = &status.finding.as_ref()?.note;
    if !status.address.is_unspecified() {
        return None;
    }
    let interface = |name, wrong: &str| {
        finding(
            "interface",
            format!("the interface {name} {wrong}"),
            note.to_string(),
            format!("see `ip link show {name}`: set it up, and plug both ends of the cable in"),
        )
    };
    Some(match note {
        Note::NoInterface(name) => interface(name, "is not there"),
        Note::Down(name) => interface(name, "is down"),
        Note::NoCarrier(name) => interface(name, "has no carrier"),
        Note::Trouble(why) => finding(
            "interface",
            "we cannot send or hear router advertisements on the interface",
            why.clone(),
            "the evidence names what failed; IPv6 must not be disabled on the interface",
        ),
        Note::Silence(name) => finding(
            "nobody-found",
            format!("nobody has shown himself on {name}"),
            note.to_string(),
            format!(
                "have the other side send router advertisements there (FRR: `neighbor {name} \
                 interface remote-as external`, BIRD: protocol `radv`) or connect to us; \
                 `tcpdump -ni {name} icmp6` shows what is heard"
            ),
        ),
        // The task is about to take notice of the neighbour.
        Note::Nothing | Note::Another(..) => finding(
            "under-way",
            "a neighbour has just been found on the interface",
            "a router advertisement, or its connection",
            "ask again in a few seconds",
        ),
    })
}

/// What the session does meanwhile.
pub fn waiting(facts: &Facts) -> Option<Finding> {
    let status = &facts.status;
    let (waiting, until) = status.waiting.as_ref()?;
    let left = left(facts, *until);
    let at_once = format!("`godwit peer reset --hard {}`", status.name);
    if matches!(waiting, Waiting::BackOff(_)) {
        let left = left.map_or_else(String::new, |left| format!(", for {left} more"));
        return Some(finding(
            "held-down",
            "the session is held down for a while after errors",
            format!("{waiting}{left}"),
            format!("it starts by itself; once the cause is gone, {at_once} spares the wait"),
        ));
    }
    let advice = match waiting {
        // Without a start there is nothing to wait for: told as what it is.
        Waiting::Enable(_) | Waiting::Pause(_) | Waiting::BackOff(_) => return None,
        Waiting::Answer => "ask again when that time is over".to_owned(),
        Waiting::Retry(_) => format!("it comes by itself; {at_once} tries now"),
        Waiting::Neighbour => {
            "see whether it is configured with our address and not passive itself; \
             or take `passive` out"
                .to_owned()
        }
        Waiting::Message if status.state == State::OpenSent => {
            "it took the connection and says nothing: does a BGP daemon run there, is it frozen \
             or overloaded, does something in between take its connections?"
                .to_owned()
        }
        Waiting::Message => {
            "it has not confirmed our OPEN: is it overloaded, do large packets get lost on the way \
             (MTU)?"
                .to_owned()
        }
    };
    let left = left.map_or_else(String::new, |left| format!(", for {left} at most"));
    Some(finding(
        match waiting {
            Waiting::Neighbour => "nobody-connects",
            _ => "waiting",
        },
        format!("waiting for {waiting}"),
        format!("the session is in {}{left}", status.state),
        advice,
    ))
}

/// "40 s".
fn left(facts: &Facts, until: Option<SystemTime>) -> Option<String> {
    let left = until?.duration_since(facts.now).unwrap_or_default();
    Some(format!("{} s", left.as_secs_f32().ceil()))
}
