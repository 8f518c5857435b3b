//! Facts, and the reasons found in them.

use std::io::ErrorKind;
use std::time::Duration;

use godwit_bgp::session::{ErrorOrigin, RemoteAs, SessionConfig, SessionError, State};
use godwit_bgp::wire::Notification;
use godwit_bgp::wire::notification::{cease, code, open};
use godwit_bgp::{Asn, RouterId, SessionKind};

use super::*;
use crate::discovery::{self, Note};
use crate::status::{Attempt, AttemptFailure, Excess, PeerOrigin, Rejection, Waiting};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A peer that has just been set up, in good surroundings.
fn facts(keys: &str) -> Facts {
    let text = format!(
        "[router]\nasn = 64512\n[[peer]]\naddress = \"10.0.0.2\"\nremote-as = 65002\n{keys}"
    );
    let config = godwit_config::parse("test", &text).unwrap().peers.remove(0);
    let status = PeerStatus {
        address: "10.0.0.2".parse().unwrap(),
        name: crate::peer::PeerName::Address("10.0.0.2".parse().unwrap()),
        finding: None,
        origin: PeerOrigin::File,
        disabled: config.disabled,
        kind: SessionKind::External,
        state: State::Active,
        state_since: None,
        local_asn: Asn(64512),
        remote_asn: Some(Asn(65002)),
        session: None,
        bfd: None,
        stale: None,
        away: None,
        waiting: None,
        collision: None,
        last_error: None,
        config,
    };
    Facts {
        now: NOW + Duration::from_secs(100),
        status: Arc::new(status),
        clues: Clues::default(),
        drops: Drops::default(),
        kernel: Kernel {
            way: Way::OnLink("eth0".into()),
            has_local_address: true,
            interface: Interface::Fine,
        },
        listeners: Arc::new(vec![ListenerStatus {
            address: "0.0.0.0:179".parse().unwrap(),
            error: None,
            keys: 0,
            keys_missing: Default::default(),
        }]),
    }
}

/// A key file stands in for the real one: nothing here looks at its content.
fn signed() -> Facts {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "key").unwrap();
    facts(&format!("password-file = {:?}", file.path()))
}

impl Facts {
    fn status(&mut self) -> &mut PeerStatus {
        Arc::get_mut(&mut self.status).unwrap()
    }

    fn attempt(mut self, failure: AttemptFailure, dropped: u32, drops: Drops) -> Facts {
        self.clues.attempt = Some(Attempt {
            at: NOW + Duration::from_secs(90),
            failure,
            dropped,
            drops,
        });
        self
    }

    fn ended(mut self, origin: ErrorOrigin, notification: Notification) -> Facts {
        let error = SessionError {
            origin,
            state: State::OpenSent,
            text: notification.to_string(),
            notification: Some(notification),
            at: Duration::ZERO,
            uptime: None,
        };
        self.status().last_error = Some((NOW + Duration::from_secs(80), error));
        self
    }

    /// For so many seconds more.
    fn waits(&mut self, waiting: Waiting, seconds: Option<u64>) {
        let until = seconds.map(|s| self.now + Duration::from_secs(s));
        self.status().waiting = Some((waiting, until));
    }

    fn with(mut self, change: impl FnOnce(&mut Facts)) -> Facts {
        change(&mut self);
        self
    }
}

fn drops(change: impl FnOnce(&mut Drops)) -> Drops {
    let mut drops = Drops::default();
    change(&mut drops);
    drops
}

fn error(kind: ErrorKind) -> AttemptFailure {
    AttemptFailure::Error(kind, "the kernel's words".into())
}

fn sent(code: u8, subcode: u8) -> Facts {
    facts("").ended(ErrorOrigin::Sent, Notification::new(code, subcode))
}

fn received(code: u8, subcode: u8) -> Facts {
    facts("").ended(ErrorOrigin::Received, Notification::new(code, subcode))
}

#[test]
fn every_cause_has_its_reason_first() {
    let silence = AttemptFailure::Silence;
    let cases: Vec<(&str, Facts)> = vec![
        ("under-way", facts("")),
        ("disabled", facts("disabled = true")),
        ("disabled", facts("").with(|f| f.status().disabled = true)),
        (
            "nobody-connects",
            facts("passive = true").with(|f| f.waits(Waiting::Neighbour, None)),
        ),
        (
            "waiting",
            facts("").with(|f| f.waits(Waiting::Answer, Some(3))),
        ),
        (
            "waiting",
            facts("").with(|f| f.waits(Waiting::Retry(4), Some(3))),
        ),
        (
            "waiting",
            facts("").with(|f| f.waits(Waiting::Message, None)),
        ),
        (
            "no-route",
            facts("").with(|f| f.kernel.way = Way::None("no".into())),
        ),
        (
            "not-on-link",
            facts("")
                .with(|f| f.kernel.way = Way::Through("10.0.0.9".parse().unwrap(), "eth0".into())),
        ),
        (
            "under-way",
            facts("multihop = 2")
                .with(|f| f.kernel.way = Way::Through("10.0.0.9".parse().unwrap(), "eth0".into())),
        ),
        (
            "local-address",
            facts("local-address = \"10.0.0.9\"").with(|f| f.kernel.has_local_address = false),
        ),
        (
            "local-interface",
            facts("local-interface = \"eth9\"").with(|f| f.kernel.interface = Interface::Missing),
        ),
        (
            "not-listening",
            facts("").with(|f| {
                Arc::get_mut(&mut f.listeners).unwrap()[0].error = Some("address in use".into());
            }),
        ),
        (
            "not-listening",
            facts("passive = true").with(|f| f.listeners = Arc::default()),
        ),
        (
            "md5-key-not-set",
            signed().with(|f| {
                let missing = &mut Arc::get_mut(&mut f.listeners).unwrap()[0].keys_missing;
                missing.insert("10.0.0.2/32".parse().unwrap(), "no room".into());
            }),
        ),
        (
            "refused",
            facts("").attempt(error(ErrorKind::ConnectionRefused), 0, Drops::default()),
        ),
        (
            "unreachable",
            facts("").attempt(error(ErrorKind::HostUnreachable), 0, Drops::default()),
        ),
        (
            "cannot-connect",
            facts("").attempt(error(ErrorKind::Other), 0, Drops::default()),
        ),
        (
            "no-answer",
            facts("").attempt(silence.clone(), 0, Drops::default()),
        ),
        (
            "no-answer",
            signed().attempt(silence.clone(), 0, Drops::default()),
        ),
        (
            "no-answer",
            facts("").attempt(error(ErrorKind::TimedOut), 0, Drops::default()),
        ),
        (
            "md5-mismatch",
            signed().attempt(silence.clone(), 2, drops(|d| d.wrong = 2)),
        ),
        (
            "md5-missing",
            signed().attempt(silence.clone(), 2, drops(|d| d.unsigned = 2)),
        ),
        (
            "ttl",
            facts("ttl-security = true").attempt(silence, 2, drops(|d| d.ttl = 2)),
        ),
        ("md5-mismatch", signed().with(|f| f.drops.wrong = 3)),
        ("md5-missing", signed().with(|f| f.drops.unsigned = 3)),
        ("md5-unexpected", facts("").with(|f| f.drops.unexpected = 3)),
        (
            "ttl",
            facts("ttl-security = true").with(|f| f.drops.ttl = 3),
        ),
        (
            "ttl",
            facts("ttl-security = true").with(|f| {
                f.clues.refusal = Some((
                    NOW,
                    Rejection::Ttl {
                        arrived: 64,
                        least: 255,
                    },
                ));
            }),
        ),
        (
            "connection-refused-here",
            facts("").with(|f| f.clues.refusal = Some((NOW, Rejection::Rate))),
        ),
        ("wrong-as", sent(code::OPEN, open::BAD_PEER_AS)),
        ("wrong-as-there", received(code::OPEN, open::BAD_PEER_AS)),
        ("router-id", sent(code::OPEN, open::BAD_IDENTIFIER)),
        ("hold-time", sent(code::OPEN, open::UNACCEPTABLE_HOLD_TIME)),
        (
            "hold-time",
            received(code::OPEN, open::UNACCEPTABLE_HOLD_TIME),
        ),
        (
            "no-common-family",
            sent(code::OPEN, open::UNSUPPORTED_CAPABILITY),
        ),
        (
            "no-common-family",
            received(code::OPEN, open::UNSUPPORTED_CAPABILITY),
        ),
        ("role", sent(code::OPEN, open::ROLE_MISMATCH)),
        ("hold-timer", sent(code::HOLD_TIMER_EXPIRED, 0)),
        ("hold-timer", received(code::HOLD_TIMER_EXPIRED, 0)),
        ("prefix-limit", sent(code::CEASE, cease::MAX_PREFIXES)),
        (
            "prefix-limit-there",
            received(code::CEASE, cease::MAX_PREFIXES),
        ),
        (
            "shut-down-there",
            received(code::CEASE, cease::ADMIN_SHUTDOWN),
        ),
        (
            "not-configured-there",
            received(code::CEASE, cease::PEER_DECONFIGURED),
        ),
        (
            "rejected-there",
            received(code::CEASE, cease::CONNECTION_REJECTED),
        ),
        (
            "collision",
            received(code::CEASE, cease::COLLISION_RESOLUTION),
        ),
        ("collision", sent(code::CEASE, cease::COLLISION_RESOLUTION)),
        (
            "collision",
            received(code::CEASE, cease::ADMIN_RESET)
                .with(|f| f.status().collision = Some(NOW + Duration::from_secs(95))),
        ),
        ("protocol-error", sent(code::UPDATE, 1)),
        ("protocol-error-there", received(code::UPDATE, 1)),
    ];
    for (reason, facts) in cases {
        let found = judge(&facts);
        assert_eq!(found[0].reason, reason, "{found:#?}\n{facts:#?}");
        for finding in found {
            let parts = [&finding.what, &finding.evidence, &finding.advice];
            assert!(parts.iter().all(|part| !part.is_empty()), "{finding:?}");
        }
    }
}

#[test]
fn a_wrong_as_is_told_with_both_numbers() {
    let open = SessionConfig::new(Asn(65009), RouterId(7), RemoteAs::External).open(false);
    let facts = sent(code::OPEN, open::BAD_PEER_AS).with(|f| f.clues.open = Some(open));
    let found = judge(&facts);
    assert_eq!(found[0].what, "it is AS 65009, and `remote-as` is 65002");
    assert!(
        found[0].evidence.contains("its OPEN says AS 65009"),
        "{found:?}"
    );
}

#[test]
fn which_of_two_numbers_was_wrong_is_not_claimed() {
    let refused = |keys: &str| {
        let config = facts(keys).status.config.clone();
        let refused = received(code::OPEN, open::BAD_PEER_AS);
        let facts = refused.with(|f| f.status().config = config);
        judge(&facts).remove(0).what
    };
    assert_eq!(refused(""), "it expects another AS than ours, 64512");
    let what = refused("local-as = { asn = 64501, dual-as = true }\n");
    assert!(what.ends_with("that it was shown"), "{what}");
}

#[test]
fn what_its_operator_said_is_passed_on() {
    let text = Notification::shutdown(cease::ADMIN_SHUTDOWN, "back at noon");
    let text = Notification::decode(&text.encode().slice(19..)).unwrap();
    let found = judge(&facts("").ended(ErrorOrigin::Received, text));
    assert!(found[0].what.contains("back at noon"), "{found:?}");
}

#[test]
fn what_happens_now_comes_before_how_the_last_session_ended() {
    let facts = received(code::CEASE, cease::ADMIN_RESET).attempt(
        error(ErrorKind::ConnectionRefused),
        0,
        Drops::default(),
    );
    let found: Vec<&str> = judge(&facts).iter().map(|f| f.reason).collect();
    assert_eq!(found, ["refused", "reset-there"]);
    // The attempt was before: the session has been up since.
    let facts = facts.with(|f| {
        f.status().last_error.as_mut().unwrap().0 = NOW + Duration::from_secs(95);
    });
    let found: Vec<&str> = judge(&facts).iter().map(|f| f.reason).collect();
    assert_eq!(found, ["reset-there", "refused"]);
}

#[test]
fn the_wait_after_errors_is_told_last_with_what_is_left() {
    let facts = sent(code::OPEN, open::BAD_PEER_AS).with(|f| {
        f.waits(Waiting::BackOff(3), Some(7));
    });
    let last = judge(&facts).pop().unwrap();
    assert_eq!(last.reason, "held-down");
    assert!(last.evidence.ends_with("for 7 s more"), "{last:?}");
}

#[test]
fn a_limit_that_was_hit_is_the_only_reason_and_says_when_it_is_over() {
    let excess = |key| Excess {
        key,
        family: godwit_bgp::Family::Ipv4Unicast,
        max: 2,
    };
    let limit = "[peer.family.ipv4-unicast]\nprefix-limit = { max = 2, then = \"restart\", \
                 restart-after = \"60s\" }";
    let facts = facts(limit)
        .ended(
            ErrorOrigin::Sent,
            Notification::new(code::CEASE, cease::MAX_PREFIXES),
        )
        .with(|f| f.waits(Waiting::Pause(excess(Excess::IN)), Some(40)));
    let [found] = judge(&facts).try_into().unwrap();
    assert_eq!(found.reason, "prefix-limit");
    assert_eq!(
        found.what,
        "down because the prefix limit was hit: it announced more than 2 ipv4-unicast prefixes; \
         it returns in 40 s"
    );
    assert_eq!(
        found.evidence,
        "`prefix-limit` of 2, then \"restart\" after 60 s; the session ended 20 s ago"
    );
    assert!(found.advice.contains("godwit peer reset --hard 10.0.0.2"));
    let facts = facts.with(|f| f.waits(Waiting::Enable(Some(excess(Excess::OUT))), None));
    let [found] = judge(&facts).try_into().unwrap();
    assert_eq!(found.reason, "prefix-limit-out");
    assert!(
        found.what.contains("until somebody enables it"),
        "{found:?}"
    );
    assert!(found.advice.contains("godwit peer enable 10.0.0.2"));
}

#[test]
fn a_wait_is_told_with_what_it_is_for_and_how_long() {
    let facts = facts("").with(|f| f.waits(Waiting::Retry(4), Some(3)));
    let [found] = judge(&facts).try_into().unwrap();
    assert_eq!(
        found.what,
        "waiting for the next attempt to connect, after 4 in vain"
    );
    assert_eq!(found.evidence, "the session is in Active, for 3 s at most");
    assert!(found.advice.contains("tries now"));
}

#[test]
fn an_interface_without_a_neighbour_says_what_is_wrong_with_it() {
    let name: godwit_bgp::InterfaceName = "eth1".parse().unwrap();
    let reason = |note: Note| {
        let facts = facts("").with(|f| {
            f.status().address = "::".parse().unwrap();
            f.status().finding = Some(discovery::Finding {
                neighbour: None,
                note,
            });
        });
        let [found] = judge(&facts).try_into().unwrap();
        found.reason
    };
    assert_eq!(reason(Note::NoInterface(name)), "interface");
    assert_eq!(reason(Note::Down(name)), "interface");
    assert_eq!(reason(Note::NoCarrier(name)), "interface");
    assert_eq!(reason(Note::Trouble("no IPv6".into())), "interface");
    assert_eq!(reason(Note::Silence(name)), "nobody-found");
    assert_eq!(reason(Note::Nothing), "under-way");
}

#[test]
fn this_host_is_found_and_a_missing_interface_is_not() {
    let mut config = facts("").status.config.clone();
    let here = ask_kernel("127.0.0.1".parse().unwrap(), &config);
    assert_eq!(here.way, Way::OnLink("lo".into()));
    config.local_interface = Some("no-such".into());
    config.local_address = Some("192.0.2.77".parse().unwrap());
    let kernel = ask_kernel("127.0.0.1".parse().unwrap(), &config);
    assert_eq!(kernel.interface, Interface::Missing);
    assert!(!kernel.has_local_address);
}
