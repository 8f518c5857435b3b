//! Processes that a test started: each leads a process group of its own, is
//! killed with its parent thread (also when that is killed), and leaves its
//! output in a file that is shown when the test fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use std::os::unix::process::CommandExt;

use crate::wait::wait_for_within;

#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `argv` in the network namespace `namespace`; output goes to `log`.
    pub fn start(name: &str, namespace: &str, argv: &[&str], log: &Path) -> Daemon {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        let child = Command::new("ip")
            .args(["netns", "exec", namespace])
            // std has no parent-death signal without unsafe code; `ip netns
            // exec` and setpriv both exec, so the process id stays the same.
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .args(argv)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log file can be shared"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {argv:?}: {e}"));
        Daemon {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal)
            .unwrap_or_else(|e| panic!("cannot signal {}: {e}", self.name));
    }

    /// Stops it as a hung peer is stopped: sockets stay open, nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it without a word, as a crash does.
    pub fn kill(&mut self) {
        // Fails only when it is gone already, which is what is wanted.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits until it has; its exit code, if it had one.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait_exit()
    }

    /// Waits until it ends by itself.
    pub fn wait_exit(&mut self) -> Option<i32> {
        let name = self.name.clone();
        wait_for_within(Duration::from_secs(20), &format!("{name} to end"), || {
            self.child.try_wait().expect("our own child")
        })
        .code()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Seconds of processor time used so far, all threads.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The name in parentheses may hold spaces: count fields after it.
        let ticks: u64 = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Peak resident memory in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let skip = log.lines().count().saturating_sub(80);
            eprintln!("--- the last words of {} ---", self.name);
            for line in log.lines().skip(skip) {
                eprintln!("{line}");
            }
        }
    }
}

/// Runs a command to its end; its standard output when it succeeded.
pub fn run(argv: &[&str]) -> Result<String, String> {
    let (program, args) = argv.split_first().expect("a command");
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run {program}: {e}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(stdout)
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("{argv:?}: {}: {stdout}{stderr}", output.status))
    }
}

/// [`run`] for what must succeed.
#[track_caller]
pub fn must(argv: &[&str]) -> String {
    run(argv).unwrap_or_else(|e| panic!("{e}"))
}

/// Fails unless `program` is installed, and says how to get it.
#[track_caller]
pub fn require(program: &str, package: &str) {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/frr"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists());
    assert!(
        found,
        "{program} is not installed; `apt-get install {package}`, or run the tests by ./test"
    );
}
