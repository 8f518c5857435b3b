//! Peers and routes that were changed by command, to be made again after a
//! restart.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use godwit_bgp::{Family, NextHop};
use godwit_config::{Config, PeerKey, edit};
use godwit_proto::convert::own_attributes;
use godwit_proto::v1;
use godwit_rib::LocalRoute;
use ipnet::IpNet;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::control::NewPeer;
use crate::control::desired::Desired;
use crate::peer::PeerName;

const FILE: &str = "changes.json";

/// A route as a client asked for it.
#[derive(Clone, Debug)]
pub struct NewRoute {
    pub request: v1::AddRouteRequest,
    pub route: LocalRoute,
}

impl NewRoute {
    /// The error names the field, and what is wrong with it.
    pub fn new(prefix: IpNet, request: v1::AddRouteRequest) -> Result<NewRoute, (String, String)> {
        let nobody: NextHop = match Family::of(&prefix.addr()) {
            Family::Ipv4Unicast => IpAddr::from([0; 4]).into(),
            Family::Ipv6Unicast => IpAddr::from([0u16; 8]).into(),
        };
        let attrs = own_attributes(&request, nobody)?;
        let route = LocalRoute {
            prefix,
            attrs,
            blackhole: request.blackhole,
        };
        Ok(NewRoute { request, route })
    }

    /// Whether an `[[originate]]` can say all of it.
    pub fn fits_the_file(&self) -> bool {
        self.request
            == v1::AddRouteRequest {
                prefix: self.request.prefix.clone(),
                blackhole: self.request.blackhole,
                ..v1::AddRouteRequest::default()
            }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub peers: BTreeMap<PeerName, NewPeer>,
    /// Disabled (true) or enabled against the file.
    pub forced: BTreeMap<PeerName, bool>,
    pub routes: BTreeMap<IpNet, NewRoute>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// `[[peer]]` tables, as in a file.
    peers: String,
    /// By name.
    disabled: BTreeMap<String, bool>,
    /// AddRouteRequest messages in hex, by prefix: a field that comes to be needs no
    /// form of its own.
    routes: BTreeMap<String, String>,
}

impl Changes {
    /// By the configuration in force, and the one that may come back. What cannot be
    /// read, or fits neither, is told and left out.
    pub fn read(store: &Store, config: &Config, former: Option<&Config>) -> (Changes, Vec<String>) {
        let mut changes = Changes::default();
        let mut notes = Vec::new();
        let stored: Stored = match store.read(FILE) {
            Ok(Some(stored)) => stored,
            Ok(None) => return (changes, notes),
            Err(e) => {
                notes.push(format!("changes made by command are lost: {e}"));
                return (changes, notes);
            }
        };
        let mut peers = config.read_peers(&stored.peers);
        let by_former = former.map(|former| former.read_peers(&stored.peers));
        for (peer, other) in peers.iter_mut().zip(by_former.unwrap_or_default()) {
            if peer.is_err() && other.is_ok() {
                *peer = other;
            }
        }
        for peer in peers {
            match peer.map(|peer| (peer.key, peer)) {
                Ok((key @ (PeerKey::Address(_) | PeerKey::Interface(_)), peer)) => {
                    let name = match key {
                        PeerKey::Interface(interface) => PeerName::Interface(interface),
                        PeerKey::Address(address) => PeerName::Address(address),
                        PeerKey::Range(_) => continue,
                    };
                    let new = NewPeer {
                        name,
                        group: peer.group,
                        settings: peer.settings,
                    };
                    changes.peers.insert(name, new);
                }
                Ok((key @ PeerKey::Range(_), _)) => {
                    notes.push(format!("peer {key} was not added by command"));
                }
                Err(e) => notes.push(format!("a peer added by command is lost: {e}")),
            }
        }
        for (name, disabled) in stored.disabled {
            match name.parse() {
                Ok(name) => drop(changes.forced.insert(name, disabled)),
                Err(_) => notes.push(format!("no peer can be called {name}")),
            }
        }
        for (prefix, message) in stored.routes {
            match route(&prefix, &message) {
                Some(route) => drop(changes.routes.insert(route.route.prefix, route)),
                None => notes.push(format!("route {prefix}, added by command, is lost")),
            }
        }
        (changes, notes)
    }

    pub fn write(&self, store: &Store) -> io::Result<()> {
        let mut peers = edit::Document::default();
        for (name, new) in &self.peers {
            peers
                .add_peer(name.key(), new.group.as_deref(), &new.settings)
                .map_err(io::Error::other)?;
        }
        let hex = |route: &NewRoute| {
            let bytes = route.request.encode_to_vec();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let stored = Stored {
            peers: peers.to_string(),
            disabled: (self.forced.iter())
                .map(|(name, disabled)| (name.to_string(), *disabled))
                .collect(),
            routes: (self.routes.iter())
                .map(|(prefix, route)| (prefix.to_string(), hex(route)))
                .collect(),
        };
        store.write(FILE, &stored)
    }

    /// The text of a file with all of them. What cannot be written there (a route
    /// with communities) stands in a comment.
    pub fn written_into(&self, text: &str) -> Result<String, String> {
        if self.is_empty() {
            return Ok(text.to_owned());
        }
        let mut document = edit::Document::parse(text)?;
        let mut beside = Vec::new();
        for (name, new) in &self.peers {
            let added = document.add_peer(name.key(), new.group.as_deref(), &new.settings);
            if added.is_err() {
                beside.push(format!("peer {name} added"));
            }
        }
        for (name, disabled) in &self.forced {
            if document.set_disabled(name.key(), *disabled).is_err() {
                let word = if *disabled { "disabled" } else { "enabled" };
                beside.push(format!("peer {name} {word}"));
            }
        }
        let (fit, others): (Vec<_>, Vec<_>) =
            self.routes.iter().partition(|(_, new)| new.fits_the_file());
        let routes = fit
            .iter()
            .map(|(prefix, new)| (**prefix, new.route.blackhole));
        let others: Vec<_> = match document.add_routes(routes) {
            Ok(()) => others,
            Err(_) => self.routes.iter().collect(),
        };
        beside.extend(
            others
                .iter()
                .map(|(prefix, _)| format!("route {prefix} added")),
        );
        let mut text = document.to_string();
        for what in beside {
            text.push_str(&format!("# by command, besides: {what}\n"));
        }
        Ok(text)
    }

    pub fn clear(store: &Store) -> io::Result<()> {
        store.remove(FILE)
    }

    /// Takes out, and returns, what the file says by itself: it goes first.
    pub(crate) fn taken_over_by(&mut self, file: &Desired) -> Changes {
        let of_file = |name: &PeerName| file.peers.get(name);
        let route = |prefix: &IpNet| file.routes.contains_key(prefix) || file.aggregates(*prefix);
        Changes {
            peers: (self.peers)
                .extract_if(.., |name, _| of_file(name).is_some())
                .collect(),
            forced: (self.forced)
                .extract_if(.., |name, disabled| {
                    of_file(name).is_some_and(|peer| peer.disabled == *disabled)
                })
                .collect(),
            routes: (self.routes)
                .extract_if(.., |prefix, _| route(prefix))
                .collect(),
        }
    }

    /// Puts earlier ones below these.
    pub fn put_back(&mut self, earlier: Changes) {
        for (name, new) in earlier.peers {
            self.peers.entry(name).or_insert(new);
        }
        for (name, disabled) in earlier.forced {
            self.forced.entry(name).or_insert(disabled);
        }
        for (prefix, route) in earlier.routes {
            self.routes.entry(prefix).or_insert(route);
        }
    }

    pub fn len(&self) -> usize {
        self.peers.len() + self.forced.len() + self.routes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn route(prefix: &str, message: &str) -> Option<NewRoute> {
    let bytes = (0..message.len()).step_by(2).map(|at| {
        let digits = message.get(at..at + 2)?;
        u8::from_str_radix(digits, 16).ok()
    });
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    let request = v1::AddRouteRequest::decode(&bytes[..]).ok()?;
    NewRoute::new(prefix.parse().ok()?, request).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_the_same_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let text = "[router]\nasn = 64512\n[peer-group.g]\nremote-as = \"external\"\n";
        let config = godwit_config::parse("x", text).unwrap();
        let (none, notes) = Changes::read(&store, &config, None);
        assert!(none.is_empty() && notes.is_empty());

        let address: PeerName = "10.0.0.7".parse().unwrap();
        let new = NewPeer {
            name: address,
            group: Some("g".to_owned()),
            settings: godwit_config::PeerSettings {
                description: Some("late".to_owned()),
                multihop: Some(3),
                export: Some(vec!["accept-all".to_owned()]),
                ..godwit_config::PeerSettings::default()
            },
        };
        let prefix = "192.0.2.0/24".parse().unwrap();
        let request = v1::AddRouteRequest {
            prefix: "192.0.2.0/24".to_owned(),
            communities: vec!["64512:100".to_owned()],
            ..v1::AddRouteRequest::default()
        };
        let mut changes = Changes::default();
        changes.peers.insert(address, new.clone());
        changes.forced.insert("10.0.0.1".parse().unwrap(), true);
        let route = NewRoute::new(prefix, request).unwrap();
        assert!(!route.fits_the_file());
        changes.routes.insert(prefix, route);
        changes.write(&store).unwrap();

        let (again, notes) = Changes::read(&store, &config, None);
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(again.peers.get(&address), Some(&new));
        assert_eq!(again.forced, changes.forced);
        let route = &again.routes[&prefix].route;
        assert_eq!(route.attrs, changes.routes[&prefix].route.attrs);
    }

    /// In one pass: thousands took minutes when the text was read anew for each.
    #[test]
    fn thousands_are_written_at_once() {
        let mut changes = Changes::default();
        for n in 0..10_000u32 {
            let address = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            let name = PeerName::Address(address);
            let settings = godwit_config::PeerSettings {
                remote_as: Some(godwit_config::RemoteAs::External),
                ..godwit_config::PeerSettings::default()
            };
            let new = NewPeer {
                name,
                group: None,
                settings,
            };
            changes.peers.insert(name, new);
            let prefix = IpNet::from(address);
            let mut request = v1::AddRouteRequest {
                prefix: prefix.to_string(),
                ..v1::AddRouteRequest::default()
            };
            if n == 0 {
                request.communities.push("64512:100".to_owned());
            }
            let route = NewRoute::new(prefix, request).unwrap();
            changes.routes.insert(prefix, route);
        }
        let file = "# mine\n[router]\nasn = 64512\n[[originate]]\nprefix = \"10.0.0.1/32\"\n";
        let text = changes.written_into(file).unwrap();
        assert!(text.starts_with("# mine"));
        assert_eq!(text.matches("[[peer]]").count(), 10_000);
        assert_eq!(text.matches("[[originate]]").count(), 9_999);
        assert!(text.ends_with("# by command, besides: route 10.0.0.0/32 added\n"));
        let directory = tempfile::tempdir().unwrap();
        changes.write(&Store::new(directory.path())).unwrap();
    }

    #[test]
    fn what_fits_only_what_may_come_back_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let stored = Stored {
            peers: "[[peer]]\naddress = \"10.0.0.1\"\nremote-as = 65001\nimport = [\"p\"]\n"
                .to_owned(),
            disabled: BTreeMap::new(),
            routes: BTreeMap::new(),
        };
        store.write(FILE, &stored).unwrap();
        let with = |more: &str| {
            let text = format!("[router]\nasn = 64512\n{more}");
            godwit_config::parse("x", &text).unwrap()
        };
        let (config, former) = (with(""), with("[[policy.route.p]]\nthen = \"accept\"\n"));
        let (changes, notes) = Changes::read(&store, &config, None);
        assert_eq!((changes.peers.len(), notes.len()), (0, 1));
        let (changes, notes) = Changes::read(&store, &config, Some(&former));
        assert_eq!((changes.peers.len(), notes.len()), (1, 0));
    }

    #[test]
    fn what_no_longer_fits_is_told_and_the_rest_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let stored = Stored {
            peers: "[[peer]]\naddress = \"10.0.0.1\"\nno-such-key = 1\n\
                    [[peer]]\naddress = \"10.0.0.2\"\nremote-as = 65001\n"
                .to_owned(),
            disabled: BTreeMap::new(),
            routes: [("192.0.2.0/24".to_owned(), "zz".to_owned())].into(),
        };
        store.write(FILE, &stored).unwrap();
        let config = godwit_config::parse("x", "[router]\nasn = 64512\n").unwrap();
        let (changes, notes) = Changes::read(&store, &config, None);
        assert!(
            changes
                .peers
                .contains_key(&"10.0.0.2".parse::<PeerName>().unwrap())
        );
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}
