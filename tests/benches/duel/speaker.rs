//! The speakers, each with its own configuration for the same job: every tester
//! may come from the range.

use std::fmt;

use godwit_tests::Host;
use godwit_tests::child::{Daemon, must};
use godwit_tests::godwit::{godwit_path, godwitd_path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    Godwit,
    Bird,
    Frr,
}

/// What the speaker is to be.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// A reflector, its testers in the same AS; else each has an AS of its own.
    pub reflect: bool,
    /// Write the routes to the kernel.
    pub kernel: bool,
    /// Of every session, in seconds.
    pub hold_time: u16,
    pub policies: Policies,
    /// Another import policy is to be applied to what was received, without
    /// asking the peers for it again.
    pub keeps_received: bool,
}

/// What becomes of the routes of external testers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policies {
    /// All are accepted, in and out.
    Accept,
    /// All but those of length [`REJECTED`] are accepted, with [`MARK`]; on the
    /// way in.
    MarkIn,
    /// The same on the way out.
    MarkOut,
}

/// The length of the prefixes that a policy rejects.
pub const REJECTED: u8 = 22;
/// The community that a policy adds to all others.
pub const MARK: (u16, u16) = (65000, 1);

/// Not a two-octet private number: real tables have those in their paths.
pub const ASN: u32 = 4_210_000_000;

impl Policies {
    /// What stands for import and for export: what is plain there, or what marks.
    fn by_direction<'a>(self, plain: [&'a str; 2], mark: &'a str) -> [&'a str; 2] {
        let [import, export] = plain;
        match self {
            Policies::Accept => plain,
            Policies::MarkIn => [mark, export],
            Policies::MarkOut => [import, mark],
        }
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Speaker::Godwit => "Godwit",
            Speaker::Bird => "BIRD",
            Speaker::Frr => "FRR",
        })
    }
}

const CONFIG: &str = "speaker.conf";
const GODWIT_SOCKET: &str = "godwit.sock";
const BIRD_SOCKET: &str = "bird.ctl";

impl Speaker {
    pub fn start(self, host: &Host, job: Job) -> Daemon {
        let config = host.write(CONFIG, &self.configuration(host, job));
        let dir = host.dir();
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let config = config.to_string_lossy().into_owned();
        let argv: Vec<String> = match self {
            Speaker::Godwit => vec![
                godwitd_path().to_string_lossy().into_owned(),
                "-c".into(),
                config,
                "--state-dir".into(),
                path("state"),
            ],
            Speaker::Bird => ["bird", "-f", "-c", &config, "-s", &path(BIRD_SOCKET)]
                .map(str::to_owned)
                .to_vec(),
            Speaker::Frr => [
                "/usr/lib/frr/bgpd",
                // No zebra: next hops count as valid, no kernel routes.
                "-Z",
                "-n",
                "-S",
                "-u",
                "root",
                "-g",
                "root",
                "-f",
                &config,
                "-A",
                "127.0.0.1",
                "-P",
                "0",
                "--vty_socket",
                &dir.to_string_lossy(),
                "-i",
                &path("bgpd.pid"),
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Daemon::start(&self.to_string(), &host.namespace, &argv, &dir.join("log"))
    }

    /// Has a running one do another job, whose sessions are the same, by the
    /// command that its operators use.
    pub fn reload(self, host: &Host, job: Job) {
        host.write(CONFIG, &self.configuration(host, job));
        let path = |name: &str| host.dir().join(name).to_string_lossy().into_owned();
        match self {
            Speaker::Godwit => {
                let godwit = godwit_path();
                let godwit = godwit.to_string_lossy();
                must(&[
                    &godwit,
                    "--socket",
                    &path(GODWIT_SOCKET),
                    "config",
                    "reload",
                ]);
            }
            Speaker::Bird => {
                // `configure soft` would leave what is advertised as it is.
                let told = must(&["birdc", "-s", &path(BIRD_SOCKET), "configure"]);
                assert!(told.contains("Reconfigur"), "{told}");
            }
            Speaker::Frr => unreachable!("no load reloads FRR"),
        }
    }

    fn configuration(self, host: &Host, job: Job) -> String {
        let remote = if job.reflect { "internal" } else { "external" };
        match self {
            Speaker::Godwit => {
                let [import, export] = job.policies.by_direction(["accept-all"; 2], "mark");
                let client = if job.reflect {
                    "route-reflector-client = true\n".to_owned()
                } else {
                    format!("import = [\"{import}\"]\nexport = [\"{export}\"]\n")
                };
                let policy = format!(
                    "[policy.prefix-set]\nrejected = [\"0.0.0.0/0{{{REJECTED},{REJECTED}}}\"]\n\
                     [[policy.route.mark]]\nmatch = {{ prefix-set = \"rejected\" }}\nthen = \"reject\"\n\
                     [[policy.route.mark]]\nset = {{ community-add = [\"{}:{}\"] }}\nthen = \"accept\"\n",
                    MARK.0, MARK.1
                );
                format!(
                    "[router]\nasn = {ASN}\nrouter-id = \"10.0.0.1\"\nlisten = [\"0.0.0.0:179\"]\n\n\
                     [[peer]]\nrange = \"10.0.0.0/16\"\nremote-as = \"{remote}\"\nhold-time = \"{}s\"\n{client}\n\
                     {policy}\n[fib]\nenabled = {}\n\n[api]\nunix = \"{}\"\n",
                    job.hold_time,
                    job.kernel,
                    host.dir().join(GODWIT_SOCKET).display()
                )
            }
            Speaker::Bird => {
                let kernel = if job.kernel {
                    "protocol kernel { metric 0; ipv4 { import none; export where source = RTS_BGP; }; }\n"
                } else {
                    ""
                };
                let (as_of_peers, client, keep) = if job.reflect {
                    (
                        format!("as {ASN}"),
                        "rr client; rr cluster id 10.0.0.1;",
                        "next hop keep;",
                    )
                } else {
                    ("external".to_owned(), "", "")
                };
                let mark = format!(
                    "filter {{ if source != RTS_BGP || net.len = {REJECTED} then reject; \
                     bgp_community.add(({},{})); accept; }}",
                    MARK.0, MARK.1
                );
                let plain = ["all", "where source = RTS_BGP"];
                let [import, export] = job.policies.by_direction(plain, &mark);
                let table = if job.keeps_received {
                    "import table on; "
                } else {
                    ""
                };
                format!(
                    "router id 10.0.0.1;\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\n{kernel}\
                     protocol bgp testers {{ local 10.0.0.1 as {ASN}; \
                     neighbor range 10.0.0.0/16 {as_of_peers}; direct; passive; hold time {}; \
                     dynamic name \"t\"; {client} \
                     ipv4 {{ {table}import {import}; export {export}; {keep} }}; }}\n",
                    job.hold_time
                )
            }
            Speaker::Frr => {
                let client = if job.reflect {
                    "  neighbor t route-reflector-client\n"
                } else {
                    ""
                };
                format!(
                    "router bgp {ASN}\n bgp router-id 10.0.0.1\n no bgp default ipv4-unicast\n \
                     no bgp ebgp-requires-policy\n bgp listen limit 5000\n neighbor t peer-group\n \
                     neighbor t remote-as {remote}\n neighbor t passive\n neighbor t timers {} {}\n \
                     bgp listen range 10.0.0.0/16 peer-group t\n address-family ipv4 unicast\n  \
                     neighbor t activate\n{client} exit-address-family\n",
                    job.hold_time / 3,
                    job.hold_time
                )
            }
        }
    }
}
