//! The way back from a configuration that nobody confirms, whatever happens
//! meanwhile.

use super::*;
use crate::peer::PeerName;

const COVERED: &str = "2001:db8:8::/48";
const SECOND: Option<Duration> = Some(Duration::from_secs(1));

fn runtime(name: PeerName, group: Option<&str>) -> NewPeer {
    by_command(&name.to_string(), group)
}

/// Makes it impossible to replace the file, for root too.
fn obstacle(node: &Node) -> PathBuf {
    let name = format!("godwit.toml.{}.tmp", std::process::id());
    let path = node.directory.path().join(name);
    fs::create_dir(&path).unwrap();
    path
}

impl Node {
    async fn until_settled(&self) {
        let settled = timeout(PATIENCE, async {
            while self
                .control
                .revisions()
                .await
                .unwrap()
                .unconfirmed
                .is_some()
            {
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(
            settled.await.is_ok(),
            "{:?}",
            self.control.loaded().going_back
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_a_group_that_goes_goes_with_it() {
    let (a, b) = addresses();
    let old = text(a, "");
    let node = Node::start(&old).await;
    let new = text(a, "[peer-group.g]\nhold-time = \"30s\"\n");
    node.apply(&new, SECOND).await.unwrap();
    let (lost, stays) = (PeerName::from(b), "127.200.0.8".parse().unwrap());
    node.control
        .add_peer(runtime(lost, Some("g")))
        .await
        .unwrap();
    node.control.add_peer(runtime(stays, None)).await.unwrap();
    node.until_settled().await;
    assert_eq!(node.file(), old);
    assert!(node.control.peer(lost).is_none());
    assert!(node.control.peer(stays).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_by_hand_leaves_out_what_it_has_no_group_for() {
    let (a, b) = addresses();
    let old = text(a, "");
    let node = Node::start(&old).await;
    let new = text(a, "[peer-group.g]\nhold-time = \"30s\"\n");
    node.apply(&new, None).await.unwrap();
    node.control
        .add_peer(runtime(b.into(), Some("g")))
        .await
        .unwrap();
    // Whoever takes the group out by a new text is told instead.
    let refused = node.apply(&old, None).await.unwrap_err();
    assert!(
        refused.to_string().contains("added by command"),
        "{refused}"
    );
    let back = node.control.rollback(Some(1), String::new()).await.unwrap();
    let warnings = back.applied.warnings.join("\n");
    assert!(warnings.contains("does not fit and is gone"), "{warnings}");
    assert!(node.control.peer(b).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_back_to_the_file_there_is_no_trial() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    let obstacle = obstacle(&node);
    let path = node.directory.path().join("godwit.toml");
    fs::write(&path, text(a, &originate(OTHER))).unwrap();
    let wanted = || Apply {
        confirm_within: Some(Duration::from_secs(60)),
        ..Apply::reload(None, "")
    };
    let refused = node.control.apply(wanted()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot write"), "{refused}");
    node.until_routes(&[ROUTE]).await;
    let known = node.control.revisions().await.unwrap();
    assert_eq!((known.all.len(), known.unconfirmed), (1, None));
    fs::remove_dir(obstacle).unwrap();
    node.control.apply(wanted()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_does_not_keep_the_old_one_away() {
    let (a, _) = addresses();
    let (old, new) = (text(a, ""), text(a, &originate(OTHER)));
    let node = Node::start(&old).await;
    node.apply(&new, SECOND).await.unwrap();
    let obstacle = obstacle(&node);
    node.until_routes(&[ROUTE]).await;
    let shown = timeout(PATIENCE, async {
        loop {
            if let Some(shown) = node.control.loaded().going_back.clone() {
                return shown;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    let shown = shown.await.unwrap();
    assert!(shown.contains("revision 1 is in force again"), "{shown}");
    assert!(shown.contains("cannot write"), "{shown}");
    let known = node.control.revisions().await.unwrap();
    assert_eq!(known.going_back.as_ref(), Some(&shown));
    assert_eq!(
        node.control.loaded().last_error,
        None,
        "nothing was refused"
    );
    let refused = node.apply(&new, None).await.unwrap_err();
    assert_eq!(refused.to_string(), shown);
    let refused = node.control.confirm().await.unwrap_err();
    assert!(refused.to_string().contains("not in force any more"));
    assert_eq!(node.file(), new);
    // A restart starts with the old one, too, and goes on trying.
    let node = node.restart().await;
    node.until_routes(&[ROUTE]).await;
    assert_eq!(node.file(), new);
    fs::remove_dir(obstacle).unwrap();
    node.until_settled().await;
    assert_eq!(
        (node.file(), node.control.loaded().going_back.clone()),
        (old, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_tried_again() {
    let (a, _) = addresses();
    let (old, new) = (text(a, ""), text(a, &originate(OTHER)));
    let node = Node::start(&old).await;
    node.apply(&new, Some(Duration::from_secs(60)))
        .await
        .unwrap();
    let obstacle = obstacle(&node);
    let back = node.control.rollback(None, String::new()).await.unwrap();
    assert!(
        back.applied.warnings[0].contains("cannot write"),
        "{back:?}"
    );
    node.until_routes(&[ROUTE]).await;
    fs::remove_dir(obstacle).unwrap();
    node.until_settled().await;
    assert_eq!(
        (node.file(), node.control.loaded().going_back.clone()),
        (old, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_could_not_be_kept_is_kept_before_a_trial() {
    let (a, _) = addresses();
    let (old, new) = (text(a, ""), text(a, &originate(OTHER)));
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("godwit.toml"), &old).unwrap();
    let full = directory.path().join("state/config");
    fs::create_dir(directory.path().join("state")).unwrap();
    fs::write(&full, "").unwrap();
    let node = Node::start_in(directory).await;
    let refused = node.apply(&new, SECOND).await.unwrap_err();
    assert!(refused.to_string().contains("the way back"), "{refused}");
    fs::remove_file(&full).unwrap();
    node.apply(&new, Some(Duration::from_secs(5)))
        .await
        .unwrap();
    // From the disk.
    let node = node.restart().await;
    node.until_routes(&[ROUTE, OTHER]).await;
    node.until_routes(&[ROUTE]).await;
    node.until_settled().await;
    assert_eq!(node.file(), old);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_needs_none_of_its_files() {
    let (a, b) = addresses();
    let key = tempfile::NamedTempFile::new().unwrap();
    fs::write(key.path(), "secret").unwrap();
    let more = format!("password-file = {:?}", key.path());
    let old = text(a, &peer(a, b, 65002, &more));
    let node = Node::start(&old).await;
    node.apply(&text(a, ""), SECOND).await.unwrap();
    drop(key);
    fs::remove_dir_all(node.directory.path().join("state/config")).unwrap();
    node.until_settled().await;
    assert_eq!(node.file(), old);
    let status = node.control.peer(b).unwrap().status();
    assert!(status.config.password.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_after_a_restart_is_told_and_tried_again() {
    let (a, b) = addresses();
    let key = tempfile::NamedTempFile::new().unwrap();
    fs::write(key.path(), "secret").unwrap();
    let more = format!("password-file = {:?}", key.path());
    let old = text(a, &peer(a, b, 65002, &more));
    let node = Node::start(&old).await;
    node.apply(&text(a, ""), Some(Duration::from_secs(2)))
        .await
        .unwrap();
    let path = key.path().to_owned();
    drop(key);
    let node = node.restart().await;
    let shown = timeout(PATIENCE, async {
        while node.control.loaded().going_back.is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        node.control.loaded().going_back.clone().unwrap()
    });
    let shown = shown.await.unwrap();
    assert!(
        shown.contains("revision 1 cannot be put in force"),
        "{shown}"
    );
    assert_eq!(node.file(), text(a, ""));
    fs::write(&path, "secret").unwrap();
    node.until_settled().await;
    assert_eq!(node.file(), old);
    fs::remove_file(path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_by_command_before_comes_back_too() {
    let added: PeerName = "127.200.0.7".parse().unwrap();
    for restart in [false, true] {
        let (a, b) = addresses();
        let ours = |disabled: &str| peer(a, b, 65002, disabled);
        let old = text(a, &ours(""));
        let as_file = peer(a, "127.200.0.7".parse().unwrap(), 65009, "");
        let aggregate = format!("[[aggregate]]\nprefix = \"{COVERED}\"\n");
        let new = ours("disabled = true") + &as_file + &originate(OTHER) + &aggregate;
        let new = text(a, &new);
        let node = Node::start(&old).await;
        node.control.add_peer(runtime(added, None)).await.unwrap();
        node.control
            .disable_peer(b.into(), String::new())
            .await
            .unwrap();
        for prefix in [COVERED, OTHER] {
            let route = new_route(prefix.parse().unwrap());
            node.control.add_route(route).await.unwrap();
        }
        node.apply(&new, Some(Duration::from_secs(4)))
            .await
            .unwrap();
        let at = "127.200.0.7".parse().unwrap();
        let from = |origin| move |s: &PeerStatus| s.origin == origin;
        node.until(at, "of the file", from(PeerOrigin::File)).await;
        let node = match restart {
            true => node.restart().await,
            false => node,
        };
        node.until_settled().await;
        assert_eq!(node.file(), old);
        node.until(b, "disabled", |s| s.disabled).await;
        let again = from(PeerOrigin::Runtime);
        node.until(at, "by command again", again).await;
        node.until_routes(&[ROUTE, COVERED, OTHER]).await;
        // And for good.
        let node = node.restart().await;
        node.until(at, "by command", again).await;
        node.until(b, "disabled", |s| s.disabled).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_during_the_trial_is_not_written_over() {
    let (a, _) = addresses();
    let node = Node::start(&text(a, "")).await;
    node.apply(&text(a, &originate(OTHER)), SECOND)
        .await
        .unwrap();
    let edited = text(a, "# by hand\n");
    fs::write(node.directory.path().join("godwit.toml"), &edited).unwrap();
    node.until_settled().await;
    node.until_routes(&[ROUTE]).await;
    assert_eq!(node.file(), edited);
}
