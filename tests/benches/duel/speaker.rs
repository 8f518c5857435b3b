//! The speakers, each with its own configuration for the same job: every tester
//! may come from the range, everything is accepted.

use std::fmt;

use godwit_tests::Host;
use godwit_tests::child::Daemon;
use godwit_tests::godwit::godwitd_path;

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
}

/// Not a two-octet private number: real tables have those in their paths.
pub const ASN: u32 = 4_210_000_000;

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Speaker::Godwit => "Godwit",
            Speaker::Bird => "BIRD",
            Speaker::Frr => "FRR",
        })
    }
}

impl Speaker {
    pub fn start(self, host: &Host, job: Job) -> Daemon {
        let config = host.write("speaker.conf", &self.configuration(host, job));
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
            Speaker::Bird => ["bird", "-f", "-c", &config, "-s", &path("bird.ctl")]
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

    fn configuration(self, host: &Host, job: Job) -> String {
        let remote = if job.reflect { "internal" } else { "external" };
        match self {
            Speaker::Godwit => {
                let client = if job.reflect {
                    "route-reflector-client = true\n"
                } else {
                    "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n"
                };
                format!(
                    "[router]\nasn = {ASN}\nrouter-id = \"10.0.0.1\"\nlisten = [\"0.0.0.0:179\"]\n\n\
                     [[peer]]\nrange = \"10.0.0.0/16\"\nremote-as = \"{remote}\"\nhold-time = \"240s\"\n{client}\n\
                     [fib]\nenabled = {}\n\n[api]\nunix = \"{}\"\n",
                    job.kernel,
                    host.dir().join("godwit.sock").display()
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
                format!(
                    "router id 10.0.0.1;\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\n{kernel}\
                     protocol bgp testers {{ local 10.0.0.1 as {ASN}; \
                     neighbor range 10.0.0.0/16 {as_of_peers}; direct; passive; hold time 240; \
                     dynamic name \"t\"; {client} ipv4 {{ import all; export where source = RTS_BGP; {keep} }}; }}\n"
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
                     neighbor t remote-as {remote}\n neighbor t passive\n neighbor t timers 80 240\n \
                     bgp listen range 10.0.0.0/16 peer-group t\n address-family ipv4 unicast\n  \
                     neighbor t activate\n{client} exit-address-family\n"
                )
            }
        }
    }
}
