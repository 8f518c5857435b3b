//! Whole routing tables: read from a file, or made up in the likeness of the
//! Internet's default-free zone.

use std::collections::HashSet;
use std::fmt;
use std::io::BufRead;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::attrs;

/// Routes that share their AS paths.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub paths: Vec<Vec<u32>>,
    /// Prefix, and index of its path.
    pub routes: Vec<(IpNet, usize)>,
}

/// Share of each prefix length, in tenths of a percent, as route collectors
/// see them: more than half of all IPv4 prefixes are /24.
const LENGTHS_IPV4: &[(u8, u32)] = &[
    (24, 600),
    (23, 100),
    (22, 112),
    (21, 53),
    (20, 46),
    (19, 27),
    (18, 15),
    (17, 9),
    (16, 14),
    (15, 3),
    (14, 3),
    (13, 1),
    (12, 1),
    (11, 1),
    (10, 1),
];
const LENGTHS_IPV6: &[(u8, u32)] = &[
    (48, 470),
    (47, 25),
    (46, 30),
    (45, 15),
    (44, 105),
    (42, 30),
    (40, 85),
    (36, 40),
    (33, 20),
    (32, 125),
    (31, 3),
    (30, 5),
    (29, 45),
    (28, 2),
];

/// Prefixes that share one path, on average; of a real table: 11 and 3.
const PREFIXES_A_PATH: [usize; 2] = [11, 3];

impl Table {
    /// `count` different prefixes of one family. The same seed gives the same
    /// table.
    pub fn generate(ipv6: bool, count: usize, seed: u64) -> Table {
        let mut random = Random(seed ^ if ipv6 { 0x6666_6666 } else { 0 });
        let paths: Vec<Vec<u32>> = (0..(count / PREFIXES_A_PATH[usize::from(ipv6)]).max(1))
            .map(|_| random_path(&mut random))
            .collect();
        let lengths = if ipv6 { LENGTHS_IPV6 } else { LENGTHS_IPV4 };
        let mut seen = HashSet::with_capacity(count);
        let mut routes = Vec::with_capacity(count);
        while routes.len() < count {
            // A few origins announce thousands of prefixes, most only some.
            let path = (random.unit().powi(3) * paths.len() as f64) as usize;
            let len = random.weighted(lengths);
            let prefix = if ipv6 {
                random_ipv6(&mut random, path, len)
            } else {
                random_ipv4(&mut random, path, len)
            };
            if let Some(prefix) = prefix
                && seen.insert(prefix)
            {
                routes.push((prefix, path));
            }
        }
        routes.sort();
        Table { paths, routes }
    }

    /// Reads lines of `prefix as as …`.
    pub fn read(path: &Path) -> Result<Table, String> {
        let file = std::fs::File::open(path)
            .map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let mut table = Table::default();
        let mut known = std::collections::HashMap::new();
        for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
            let wrong = |what: &str| format!("{}:{}: {what}", path.display(), number + 1);
            let line = line.map_err(|e| wrong(&e.to_string()))?;
            let Some((prefix, rest)) = line.split_once(' ') else {
                return Err(wrong("no AS path"));
            };
            let prefix: IpNet = prefix.parse().map_err(|_| wrong("no prefix"))?;
            let asns: Vec<u32> = rest
                .split_whitespace()
                .map(|asn| asn.parse().map_err(|_| wrong("no AS number")))
                .collect::<Result<_, _>>()?;
            let index = *known.entry(asns.clone()).or_insert_with(|| {
                table.paths.push(asns);
                table.paths.len() - 1
            });
            table.routes.push((prefix, index));
        }
        Ok(table)
    }

    pub fn prefixes(&self) -> HashSet<IpNet> {
        self.routes.iter().map(|(prefix, _)| *prefix).collect()
    }

    /// The bodies of UPDATEs that announce it all: prefixes of one path
    /// together, as many as a 4,096-byte message takes, `first_as` before each
    /// path.
    pub fn updates(
        &self,
        first_as: u32,
        next_hop: Ipv4Addr,
        next_hop_ipv6: Ipv6Addr,
    ) -> Vec<Vec<u8>> {
        self.encode(Some(first_as), next_hop, next_hop_ipv6)
    }

    /// As [`Table::updates`], for an internal session: with LOCAL_PREF, and
    /// nothing before the paths.
    pub fn updates_internal(&self, next_hop: Ipv4Addr, next_hop_ipv6: Ipv6Addr) -> Vec<Vec<u8>> {
        self.encode(None, next_hop, next_hop_ipv6)
    }

    fn encode(
        &self,
        first_as: Option<u32>,
        next_hop: Ipv4Addr,
        next_hop_ipv6: Ipv6Addr,
    ) -> Vec<Vec<u8>> {
        let mut by_path: Vec<Vec<IpNet>> = vec![Vec::new(); self.paths.len()];
        for (prefix, path) in &self.routes {
            by_path[*path].push(*prefix);
        }
        let mut out = Vec::new();
        for (path, prefixes) in self.paths.iter().zip(by_path) {
            let asns: Vec<u32> = first_as.into_iter().chain(path.iter().copied()).collect();
            let mut base = vec![attrs::origin(0), attrs::as_path(&asns)];
            if first_as.is_none() {
                base.push(attrs::local_pref(100));
            }
            let (ipv6, ipv4): (Vec<IpNet>, Vec<IpNet>) =
                prefixes.into_iter().partition(|p| p.addr().is_ipv6());
            // Five bytes are the most an IPv4 prefix takes; 17 an IPv6 one.
            for chunk in ipv4.chunks(700) {
                let all = [&base[..], &[attrs::next_hop(next_hop)]].concat();
                out.push(attrs::update(&[], &all, chunk));
            }
            for chunk in ipv6.chunks(200) {
                let all = [&base[..], &[attrs::mp_reach_ipv6(next_hop_ipv6, chunk)]].concat();
                out.push(attrs::update(&[], &all, &[]));
            }
        }
        out
    }
}

impl fmt::Display for Table {
    /// The format that [`Table::read`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (prefix, path) in &self.routes {
            write!(f, "{prefix}")?;
            for asn in &self.paths[*path] {
                write!(f, " {asn}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A way over one of few large transit networks to one of many origins.
fn random_path(random: &mut Random) -> Vec<u32> {
    let transit = |random: &mut Random| 1000 + (random.unit().powi(2) * 60.0) as u32;
    let regional = |random: &mut Random| 10_000 + random.below(4_000);
    let origin = if random.below(3) == 0 {
        131_072 + random.below(270_000)
    } else {
        20_000 + random.below(44_000)
    };
    let mut path = vec![transit(random)];
    if random.below(10) < 6 {
        path.push(transit(random) + 100);
    }
    for _ in 0..random.below(3) {
        path.push(regional(random));
    }
    // One in eight prepends itself.
    let times = if random.below(8) == 0 {
        2 + random.below(4)
    } else {
        1
    };
    path.extend((0..times).map(|_| origin));
    path
}

/// Most prefixes of one origin lie close together: its path decides the /12.
fn random_ipv4(random: &mut Random, path: usize, len: u8) -> Option<IpNet> {
    let near = Random(path as u64).next();
    let bits = if random.below(10) < 7 {
        (near as u32 & 0xfff0_0000) | (random.next() as u32 & 0x000f_ffff)
    } else {
        random.next() as u32
    };
    let net = Ipv4Net::new(Ipv4Addr::from(bits), len).ok()?.trunc();
    let first = net.addr().octets()[0];
    let reserved = [
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
    ];
    let global = (1..224).contains(&first)
        && first != 10
        && first != 127
        && !reserved.iter().any(|text| {
            let other: Ipv4Net = text.parse().expect("a prefix");
            other.contains(&net) || net.contains(&other)
        });
    global.then_some(IpNet::V4(net))
}

fn random_ipv6(random: &mut Random, path: usize, len: u8) -> Option<IpNet> {
    // 2000::/3, where the registries assign: 2001, 2400, 2600, 2800, 2a00, 2c00.
    let registries = [0x2001_u128, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2a00, 0x2c00];
    let registry = registries[random.below(7) as usize];
    let near = u128::from(Random(path as u64).next() & 0xffff_f000);
    let host = u128::from(random.next()) << 16;
    let low = if random.below(10) < 7 {
        (near << 80) | (host & ((1 << 92) - 1))
    } else {
        u128::from(random.next() & 0xffff_ffff) << 80 | host
    };
    let bits = registry << 112 | (low & ((1 << 112) - 1));
    Some(IpNet::V6(
        Ipv6Net::new(Ipv6Addr::from(bits), len).ok()?.trunc(),
    ))
}

/// SplitMix64: small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() >> 32) as u32 % end
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn weighted(&mut self, choices: &[(u8, u32)]) -> u8 {
        let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
        let mut at = self.below(total);
        for (value, weight) in choices {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        unreachable!("the weights add up to the total")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_table() {
        let (a, b) = (
            Table::generate(false, 500, 7),
            Table::generate(false, 500, 7),
        );
        assert_eq!(a.to_string(), b.to_string());
        assert_ne!(a.to_string(), Table::generate(false, 500, 8).to_string());
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for ipv6 in [false, true] {
            let table = Table::generate(ipv6, 300, 1);
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), table.to_string()).expect("written");
            let again = Table::read(file.path()).expect("its own format");
            assert_eq!(again.to_string(), table.to_string());
        }
    }

    #[test]
    fn updates_fit_a_message_and_hold_every_prefix_once() {
        for ipv6 in [false, true] {
            let table = Table::generate(ipv6, 20_000, 3);
            let updates = table.updates(65001, Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
            let mut seen = Vec::new();
            for body in &updates {
                assert!(body.len() + 19 <= 4096);
                seen.extend(attrs::ParsedUpdate::parse(body).announced);
            }
            assert_eq!(seen.len(), table.routes.len());
            assert_eq!(seen.into_iter().collect::<HashSet<_>>(), table.prefixes());
        }
    }

    #[test]
    fn most_ipv4_prefixes_are_slash_24() {
        let table = Table::generate(false, 10_000, 5);
        let many = table
            .routes
            .iter()
            .filter(|(p, _)| p.prefix_len() == 24)
            .count();
        assert!((5_000..7_500).contains(&many), "{many}");
    }
}
