//! `godwit demo` does what it tells, and leaves nothing behind.

use std::time::Duration;

use godwit_tests::child::{Daemon, must, run};
use godwit_tests::godwit::godwit_path;
use godwit_tests::{Lab, wait_for, wait_for_within};

/// The namespaces of the demo that has this process id.
fn namespaces(pid: u32) -> usize {
    let prefix = format!("godwit-demo-{pid}-");
    let all = must(&["ip", "netns", "list"]);
    all.lines().filter(|line| line.starts_with(&prefix)).count()
}

#[track_caller]
fn succeeds(options: &[&str]) {
    let godwit = godwit_path();
    let godwit = godwit.to_string_lossy();
    let argv = [&["timeout", "120", &*godwit, "demo"], options].concat();
    let told = run(&argv).unwrap_or_else(|e| panic!("{e}"));
    assert!(told.ends_with("All as it should be.\n"), "{told}");
    assert!(told.contains("via tor1 and tor2"), "{told}");
}

#[test]
fn with_an_as_for_each_it_succeeds() {
    succeeds(&[]);
}

#[test]
fn with_reflectors_it_succeeds() {
    succeeds(&["--reflector"]);
}

#[test]
fn when_interrupted_it_removes_all() {
    let lab = Lab::new();
    let host = lab.host("stage");
    let mut demo = Daemon::start(
        "the demo",
        &host.namespace,
        &[&godwit_path().to_string_lossy(), "demo", "--keep"],
        &lab.dir().join("demo.log"),
    );
    let pid = demo.id();
    wait_for_within(Duration::from_secs(60), "pings", || {
        demo.log().contains("12 of 12 answered").then_some(())
    });
    assert_eq!(namespaces(pid), 10);
    demo.terminate();
    wait_for("its namespaces to go", || {
        (namespaces(pid) == 0).then_some(())
    });
    let dir = std::env::temp_dir().join(format!("godwit-demo-{pid}"));
    assert!(!dir.exists());
}
