//! The TCP-MD5 keys on a listening socket.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use godwit_config::Password;
use godwit_netlink::sockopt;
use ipnet::IpNet;
use tracing::{error, info};

/// A listening socket as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    pub address: SocketAddr,
    /// Why it does not listen.
    pub error: Option<String>,
    /// Keys that it has.
    pub keys: usize,
    /// Whose key it does not have, and why: they cannot connect to us.
    pub keys_missing: BTreeMap<IpNet, String>,
}

/// What one socket has, and what it should have besides.
#[derive(Debug, Default)]
pub struct Keys {
    set: BTreeMap<IpNet, Password>,
    missing: BTreeMap<IpNet, String>,
}

impl Keys {
    pub fn count(&self) -> usize {
        self.set.len()
    }

    pub fn missing(&self) -> &BTreeMap<IpNet, String> {
        &self.missing
    }

    /// Makes these the socket's keys, as far as they are of its family. What
    /// could not be set is tried again the next time.
    pub fn set(
        &mut self,
        address: SocketAddr,
        socket: &impl AsFd,
        wanted: &BTreeMap<IpNet, Password>,
    ) {
        let ours = |peers: &IpNet| peers.addr().is_ipv4() == address.is_ipv4();
        // Removals first: the room for keys is small.
        self.set.retain(|peers, _| {
            wanted.contains_key(peers) || {
                if let Err(e) = sockopt::set_md5_key(socket, *peers, b"") {
                    error!(%address, %peers, "cannot remove a TCP-MD5 key: {e}");
                }
                false
            }
        });
        let before = std::mem::take(&mut self.missing);
        for (peers, password) in wanted.iter().filter(|(peers, _)| ours(peers)) {
            let same = |set: &Password| set.key() == password.key();
            if self.set.get(peers).is_some_and(same) {
                continue;
            }
            match sockopt::set_md5_key(socket, *peers, password.key()) {
                Ok(()) => {
                    self.set.insert(*peers, password.clone());
                }
                Err(e) => {
                    let why = explain(&e, wanted.len());
                    self.missing.insert(*peers, why);
                }
            }
        }
        if self.missing == before {
            return;
        }
        match self.missing.first_key_value() {
            Some((peers, why)) => error!(
                %address,
                first = %peers,
                missing = self.missing.len(),
                set = self.set.len(),
                "some peers cannot connect to us: {why}"
            ),
            None => info!(%address, "all TCP-MD5 keys are set now"),
        }
    }
}

/// The kernel's memory for a key: `struct tcp_md5sig_key` and what its allocator
/// adds, with room to spare.
const KEY_MEMORY: usize = 192;

fn explain(e: &io::Error, wanted: usize) -> String {
    const LIMIT: &str = "/proc/sys/net/core/optmem_max";
    // ENOMEM
    if e.kind() != io::ErrorKind::OutOfMemory {
        return format!("cannot set the TCP-MD5 key: {e}");
    }
    let now = fs::read_to_string(LIMIT).unwrap_or_default();
    let enough = (wanted * KEY_MEMORY).next_multiple_of(4096).max(131_072);
    format!(
        "the kernel has no room for more TCP-MD5 keys on one socket: net.core.optmem_max is {}; \
         `sysctl -w net.core.optmem_max={enough}`, then reload",
        now.trim()
    )
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, TcpListener};

    use super::*;

    fn password(key: &str) -> Password {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), key).unwrap();
        Password::read(file.path()).unwrap()
    }

    fn keys(all: &[(&str, &str)]) -> BTreeMap<IpNet, Password> {
        let all = all.iter();
        all.map(|(peers, key)| (peers.parse().unwrap(), password(key)))
            .collect()
    }

    fn listener(address: &str) -> TcpListener {
        TcpListener::bind(address).unwrap()
    }

    /// What is set, as far as the kernel tells: a key that is there can be removed.
    fn has(socket: &TcpListener, peers: &str) -> bool {
        sockopt::set_md5_key(socket, peers.parse().unwrap(), b"").is_ok()
    }

    #[test]
    fn keys_come_change_and_go() {
        let (socket, mut set) = (listener("127.0.0.1:0"), Keys::default());
        let address = socket.local_addr().unwrap();
        set.set(address, &socket, &keys(&[("10.0.0.1/32", "a")]));
        assert_eq!(set.count(), 1);
        let wanted = keys(&[("10.0.0.1/32", "other"), ("10.0.0.0/24", "c")]);
        set.set(address, &socket, &wanted);
        assert_eq!((set.count(), set.missing().len()), (2, 0));
        set.set(address, &socket, &keys(&[("10.0.0.0/24", "c")]));
        assert!(!has(&socket, "10.0.0.1/32"));
        assert!(has(&socket, "10.0.0.0/24"));
    }

    #[test]
    fn each_socket_has_the_keys_of_its_family() {
        let wanted = keys(&[("10.0.0.1/32", "a"), ("fd00::/64", "b"), ("fd01::/64", "b")]);
        for (listen, count) in [("127.0.0.1:0", 1), ("[::1]:0", 2)] {
            let (socket, mut set) = (listener(listen), Keys::default());
            set.set(socket.local_addr().unwrap(), &socket, &wanted);
            assert_eq!((set.count(), set.missing().len()), (count, 0));
        }
    }

    #[test]
    fn a_socket_that_is_full_names_the_limit_and_keeps_what_it_has() {
        let key = password("key");
        let many: BTreeMap<IpNet, Password> = (0..20_000u32)
            .map(|i| (Ipv4Addr::from(0x0a00_0000 + i), key.clone()))
            .map(|(address, key)| (IpNet::from(IpAddr::V4(address)), key))
            .collect();
        let (socket, mut set) = (listener("127.0.0.1:0"), Keys::default());
        set.set(socket.local_addr().unwrap(), &socket, &many);
        assert!(set.count() > 100, "{}", set.count());
        assert_eq!(set.count() + set.missing().len(), many.len());
        let why = set.missing().values().next().unwrap();
        assert!(why.contains("sysctl -w net.core.optmem_max="), "{why}");
    }
}
