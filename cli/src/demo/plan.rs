//! Who there is, how they are cabled and what each one's configuration says.
//!
//! ```text
//!        tor1 ─────────── tor2          10.9.0.0/30
//!       ╱ │ ╲ ╲         ╱ ╱ │ ╲         tor T – host H: 10.T.H.0/30
//!   host11 host12   host21 host22       T is .1, H is .2
//!     │      │        │      │
//!   pod11  pod12    pod21  pod22        10.244.H.0/26, the pod is .2
//! ```

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;

/// The far cable of the first rack: the one that the story cuts.
pub const CUT: (&str, &str) = ("tor1", "host11");

const TORS: [u8; 2] = [1, 2];
const HOSTS: [u8; 4] = [11, 12, 21, 22];

#[derive(Debug)]
pub struct Plan {
    pub nodes: Vec<Node>,
    pub cables: Vec<Cable>,
    pub pods: Vec<Pod>,
    pub reflector: bool,
}

/// A router: it runs a daemon.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub asn: u32,
    router_id: Ipv4Addr,
    /// The pods' prefixes that it originates; none: a ToR.
    pub prefixes: Vec<IpNet>,
    neighbours: Vec<Neighbour>,
}

#[derive(Debug)]
struct Neighbour {
    name: String,
    address: IpAddr,
}

/// Two ends; each end's interface has the name of the other's node.
#[derive(Debug)]
pub struct Cable {
    pub ends: [CableEnd; 2],
}

#[derive(Debug)]
pub struct CableEnd {
    pub node: String,
    pub addresses: [IpNet; 2],
}

/// Behind a host, reached over its interface `pod`.
#[derive(Debug)]
pub struct Pod {
    pub name: String,
    pub host: String,
    pub addresses: [IpAddr; 2],
}

impl Plan {
    pub fn new(reflector: bool) -> Plan {
        let mut cables = Vec::new();
        for tor in TORS {
            for host in HOSTS {
                cables.push(cable(
                    [format!("tor{tor}"), format!("host{host}")],
                    Ipv4Addr::new(10, tor, host, 0),
                    // The digits of both numbers, read as hexadecimal ones.
                    hex(&[0xfd00, u16::from(tor), digits(host)]),
                ));
            }
        }
        cables.push(cable(
            ["tor1".into(), "tor2".into()],
            Ipv4Addr::new(10, 9, 0, 0),
            hex(&[0xfd00, 9]),
        ));
        let tors = TORS.map(|n| Node {
            name: format!("tor{n}"),
            asn: if reflector {
                65000
            } else {
                65100 + u32::from(n)
            },
            router_id: Ipv4Addr::new(10, 255, 0, n),
            prefixes: Vec::new(),
            neighbours: Vec::new(),
        });
        let hosts = HOSTS.map(|n| Node {
            name: format!("host{n}"),
            asn: if reflector {
                65000
            } else {
                65000 + u32::from(n)
            },
            router_id: Ipv4Addr::new(10, 255, 0, n),
            prefixes: vec![
                net(Ipv4Addr::new(10, 244, n, 0).into(), 26),
                net(hex(&[0xfd44, digits(n)]).into(), 64),
            ],
            neighbours: Vec::new(),
        });
        let mut nodes: Vec<Node> = tors.into_iter().chain(hosts).collect();
        for node in &mut nodes {
            node.neighbours = cables.iter().filter_map(|c| c.neighbour_of(node)).collect();
        }
        let pods = HOSTS.map(|n| Pod {
            name: format!("pod{n}"),
            host: format!("host{n}"),
            addresses: [
                Ipv4Addr::new(10, 244, n, 2).into(),
                with_last(hex(&[0xfd44, digits(n)]), 2).into(),
            ],
        });
        Plan {
            nodes,
            cables,
            pods: pods.into(),
            reflector,
        }
    }

    pub fn hosts(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.prefixes.is_empty())
    }
}

impl Node {
    /// Name of the neighbour that has this address.
    pub fn neighbour_name(&self, address: &str) -> Option<&str> {
        let address: IpAddr = address.parse().ok()?;
        let found = self.neighbours.iter().find(|n| n.address == address);
        found.map(|n| n.name.as_str())
    }

    /// The daemon's configuration file.
    pub fn configuration(&self, reflector: bool, socket: &Path) -> String {
        let mut out = String::new();
        let tor = self.prefixes.is_empty();
        let remote = if reflector { "internal" } else { "external" };
        let lines = format!(
            "[router]\nasn = {}\nrouter-id = \"{}\"\nmultipath-relax = true\n\n\
             [api]\nunix = \"{}\"\n\n\
             [peer-group.all]\nremote-as = \"{remote}\"\nhold-time = \"3s\"\n\
             connect-retry = \"1s\"\nimport = [\"accept-all\"]\nexport = [\"{}\"]\n",
            self.asn,
            self.router_id,
            socket.display(),
            match (tor, reflector) {
                (false, _) => "own-pods",
                (true, false) => "accept-all",
                (true, true) => "by-me",
            },
        );
        out.push_str(&lines);
        for n in &self.neighbours {
            write!(
                out,
                "\n[[peer]]\naddress = \"{}\"\ngroup = \"all\"\ndescription = \"{}\"\n",
                n.address, n.name
            )
            .expect("a string takes all");
            if reflector && tor && n.name.starts_with("host") {
                out.push_str("route-reflector-client = true\n");
            }
        }
        if reflector && tor {
            out.push_str(
                "\n# Nothing else tells the hosts how to reach each other's uplinks.\n\
                 [[policy.route.by-me]]\nset = { next-hop = \"self\" }\nthen = \"accept\"\n",
            );
        }
        if tor {
            return out;
        }
        for prefix in &self.prefixes {
            write!(
                out,
                "\n[[originate]]\nprefix = \"{prefix}\"\nblackhole = true\n"
            )
            .expect("a string takes all");
        }
        let own: Vec<String> = self.prefixes.iter().map(|p| format!("\"{p}\"")).collect();
        write!(
            out,
            "\n# A host is no way from one ToR to the other.\n\
             [policy.prefix-set]\npods = [{}]\n\n\
             [[policy.route.own-pods]]\nmatch = {{ prefix-set = \"pods\" }}\nthen = \"accept\"\n",
            own.join(", ")
        )
        .expect("a string takes all");
        out
    }
}

impl Cable {
    fn neighbour_of(&self, node: &Node) -> Option<Neighbour> {
        let at = self.ends.iter().position(|end| end.node == node.name)?;
        let other = &self.ends[1 - at];
        Some(Neighbour {
            name: other.node.clone(),
            address: other.addresses[0].addr(),
        })
    }
}

fn cable(nodes: [String; 2], ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Cable {
    let [a, b] = nodes;
    let end = |node: String, last: u8| {
        let [x, y, z, _] = ipv4.octets();
        CableEnd {
            node,
            addresses: [
                net(Ipv4Addr::new(x, y, z, last).into(), 30),
                net(with_last(ipv6, u16::from(last)).into(), 64),
            ],
        }
    };
    Cable {
        ends: [end(a, 1), end(b, 2)],
    }
}

fn net(address: IpAddr, len: u8) -> IpNet {
    IpNet::new(address, len).expect("a length of its family")
}

/// The leading groups of an IPv6 address; the rest is zero.
fn hex(groups: &[u16]) -> Ipv6Addr {
    let mut all = [0; 8];
    all[..groups.len()].copy_from_slice(groups);
    Ipv6Addr::from(all)
}

fn with_last(address: Ipv6Addr, last: u16) -> Ipv6Addr {
    let mut all = address.segments();
    all[7] = last;
    Ipv6Addr::from(all)
}

/// 21 as 0x21, so that addresses read like the names.
fn digits(n: u8) -> u16 {
    u16::from(n / 10 * 16 + n % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_is_sound() {
        for reflector in [false, true] {
            for node in &Plan::new(reflector).nodes {
                let text = node.configuration(reflector, Path::new("/run/x.sock"));
                let parsed = godwit_config::parse("demo.toml", &text);
                let config = parsed.unwrap_or_else(|e| panic!("{}: {e}", node.name));
                assert_eq!(config.warnings, Vec::<String>::new());
                assert_eq!(
                    config.peers.len(),
                    if node.name.starts_with("tor") { 5 } else { 2 }
                );
            }
        }
    }

    #[test]
    fn both_ends_of_a_cable_know_each_other() {
        let plan = Plan::new(false);
        let node = |name: &str| {
            plan.nodes
                .iter()
                .find(|n| n.name == name)
                .expect("it is planned")
        };
        assert_eq!(node("tor1").neighbour_name("10.1.11.2"), Some("host11"));
        assert_eq!(node("host11").neighbour_name("10.1.11.1"), Some("tor1"));
        assert_eq!(node("tor2").neighbour_name("10.9.0.1"), Some("tor1"));
        assert_eq!(node("host11").neighbour_name("10.1.12.1"), None);
    }
}
