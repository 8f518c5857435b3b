//! What the kernel drops before any socket hears of it. It counts for the whole
//! host: a sign, not a proof.

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock;
use crate::sync::lock;

/// How old a starting point may be: a thousand peers that go down at once read
/// the file once.
const FRESH: Duration = Duration::from_secs(1);

/// TCP segments dropped since the host started, or between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Without a TCP-MD5 signature, where a key is set.
    pub unsigned: u64,
    /// With a signature, where no key is set.
    pub unexpected: u64,
    /// With the signature of another key.
    pub wrong: u64,
    /// With a lower TTL than a socket takes (RFC 5082).
    pub ttl: u64,
}

impl Drops {
    /// Those of now.
    pub fn now() -> Drops {
        let text = fs::read_to_string("/proc/net/netstat");
        parse(&text.unwrap_or_default())
    }

    /// Those of now or a moment ago, to compare later ones with.
    pub fn lately() -> Drops {
        static CACHE: Mutex<Option<(Duration, Drops)>> = Mutex::new(None);
        let now = clock::now();
        let mut cache = lock(&CACHE);
        match *cache {
            Some((at, drops)) if now < at + FRESH => drops,
            _ => cache.insert((now, Drops::now())).1,
        }
    }

    pub fn since(self, before: Drops) -> Drops {
        Drops {
            unsigned: self.unsigned.saturating_sub(before.unsigned),
            unexpected: self.unexpected.saturating_sub(before.unexpected),
            wrong: self.wrong.saturating_sub(before.wrong),
            ttl: self.ttl.saturating_sub(before.ttl),
        }
    }
}

/// proc_net(5): two lines each, names and values, that begin alike.
fn parse(text: &str) -> Drops {
    let mut lines = text.lines();
    let mut drops = Drops::default();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            let place = match name {
                "TCPMD5NotFound" => &mut drops.unsigned,
                "TCPMD5Unexpected" => &mut drops.unexpected,
                "TCPMD5Failure" => &mut drops.wrong,
                "TCPMinTTLDrop" => &mut drops.ttl,
                _ => continue,
            };
            *place = value.parse().unwrap_or(0);
        }
    }
    drops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure TCPMinTTLDrop\n\
                    TcpExt: 1 2 3 4 5\nIpExt: InNoRoutes\nIpExt: 6\n";
        let drops = parse(text);
        let expected = Drops {
            unsigned: 2,
            unexpected: 3,
            wrong: 4,
            ttl: 5,
        };
        assert_eq!(drops, expected);
        assert_eq!(drops.since(drops), Drops::default());
        assert_eq!(parse(""), Drops::default());
    }

    #[test]
    fn this_kernel_has_the_file() {
        let text = fs::read_to_string("/proc/net/netstat").unwrap();
        assert!(text.contains("TCPMD5Failure") && text.contains("TCPMinTTLDrop"));
    }
}
