//! What the kernel is to have.

use std::collections::BTreeMap;

use godwit_bgp::NextHop;
use godwit_bgp::community::ExtCommunity;
use godwit_rib::KernelOptions;
use ipnet::IpNet;

use super::{Naive, Usable};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Hops(Vec<(NextHop, u16)>, KernelOptions),
    Blackhole(KernelOptions),
}

impl Naive {
    /// What the kernel is to have.
    pub fn fib(&self) -> BTreeMap<IpNet, Target> {
        let prefixes = match self.config.fib {
            true => self.prefixes(),
            false => Default::default(),
        };
        prefixes
            .into_iter()
            .filter_map(|net| Some((net, self.target(net)?)))
            .collect()
    }

    fn target(&self, net: IpNet) -> Option<Target> {
        let best = self.best(net)?;
        let local = best.attrs.as_ref().local();
        let mut options = KernelOptions {
            table: local.table,
            metric: local.metric,
            source: None,
        };
        if best.blackhole {
            return Some(Target::Blackhole(options));
        }
        best.peer?;
        options.source = local.source.filter(|s| s.is_ipv4() == net.addr().is_ipv4());
        let bandwidth = |path: &Usable| {
            let mut communities = path.attrs.as_ref().ext_communities();
            communities
                .find_map(|c| Some(ExtCommunity(c).link_bandwidth()?.1))
                .filter(|octets| *octets > 0.0)
        };
        let used = self.multipath(net);
        let hops = used.iter().map(|p| (p.attrs.next_hop, bandwidth(p)));
        let hops: BTreeMap<NextHop, Option<f32>> = hops.collect();
        let most = hops.values().flatten().copied().fold(0.0, f32::max);
        let unequal =
            self.config.link_bandwidth && hops.len() > 1 && hops.values().all(Option::is_some);
        let weight = |bandwidth: Option<f32>| match bandwidth {
            Some(octets) if unequal => {
                let share = f64::from(octets) / f64::from(most) * 256.0;
                (share.round() as u16).max(1)
            }
            _ => 1,
        };
        let hops = hops.into_iter().map(|(hop, octets)| (hop, weight(octets)));
        Some(Target::Hops(hops.collect(), options))
    }
}
