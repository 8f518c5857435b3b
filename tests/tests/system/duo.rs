//! The daemon and one other speaker on a link, with a raw speaker behind:
//!
//! ```text
//!   them 10.0.0.2 ── 10.0.0.1 us 10.0.1.1 ── 10.0.1.2 raw
//!   AS 65002         AS 64512                AS 65003
//! ```

use std::net::IpAddr;

use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen};
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::{Host, Lab, wait_for};

pub const OUR_ASN: u32 = 64512;
pub const THEIR_ASN: u32 = 65002;
pub const RAW_ASN: u32 = 65003;

pub const US: &str = "10.0.0.1";
pub const THEM: &str = "10.0.0.2";
pub const US_TO_RAW: &str = "10.0.1.1";
pub const RAW: &str = "10.0.1.2";

/// Ours, originated in every configuration here.
pub const OUR_IPV4: &str = "192.0.2.0/26";
pub const OUR_IPV6: &str = "2001:db8:1::/64";

/// How the two ends differ from the plain case.
#[derive(Clone, Debug)]
pub struct Options {
    pub we_wait: bool,
    pub they_wait: bool,
    pub they_speak_as4: bool,
    pub hold_time: u16,
    pub they_announce: Vec<Announce>,
    /// The AS number that they know us by.
    pub they_call_us: u32,
    /// The AS number that we know them by.
    pub we_call_them: u32,
    /// Lines for their configuration of us.
    pub their_lines: Vec<String>,
    /// Lines for our configuration of `them`.
    pub peer_lines: String,
    /// Lines for our configuration of `raw`.
    pub raw_lines: String,
    /// Whole sections of our configuration.
    pub sections: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            we_wait: false,
            they_wait: false,
            they_speak_as4: true,
            hold_time: 90,
            they_announce: vec![Announce::plain("10.2.0.0/24"), Announce::plain("fd02::/64")],
            they_call_us: OUR_ASN,
            we_call_them: THEIR_ASN,
            their_lines: Vec::new(),
            peer_lines: "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n".to_owned(),
            raw_lines: String::new(),
            sections: String::new(),
        }
    }
}

/// Fields drop in order: processes before the namespaces that they live in.
#[derive(Debug)]
pub struct Duo<R> {
    pub us: Godwit,
    pub them: R,
    pub us_host: Host,
    pub them_host: Host,
    pub raw_host: Host,
    _lab: Lab,
}

impl<R: Router> Duo<R> {
    #[track_caller]
    pub fn start(options: Options) -> Duo<R> {
        let lab = Lab::new();
        let [us_host, them_host, raw_host] = ["us", "them", "raw"].map(|name| lab.host(name));
        lab.link(
            &us_host,
            &["10.0.0.1/24", "fd00::1/64"],
            &them_host,
            &["10.0.0.2/24", "fd00::2/64"],
        );
        lab.link(
            &us_host,
            &["10.0.1.1/24", "fd00:1::1/64"],
            &raw_host,
            &["10.0.1.2/24", "fd00:1::2/64"],
        );
        let us = Godwit::start(&us_host, &configuration(&options));
        let them = R::start(
            &them_host,
            RouterSpec {
                asn: THEIR_ASN,
                router_id: THEM.to_owned(),
                neighbours: vec![Neighbour {
                    passive: options.they_wait,
                    as4: options.they_speak_as4,
                    hold_time: options.hold_time,
                    // FRR without capabilities carries nothing but IPv4.
                    ipv6: options.they_speak_as4,
                    extra: options.their_lines,
                    ..Neighbour::new(US, options.they_call_us)
                }],
                announce: options.they_announce,
            },
        );
        Duo {
            us,
            them,
            us_host,
            them_host,
            raw_host,
            _lab: lab,
        }
    }

    /// Both ends say that the session is up.
    #[track_caller]
    pub fn wait_established(&self) {
        let us: IpAddr = US.parse().expect("an address");
        wait_for("the session, as they see it", || {
            self.them.is_established(us).then_some(())
        });
        self.us.wait_established(THEM);
    }

    #[track_caller]
    pub fn wait_their_route(&self, prefix: &str) {
        wait_for(&format!("their route {prefix} here"), || {
            self.us.best().contains(&prefix.to_owned()).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_our_route(&self, prefix: &str) {
        wait_for(&format!("our route {prefix} there"), || {
            self.them.route(prefix)
        });
    }

    /// A session of the raw speaker behind us.
    #[track_caller]
    pub fn raw(&self) -> Raw {
        Raw::establish(&self.raw_host, RAW, US_TO_RAW, &raw_open())
    }

    pub fn us_address() -> IpAddr {
        US.parse().expect("an address")
    }

    pub fn them_address() -> IpAddr {
        THEM.parse().expect("an address")
    }
}

pub fn raw_open() -> RawOpen {
    RawOpen::new(RAW_ASN, RAW)
}

pub fn configuration(options: &Options) -> String {
    let Options {
        we_wait,
        we_call_them,
        hold_time,
        peer_lines,
        raw_lines,
        sections,
        ..
    } = options;
    format!(
        r#"
[router]
asn = {OUR_ASN}
router-id = "{US}"

[[originate]]
prefix = "{OUR_IPV4}"
blackhole = true

[[originate]]
prefix = "{OUR_IPV6}"
blackhole = true

[[peer]]
address = "{THEM}"
remote-as = {we_call_them}
passive = {we_wait}
hold-time = "{hold_time}s"
connect-retry = "1s"
{peer_lines}
[[peer]]
address = "{RAW}"
remote-as = {RAW_ASN}
passive = true
import = ["accept-all"]
export = ["accept-all"]
{raw_lines}
{sections}
"#
    )
}
