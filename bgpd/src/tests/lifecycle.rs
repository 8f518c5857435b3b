//! The life of a configuration: applied, confirmed or not, taken back, and
//! changed by command.

mod trial;

use std::fs;

use super::*;
use crate::control::revisions::{Applied, Apply};
use crate::state::history::{By, How};

const ROUTE: &str = "2001:db8:1::/48";
const OTHER: &str = "2001:db8:9::/48";

fn text(own: Ipv4Addr, more: &str) -> String {
    format!("# mine\n{}{}{more}", router(65001, own), originate(ROUTE))
}

impl Node {
    async fn apply(
        &self,
        text: &str,
        confirm_within: Option<Duration>,
    ) -> Result<Applied, ControlError> {
        let wanted = Apply {
            text: Some(text.to_owned()),
            name: String::new(),
            by: By {
                uid: Some(1000),
                how: How::Apply,
            },
            why: "for the test".to_owned(),
            confirm_within,
            expected: None,
        };
        self.control.apply(wanted).await
    }

    fn file(&self) -> String {
        fs::read_to_string(self.directory.path().join("godwit.toml")).unwrap()
    }

    /// Ends it as a crash does, and starts another with what it left.
    async fn restart(self) -> Node {
        let Node { control, directory } = self;
        let listen = control.loaded().config.router.listen[0];
        control.stop().await;
        drop(control);
        // The listeners go with the task, which writes nothing any more.
        let free = timeout(PATIENCE, async {
            while std::net::TcpListener::bind(listen).is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        free.await.unwrap();
        Node::start_in(directory).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_is_written_and_comes_back_by_its_number() {
    let (a, _) = addresses();
    let (old, new) = (text(a, ""), text(a, &originate(OTHER)));
    let node = Node::start(&old).await;
    let applied = node.apply(&new, None).await.unwrap();
    assert_eq!(applied.revision, 2);
    assert_eq!(applied.changes, [format!("route {OTHER} originated")]);
    assert_eq!(node.file(), new);
    node.until_routes(&[ROUTE, OTHER]).await;
    let back = node.control.rollback(Some(1), String::new()).await.unwrap();
    assert_eq!((back.restored, back.applied.revision), (1, 3));
    assert_eq!(node.file(), old);
    node.until_routes(&[ROUTE]).await;
    let known = node.control.revisions().await.unwrap();
    let told: Vec<_> = (known.all.iter())
        .map(|r| (r.number, r.by.uid, r.by.how, r.why.as_str()))
        .collect();
    let expected = [
        (1, None, How::Start, ""),
        (2, Some(1000), How::Apply, "for the test"),
        (3, None, How::Rollback, "back to revision 1"),
    ];
    assert_eq!(told, expected);
    assert_eq!(known.current, 3);
    let unknown = node.control.rollback(Some(99), String::new()).await;
    assert!(matches!(unknown, Err(ControlError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_an_error_leaves_the_file_and_no_revision() {
    let (a, _) = addresses();
    let old = text(a, "");
    let node = Node::start(&old).await;
    let refused = node.apply("[router]\nasn = 0\n", None).await;
    assert!(matches!(refused, Err(ControlError::Invalid(_))));
    assert_eq!(node.file(), old);
    assert_eq!(node.control.revisions().await.unwrap().all.len(), 1);
    assert_eq!(node.control.loaded().last_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slower_than_another_is_told() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let wanted = |expected| Apply {
        text: Some(text(a, &originate(OTHER))),
        expected: Some(expected),
        ..Apply::reload(None, "")
    };
    let refused = node.control.apply(wanted(7)).await.unwrap_err();
    assert!(matches!(refused, ControlError::Conflict(_)), "{refused}");
    node.control.apply(wanted(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_confirms_and_it_goes_back() {
    let (a, _) = addresses();
    let (old, new) = (text(a, ""), text(a, &originate(OTHER)));
    let node = Node::start(&old).await;
    let within = Some(Duration::from_secs(1));
    let applied = node.apply(&new, within).await.unwrap();
    assert!(applied.confirm_by.is_some());
    node.until_routes(&[ROUTE, OTHER]).await;
    // Nothing is piled upon what may go.
    let refused = node.apply(&text(a, "# x\n"), None).await.unwrap_err();
    assert!(refused.to_string().contains("waits to be confirmed"));
    node.until_routes(&[ROUTE]).await;
    assert_eq!(node.file(), old);
    let known = node.control.revisions().await.unwrap();
    assert_eq!(known.unconfirmed, None);
    assert_eq!(known.all.last().unwrap().by.how, How::Unconfirmed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confirmed_stays() {
    let (a, _) = addresses();
    let new = text(a, &originate(OTHER));
    let node = Node::start(&text(a, "")).await;
    assert!(node.control.confirm().await.is_err());
    let within = Some(Duration::from_secs(1));
    node.apply(&new, within).await.unwrap();
    assert_eq!(node.control.confirm().await, Ok(2));
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(node.file(), new);
    assert_eq!(node.control.loaded().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_confirm() {
    let (a, _) = addresses();
    let (old, new) = (text(a, ""), text(a, &originate(OTHER)));
    let node = Node::start(&old).await;
    let within = Some(Duration::from_secs(5));
    node.apply(&new, within).await.unwrap();
    let node = node.restart().await;
    assert_eq!(node.control.loaded().revision, 2);
    node.until_routes(&[ROUTE, OTHER]).await;
    node.until_routes(&[ROUTE]).await;
    assert_eq!(node.file(), old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_of_what_is_not_confirmed_settles_it() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let within = Some(Duration::from_secs(60));
    node.apply(&text(a, &originate(OTHER)), within)
        .await
        .unwrap();
    let back = node.control.rollback(None, String::new()).await.unwrap();
    assert_eq!(back.restored, 1);
    node.apply(&text(a, "# y\n"), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_changes_nothing() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let path = node.directory.path().join("godwit.toml");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let within = Some(Duration::from_secs(60));
    for within in [within, None] {
        let refused = node.apply(&text(a, &originate(OTHER)), within).await;
        assert!(matches!(refused, Err(ControlError::FailedPrecondition(_))));
    }
    node.until_routes(&[ROUTE]).await;
    let known = node.control.revisions().await.unwrap();
    assert_eq!((known.all.len(), known.unconfirmed), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_command_are_there_after_a_restart() {
    let (a, b) = addresses();
    let file = text(a, &peer(a, b, 65002, ""));
    let node = Node::start(&file).await;
    let added: crate::peer::PeerName = "127.200.0.9".parse().unwrap();
    let new = NewPeer {
        name: added,
        group: None,
        settings: godwit_config::PeerSettings {
            remote_as: Some(godwit_config::RemoteAs::External),
            passive: Some(true),
            ..godwit_config::PeerSettings::default()
        },
    };
    node.control.add_peer(new).await.unwrap();
    node.control
        .disable_peer(b.into(), String::new())
        .await
        .unwrap();
    let prefix = OTHER.parse().unwrap();
    node.control.add_route(new_route(prefix)).await.unwrap();
    let node = node.restart().await;
    node.until_routes(&[ROUTE, OTHER]).await;
    node.until(b, "disabled", |s| s.disabled).await;
    let status = node.control.peer(added).unwrap().status();
    assert_eq!(status.origin, PeerOrigin::Runtime);
    assert_eq!(node.file(), file);
    let (_, shown) = node.control.show(None).await.unwrap();
    for line in ["127.200.0.9", "disabled = true", OTHER, "# mine"] {
        assert!(shown.contains(line), "{shown}");
    }
    // Taken back, they are gone for good.
    node.control.enable_peer(b.into()).await.unwrap();
    node.control
        .remove_peer(added, String::new())
        .await
        .unwrap();
    node.control.remove_route(prefix).await.unwrap();
    let node = node.restart().await;
    assert!(node.control.peer(added).is_none());
    node.until(b, "enabled", |s| !s.disabled).await;
    node.until_routes(&[ROUTE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_command_are_forgotten_where_that_is_wanted() {
    let (a, b) = addresses();
    let file = text(a, &peer(a, b, 65002, "")) + "[api]\nchanges = \"forget\"\n";
    let node = Node::start(&file).await;
    node.control
        .disable_peer(b.into(), String::new())
        .await
        .unwrap();
    let node = node.restart().await;
    node.until(b, "enabled", |s| !s.disabled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_command_are_written_into_the_file() {
    let (a, b) = addresses();
    let file = text(a, &peer(a, b, 65002, "")) + "[api]\nchanges = \"write\" # so\n";
    let node = Node::start(&file).await;
    node.control
        .on_behalf_of(Some(7))
        .disable_peer(b.into(), String::new())
        .await
        .unwrap();
    node.until(b, "disabled", |s| s.disabled).await;
    assert!(node.file().contains("disabled = true"), "{}", node.file());
    assert!(node.file().contains("# mine"));
    let known = node.control.revisions().await.unwrap();
    let last = known.all.last().unwrap();
    assert_eq!((last.by.uid, last.by.how), (Some(7), How::Command));
    let prefix = OTHER.parse().unwrap();
    node.control.add_route(new_route(prefix)).await.unwrap();
    node.until_routes(&[ROUTE, OTHER]).await;
    node.control.remove_route(prefix).await.unwrap();
    node.until_routes(&[ROUTE]).await;
    node.control.enable_peer(b.into()).await.unwrap();
    assert_eq!(node.file(), file);
    node.control
        .remove_peer(b.into(), "moved".to_owned())
        .await
        .unwrap();
    assert!(node.control.peer(b).is_none());
    assert!(!node.file().contains("[[peer]]"), "{}", node.file());
    // Somebody edits the file: nothing is written over it.
    let path = node.directory.path().join("godwit.toml");
    fs::write(&path, format!("{}# edited\n", node.file())).unwrap();
    let refused = node.control.add_route(new_route(prefix)).await;
    assert!(matches!(refused, Err(ControlError::FailedPrecondition(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_everything_and_changes_nothing() {
    let (left, a, _right, b) = pair().await;
    left.established(b).await;
    left.until_routes(&[ROUTE, "2001:db8:2::/48"]).await;
    let next = router(65003, a)
        + &peer(a, b, 65002, "hold-time = \"30s\"\ndescription = \"x\"")
        + &peer(a, "127.200.0.9".parse().unwrap(), 65009, "")
        + &originate(OTHER);
    let plan = left
        .control
        .plan(Some(next), "next.toml".to_owned())
        .await
        .unwrap();
    assert_eq!(plan.added, ["127.200.0.9"]);
    assert_eq!(plan.changed[0].restarts_for, ["hold-time"]);
    let keys: Vec<&str> = plan.changed[0].keys.iter().map(|k| k.0).collect();
    assert_eq!(keys, ["hold-time", "description"]);
    assert_eq!(
        (plan.originated, plan.withdrawn),
        (vec![OTHER.into()], vec![ROUTE.into()])
    );
    assert_eq!(plan.keys[0].0, "[router] asn");
    left.until_routes(&[ROUTE, "2001:db8:2::/48"]).await;
    assert_eq!(left.sessions_had(b), 1);
}

fn by_command(name: &str, group: Option<&str>) -> NewPeer {
    NewPeer {
        name: name.parse().unwrap(),
        group: group.map(str::to_owned),
        settings: godwit_config::PeerSettings {
            remote_as: Some(godwit_config::RemoteAs::External),
            passive: Some(true),
            ..godwit_config::PeerSettings::default()
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_of_the_file_itself_begins_only_where_the_way_back_can_be_written() {
    let (a, _) = addresses();
    let old = text(a, "");
    let node = Node::start(&old).await;
    // Revision 1 is lost: what is in force is kept anew.
    let state = node.directory.path().join("state/config");
    fs::remove_file(state.join("1.json")).unwrap();
    let new = text(a, &originate(OTHER));
    fs::write(node.directory.path().join("godwit.toml"), &new).unwrap();
    let wanted = Apply {
        confirm_within: Some(Duration::from_secs(1)),
        ..Apply::reload(None, "")
    };
    node.control.apply(wanted).await.unwrap();
    node.until_routes(&[ROUTE, OTHER]).await;
    node.until_routes(&[ROUTE]).await;
    let back = timeout(PATIENCE, async {
        while node.file() != old {
            sleep(Duration::from_millis(10)).await;
        }
    });
    back.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_changes_too() {
    let (a, _) = addresses();
    let range = "[[peer]]\nrange = \"127.9.0.0/16\"\nremote-as = \"external\"\n";
    let node = Node::start(&text(a, "")).await;
    let applied = node.apply(&text(a, range), None).await.unwrap();
    assert_eq!(applied.changes, ["range 127.9.0.0/16 added"]);
    let limited = text(a, &format!("{range}limit = 5\n"));
    let plan = node
        .control
        .plan(Some(limited.clone()), String::new())
        .await;
    assert_eq!(plan.unwrap().changed[0].peer, "127.9.0.0/16");
    let applied = node.apply(&limited, None).await.unwrap();
    assert_eq!(applied.changes, ["range 127.9.0.0/16 changed: limit"]);
    let applied = node.apply(&text(a, ""), None).await.unwrap();
    assert_eq!(applied.changes, ["range 127.9.0.0/16 removed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_waits_for_a_restart_is_one_revision() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let json = text(a, "[log]\nformat = \"json\"\n");
    assert_eq!(node.apply(&json, None).await.unwrap().revision, 2);
    let again = node.control.reload().await.unwrap();
    assert!(again[0].contains("[log] format"), "{again:?}");
    assert_eq!(node.control.loaded().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_as_number_makes_no_peer_internal_before_a_restart() {
    let (a, b) = addresses();
    let file = |asn: u32| router(asn, a) + &peer(a, b, 65002, "");
    let node = Node::start(&file(65001)).await;
    let plan = node.control.plan(Some(file(65002)), String::new()).await;
    let plan = plan.unwrap();
    assert_eq!(plan.keys[0].0, "[router] asn");
    assert!(plan.changed.is_empty(), "{:?}", plan.changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_no_file_could_have_is_refused() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let mut peer = by_command("127.200.0.9", None);
    peer.settings.refresh_timeout = Some(Duration::ZERO);
    let refused = node.control.add_peer(peer).await.unwrap_err();
    assert!(refused.to_string().contains("refresh-timeout"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_later_version_are_set_aside() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let file = node.directory.path().join("state/changes.json");
    let later = "{\"version\": 2}";
    fs::write(&file, later).unwrap();
    let node = node.restart().await;
    let state = node.directory.path().join("state");
    node.control
        .add_peer(by_command("127.200.0.9", None))
        .await
        .unwrap();
    let aside = fs::read_to_string(state.join("changes.json.unusable"));
    assert_eq!(aside.unwrap(), later);
    assert!(state.join("changes.json").exists());
}
