//! Entries of the RIB into batches of one attribute set and many prefixes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use godwit_bgp::attrs::AttrsBuf;
use godwit_proto::v1;
use godwit_rib::{PeerId, PeerSpec, RouteEntry, Verdict};
use ipnet::IpNet;

use super::filter::{Filter, LOCAL};
use super::page::Slice;
use crate::api::convert;
use crate::clock;

#[derive(Debug, Default)]
pub struct Batches {
    done: Vec<v1::RouteBatch>,
    /// Where those of a peer and an attribute set are.
    at: HashMap<(PeerId, AttrsBuf), usize>,
    /// Paths in them.
    pub paths: usize,
    /// Octets of attributes in them, as on the wire.
    pub octets: usize,
}

impl Batches {
    /// Those entries that pass.
    pub fn add(&mut self, slice: &Slice, filter: &Filter) {
        let sets = &slice.page.attrs;
        let passes: Vec<bool> = sets
            .iter()
            .map(|a| filter.takes_attrs(a.as_ref()))
            .collect();
        let installed = installed(&slice.page.entries);
        // In front of `at`, so that attributes are hashed once a slice.
        let mut near: HashMap<(PeerId, usize), usize> = HashMap::new();
        for entry in &slice.page.entries {
            if !passes[entry.attrs] || !filter.takes_entry(entry) {
                continue;
            }
            let at = *near
                .entry((entry.peer, entry.attrs))
                .or_insert_with(|| self.find(slice, entry));
            self.done[at].paths.push(path(entry, &installed));
            self.paths += 1;
        }
    }

    /// Every entry in a batch of its own, so that they can be put in order.
    pub fn add_each_alone(&mut self, slice: &Slice) {
        let installed = installed(&slice.page.entries);
        for entry in &slice.page.entries {
            let at = self.open(slice, entry);
            self.done[at].paths.push(path(entry, &installed));
            self.paths += 1;
        }
    }

    pub fn finish(self) -> Vec<v1::RouteBatch> {
        self.done
    }

    fn find(&mut self, slice: &Slice, entry: &RouteEntry) -> usize {
        let key = (entry.peer, slice.page.attrs[entry.attrs].clone());
        match self.at.get(&key) {
            Some(at) => *at,
            None => {
                let at = self.open(slice, entry);
                self.at.insert(key, at);
                at
            }
        }
    }

    fn open(&mut self, slice: &Slice, entry: &RouteEntry) -> usize {
        let attrs = &slice.page.attrs[entry.attrs];
        self.octets += attrs.bytes().len();
        self.done.push(v1::RouteBatch {
            peer: slice.name(entry.peer),
            attributes: Some(attrs.as_ref().into()),
            paths: Vec::new(),
        });
        self.done.len() - 1
    }
}

/// Prefixes that the kernel has. The RIB marks the best path; what forwards
/// beside it is in the kernel with it.
fn installed(entries: &[RouteEntry]) -> HashSet<IpNet> {
    let best = entries.iter().filter(|e| e.best && e.installed);
    best.map(|e| e.prefix).collect()
}

fn path(entry: &RouteEntry, installed: &HashSet<IpNet>) -> v1::Path {
    v1::Path {
        prefix: entry.prefix.to_string(),
        path_id: entry.path_id.map(|id| id.0),
        best: entry.best,
        multipath: entry.multipath,
        rejected_by: rejected_by(entry.verdict, entry.rejected_by.as_deref()),
        since: convert::time(clock::wall(entry.since)),
        installed: (entry.best || entry.multipath) && installed.contains(&entry.prefix),
        install_error: entry.install_error.map(errno).unwrap_or_default(),
        stale: entry.stale,
    }
}

/// Empty: it was accepted.
pub fn rejected_by(verdict: Verdict, rule: Option<&str>) -> String {
    match (verdict, rule) {
        (Verdict::Accepted, _) => String::new(),
        (Verdict::Policy, Some(rule)) => rule.to_owned(),
        (verdict, _) => verdict.to_string(),
    }
}

/// In the system's words.
pub fn errno(number: i32) -> String {
    let text = io::Error::from_raw_os_error(number).to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

/// What the API calls a peer of the RIB.
pub fn name(spec: Option<&PeerSpec>, id: PeerId) -> String {
    match (spec, id) {
        (_, PeerId::LOCAL) => LOCAL.into(),
        // Its address is of the link alone: known by its interface.
        (
            Some(PeerSpec {
                address: IpAddr::V6(address),
                interface: Some(interface),
                ..
            }),
            _,
        ) if address.is_unicast_link_local() => interface.to_string(),
        (Some(spec), _) => spec.address.to_string(),
        // It went in the moment between; its routes go too.
        (None, _) => String::new(),
    }
}
