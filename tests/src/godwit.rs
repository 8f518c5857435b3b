//! Our own daemon, and its command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::child::{Daemon, run};
use crate::lab::Host;
use crate::wait::wait_for;

/// A built program of this workspace: by the environment variable, else beside
/// the directory of the running test.
#[track_caller]
fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let exe = std::env::current_exe().expect("a test has a path");
    let path = exe
        .parent()
        .and_then(Path::parent)
        .expect("tests are built into target/PROFILE/deps")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: `cargo build -p godwit-bgpd -p godwit-cli` first, or set {variable}",
        path.display()
    );
    path
}

/// Path of `godwitd`.
#[track_caller]
pub fn godwitd_path() -> PathBuf {
    program("GODWITD", "godwitd")
}

/// Path of `godwit`.
#[track_caller]
pub fn godwit_path() -> PathBuf {
    program("GODWIT", "godwit")
}

/// A running `godwitd`.
#[derive(Debug)]
pub struct Godwit {
    host: Host,
    socket: PathBuf,
    process: Daemon,
}

impl Godwit {
    /// Starts it with `config` below a first part that says where its socket
    /// and its state are, and waits until it answers.
    #[track_caller]
    pub fn start(host: &Host, config: &str) -> Godwit {
        write_config(host, config);
        let socket = host.dir().join("godwit.sock");
        let process = launch(host, &socket);
        Godwit {
            host: host.clone(),
            socket,
            process,
        }
    }

    /// Path of its API's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn process(&mut self) -> &mut Daemon {
        &mut self.process
    }

    /// Kills it as a crash does and starts it again with the same files.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.host, &self.socket);
    }

    /// Starts it again after it ended.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process = launch(&self.host, &self.socket);
    }

    /// Writes another configuration and has it read.
    pub fn reload(&self, config: &str) {
        write_config(&self.host, config);
        self.process.signal(rustix::process::Signal::HUP);
    }

    /// `godwit ARGS`: standard output, or the error with its exit status.
    pub fn cli(&self, args: &[&str]) -> Result<String, String> {
        let (godwit, socket) = (godwit_path(), self.socket.to_string_lossy());
        let godwit = godwit.to_string_lossy();
        let argv: Vec<&str> = [&*godwit, "--socket", &*socket]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        run(&argv)
    }

    /// `godwit -o json ARGS`, which must succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let argv: Vec<&str> = ["-o", "json"]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        let text = self.cli(&argv).unwrap_or_else(|e| panic!("{e}"));
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{args:?} gave no JSON ({e}): {text}"))
    }

    /// The peer's state in lower case.
    pub fn peer_state(&self, address: IpAddr) -> Option<String> {
        let peers = self.json(&["peer", "list"]);
        let state = find_peer(&peers, address)?["state"]
            .as_str()?
            .to_lowercase();
        Some(state)
    }

    pub fn is_established(&self, address: IpAddr) -> bool {
        self.peer_state(address)
            .is_some_and(|state| state.contains("established"))
    }

    #[track_caller]
    pub fn wait_established(&self, address: &str) {
        let address: IpAddr = address.parse().expect("an address");
        wait_for(&format!("the session with {address}"), || {
            self.is_established(address).then_some(())
        });
    }

    /// The best routes, as prefixes.
    pub fn best(&self) -> Vec<String> {
        prefixes(&self.json(&["route", "list"]))
    }
}

/// A running `godwitd bfd`.
#[derive(Debug)]
pub struct BfdProcess {
    process: Daemon,
}

impl BfdProcess {
    /// Starts it; a [`Godwit`] on this host finds it with
    /// [`BfdProcess::section`] in its configuration.
    #[track_caller]
    pub fn start(host: &Host) -> BfdProcess {
        let socket = host.dir().join("bfd.sock");
        let mut process = Daemon::start(
            &format!("godwitd bfd on {}", host.name),
            &host.namespace,
            &[
                &godwitd_path().to_string_lossy(),
                "bfd",
                "--socket",
                &socket.to_string_lossy(),
            ],
            &host.dir().join("bfd.log"),
        );
        wait_for("godwitd bfd to answer", || {
            assert!(process.is_running(), "it ended: {}", process.log());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        BfdProcess { process }
    }

    /// The section of a daemon's configuration that leads here.
    pub fn section(host: &Host) -> String {
        let socket = host.dir().join("bfd.sock");
        format!("[bfd]\nsocket = \"{}\"\n", socket.display())
    }

    pub fn process(&mut self) -> &mut Daemon {
        &mut self.process
    }
}

/// The peer of this address in the output of `peer list`.
pub fn find_peer(list: &Value, address: IpAddr) -> Option<&Value> {
    let peers = list["peers"].as_array().or_else(|| list.as_array())?;
    peers.iter().find(|peer| {
        peer["address"]
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok())
            == Some(address)
    })
}

/// Every prefix in the output of `route list`, whatever it is grouped by.
pub fn prefixes(list: &Value) -> Vec<String> {
    fn walk(value: &Value, key: &str, out: &mut Vec<String>) {
        match value {
            Value::Array(all) => all.iter().for_each(|item| walk(item, key, out)),
            Value::Object(map) => map.iter().for_each(|(key, item)| walk(item, key, out)),
            Value::String(text) if matches!(key, "prefix" | "prefixes") => out.push(text.clone()),
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(list, "", &mut out);
    out.sort();
    out.dedup();
    out
}

fn write_config(host: &Host, config: &str) {
    let dir = host.dir().to_string_lossy();
    let head = format!("[api]\nunix = \"{dir}/godwit.sock\"\n\n");
    host.write("godwit.toml", &(head + config));
}

#[track_caller]
fn launch(host: &Host, socket: &Path) -> Daemon {
    let _ = std::fs::remove_file(socket);
    let config = host.dir().join("godwit.toml");
    let mut process = Daemon::start(
        &format!("godwitd on {}", host.name),
        &host.namespace,
        &[
            &godwitd_path().to_string_lossy(),
            "-c",
            &config.to_string_lossy(),
            "--state-dir",
            &host.dir().to_string_lossy(),
        ],
        &host.dir().join("godwitd.log"),
    );
    wait_for("godwitd to answer", || {
        assert!(process.is_running(), "godwitd ended: {}", process.log());
        std::os::unix::net::UnixStream::connect(socket).ok()
    });
    process
}
