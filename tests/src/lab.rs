//! Hosts as network namespaces, links between them as veth pairs.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::child::{must, run};
use crate::wait::wait_for;

/// Namespaces are called `gwt-<our pid>-<n>-<host>`, so that tests that run
/// side by side never meet, and whatever a killed run left behind can be told
/// by its process being gone.
const PREFIX: &str = "gwt";

const BRIDGE: &str = "bridge";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// One test's hosts and files. Dropping it removes them all.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    namespaces: RefCell<Vec<String>>,
    dir: tempfile::TempDir,
}

impl Lab {
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it changes the machine")]
    pub fn new() -> Lab {
        assert!(
            rustix::process::geteuid().is_root(),
            "system tests make network namespaces: run them as root"
        );
        crate::child::require("ip", "iproute2");
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        if n == 0 {
            sweep_leftovers();
        }
        Lab {
            prefix: format!("{PREFIX}-{}-{n}", std::process::id()),
            namespaces: RefCell::new(Vec::new()),
            dir: tempfile::Builder::new()
                .prefix("godwit-test-")
                // FRR's zebra gives up being root, and has files here too.
                .permissions(fs::Permissions::from_mode(0o711))
                .tempdir()
                .expect("a temporary directory"),
        }
    }

    /// Where this test's files go.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new host: a namespace with `lo` up, forwarding, and addresses that are
    /// usable at once (no duplicate address detection).
    #[track_caller]
    pub fn host(&self, name: &str) -> Host {
        let namespace = format!("{}-{name}", self.prefix);
        must(&["ip", "netns", "add", &namespace]);
        self.namespaces.borrow_mut().push(namespace.clone());
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("one host of each name");
        let host = Host {
            name: name.to_owned(),
            namespace,
            dir,
        };
        for (key, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ] {
            host.sysctl(key, value);
        }
        host.ip(&["link", "set", "lo", "up"]);
        host
    }

    /// Joins two hosts by a veth pair, `to-b` in `a` and `to-a` in `b`, each
    /// with its addresses (`10.0.0.1/24`), and waits until both ends carry.
    #[track_caller]
    pub fn link(&self, a: &Host, a_addresses: &[&str], b: &Host, b_addresses: &[&str]) {
        let (a_if, b_if) = (a.interface_to(b), b.interface_to(a));
        must(&[
            "ip",
            "link",
            "add",
            &a_if,
            "netns",
            &a.namespace,
            "type",
            "veth",
            "peer",
            "name",
            &b_if,
            "netns",
            &b.namespace,
        ]);
        for (host, interface, addresses) in [(a, &a_if, a_addresses), (b, &b_if, b_addresses)] {
            for address in addresses {
                if address.contains(':') {
                    host.ip(&["addr", "add", address, "dev", interface, "nodad"]);
                } else {
                    host.ip(&["addr", "add", address, "dev", interface]);
                }
            }
            host.ip(&["link", "set", interface, "up"]);
        }
        for (host, interface) in [(a, &a_if), (b, &b_if)] {
            wait_for("a link to come up", || {
                let link = host.ip(&["-br", "link", "show", "dev", interface]);
                link.contains("LOWER_UP").then_some(())
            });
        }
    }

    /// A switch: a host that bridges whatever is plugged into it.
    #[track_caller]
    pub fn switch(&self, name: &str) -> Host {
        let switch = self.host(name);
        switch.ip(&["link", "add", BRIDGE, "type", "bridge"]);
        switch.ip(&["link", "set", BRIDGE, "up"]);
        switch
    }

    /// Plugs `host` into a switch; its end is called `to-SWITCH`.
    #[track_caller]
    pub fn plug(&self, host: &Host, addresses: &[&str], switch: &Host) {
        self.link(host, addresses, switch, &[]);
        let port = switch.interface_to(host);
        switch.ip(&["link", "set", &port, "master", BRIDGE]);
        wait_for("the switch's port to forward", || {
            let shown = switch.ip(&["-d", "link", "show", "dev", &port]);
            shown.contains("state forwarding").then_some(())
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A failure here must not hide the test's own.
        for namespace in self.namespaces.borrow().iter() {
            if let Err(e) = remove_namespace(namespace) {
                eprintln!("{e}");
            }
        }
    }
}

/// Removes the namespaces of test processes that no longer live.
fn sweep_leftovers() {
    for line in run(&["ip", "netns", "list"]).unwrap_or_default().lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            continue;
        }
        let owner = parts.next().and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another run may sweep at the same time.
            let _ = remove_namespace(name);
        }
    }
}

/// Removes a namespace, after whatever still runs in it: nothing does but what
/// a test started there and could not end.
fn remove_namespace(name: &str) -> Result<String, String> {
    for id in run(&["ip", "netns", "pids", name])?.split_whitespace() {
        if let Some(pid) = id.parse().ok().and_then(Pid::from_raw) {
            // It may end by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    run(&["ip", "netns", "del", name])
}

/// One namespace, seen as a host.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    pub namespace: String,
    dir: PathBuf,
}

impl Host {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Our end of the link to `other`.
    pub fn interface_to(&self, other: &Host) -> String {
        format!("to-{}", other.name)
    }

    /// Writes a file of this host's and gives its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, content)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }

    /// `ip -n NAMESPACE …`, which must succeed.
    #[track_caller]
    pub fn ip(&self, args: &[&str]) -> String {
        let argv: Vec<&str> = ["ip", "-n", &self.namespace]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        must(&argv)
    }

    /// A command inside the namespace.
    pub fn run(&self, args: &[&str]) -> Result<String, String> {
        let argv: Vec<&str> = ["ip", "netns", "exec", &self.namespace]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        run(&argv)
    }

    /// Runs `work` on a thread that has entered the namespace; sockets made
    /// there belong to it for good.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let file = fs::File::open(Path::new("/run/netns").join(&self.namespace))
                        .expect("the namespace exists as long as its lab");
                    rustix::thread::move_into_link_name_space(
                        std::os::fd::AsFd::as_fd(&file),
                        Some(rustix::thread::LinkNameSpaceType::Network),
                    )
                    .expect("root may enter a namespace");
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Number of routes in the main table, roughly: a count, not a dump, because
    /// it is asked often.
    pub fn kernel_route_count(&self, ipv6: bool) -> usize {
        self.enter(|| {
            if ipv6 {
                let stats = fs::read_to_string("/proc/thread-self/net/rt6_stats")
                    .expect("the kernel has IPv6");
                // Entries in the tree, the fourth field, in hexadecimal.
                stats
                    .split_whitespace()
                    .nth(3)
                    .and_then(|field| usize::from_str_radix(field, 16).ok())
                    .unwrap_or(0)
            } else {
                let stats = fs::read_to_string("/proc/thread-self/net/fib_triestat")
                    .expect("the kernel has IPv4");
                stats
                    .lines()
                    .filter_map(|line| line.trim().strip_prefix("Prefixes:"))
                    .filter_map(|rest| rest.trim().parse::<usize>().ok())
                    .sum()
            }
        })
    }

    /// Sets `key`, a path below `/proc/sys`, which the kernel resolves by the
    /// namespace of the thread that opens it.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| fs::write(&path, value))
            .unwrap_or_else(|e| panic!("cannot set {key} to {value}: {e}"));
    }

    /// Gives this host's directory to a user that a program changes to.
    #[track_caller]
    pub fn give_directory_to(&self, user: &str) {
        must(&["chown", user, &self.dir.to_string_lossy()]);
    }

    /// The first IPv6 address that is not of the link alone: for speakers that
    /// must be told which one to announce on an IPv4 session.
    #[track_caller]
    pub fn ipv6_address(&self) -> String {
        let shown = self.ip(&["-6", "-br", "addr", "show", "scope", "global"]);
        let address = shown.split_whitespace().find(|word| word.contains(':'));
        let address = address.and_then(|word| word.split('/').next());
        address.expect("the host has an IPv6 address").to_owned()
    }

    /// The kernel's routes as `ip -j route` tells them, unicast and blackhole.
    pub fn routes(&self, family: &str, selector: &[&str]) -> Vec<serde_json::Value> {
        let args: Vec<&str> = ["-j", family, "route", "show"]
            .into_iter()
            .chain(selector.iter().copied())
            .collect();
        let text = self.ip(&args);
        if text.trim().is_empty() {
            return Vec::new();
        }
        serde_json::from_str(&text).expect("iproute2 writes JSON")
    }

    /// One ping; true when it was answered within a second.
    pub fn pings(&self, target: &str) -> bool {
        self.run(&["ping", "-n", "-q", "-c", "1", "-W", "1", target])
            .is_ok()
    }
}
