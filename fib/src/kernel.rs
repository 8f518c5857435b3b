//! What the engine needs of a kernel: real, or made up by a test.

use std::net::IpAddr;

use godwit_netlink::{
    Address, Batch, Error, Failure, GroupMember, Link, NextHopObject, RequestSocket, Route,
    RouteDump, RouteFilter, RouteKey, RouteTarget, sysctl,
};
use ipnet::IpNet;

use crate::api::FibConfig;
use crate::place::Place;

/// One write. Nexthop objects and routes carry our protocol number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    SetHop {
        id: u32,
        hop: Hop,
    },
    SetGroup {
        id: u32,
        members: Vec<GroupMember>,
    },
    DeleteNextHop {
        id: u32,
    },
    /// `exclusive`: only if there is no route of this prefix there.
    SetRoute {
        prefix: IpNet,
        place: Place,
        to: RouteTo,
        source: Option<IpAddr>,
        exclusive: bool,
    },
    DeleteRoute {
        prefix: IpNet,
        place: Place,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteTo {
    Group(u32),
    Blackhole,
}

/// A neighbour on a link: what a nexthop object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hop {
    pub via: IpAddr,
    pub interface: u32,
    /// The gateway is not of a prefix on the link, by someone's will.
    pub on_link: bool,
}

pub(crate) trait Kernel {
    /// Carries the writes out in order; those that were refused come back.
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Failure>, Error>;
    fn links(&mut self) -> Result<Vec<Link>, Error>;
    fn addresses(&mut self) -> Result<Vec<Address>, Error>;
    fn next_hops(&mut self) -> Result<Vec<NextHopObject>, Error>;
    /// Every route of one table.
    fn table(&mut self, table: u32) -> Result<Vec<Route>, Error>;
    /// Begins to read all routes of all tables; gives up a reading under way.
    fn start_dump(&mut self) -> Result<(), Error>;
    /// Some routes of the dump that was begun; false when there are no more.
    fn dump_chunk(&mut self, each: &mut dyn FnMut(Route)) -> Result<bool, Error>;
    /// Returns the value before.
    fn set_compat_mode(&mut self, value: &str) -> Result<String, Error>;
}

/// The kernel of the thread's network namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: RequestSocket,
    batch: Batch,
    dump: Option<RouteDump>,
    protocol: u8,
}

impl Netlink {
    pub fn open(config: &FibConfig) -> Result<Self, Error> {
        Ok(Self {
            socket: RequestSocket::open()?,
            batch: Batch::default(),
            dump: None,
            protocol: config.protocol,
        })
    }

    /// What the monitor is to leave out.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    fn push(&mut self, op: &Op) {
        let key = |prefix: IpNet, place: Place| RouteKey {
            prefix,
            table: place.table,
            metric: place.metric,
            protocol: self.protocol,
        };
        match op {
            Op::SetHop { id, hop } => {
                self.batch
                    .set_hop(*id, self.protocol, hop.via, hop.interface, hop.on_link);
            }
            Op::SetGroup { id, members } => {
                self.batch.set_group(*id, self.protocol, members);
            }
            Op::DeleteNextHop { id } => self.batch.delete_next_hop(*id),
            Op::SetRoute {
                prefix,
                place,
                to,
                source,
                exclusive,
            } => {
                let target = match to {
                    RouteTo::Group(id) => RouteTarget::Object(*id),
                    RouteTo::Blackhole => RouteTarget::Blackhole,
                };
                let key = key(*prefix, *place);
                if *exclusive {
                    self.batch.create_route(&key, target, *source);
                } else {
                    self.batch.replace_route(&key, target, *source);
                }
            }
            Op::DeleteRoute { prefix, place } => self.batch.delete_route(&key(*prefix, *place)),
        }
    }
}

impl Kernel for Netlink {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Failure>, Error> {
        self.batch.clear();
        for op in ops {
            self.push(op);
        }
        self.socket.execute(&mut self.batch)
    }

    fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.socket.links()
    }

    fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.socket.addresses()
    }

    fn next_hops(&mut self) -> Result<Vec<NextHopObject>, Error> {
        self.socket.next_hops()
    }

    fn table(&mut self, table: u32) -> Result<Vec<Route>, Error> {
        self.socket.routes(RouteFilter {
            table: Some(table),
            protocol: None,
        })
    }

    fn start_dump(&mut self) -> Result<(), Error> {
        self.dump = Some(RouteDump::start(RouteFilter::default())?);
        Ok(())
    }

    fn dump_chunk(&mut self, each: &mut dyn FnMut(Route)) -> Result<bool, Error> {
        let Some(dump) = &mut self.dump else {
            return Ok(false);
        };
        let more = dump.next_chunk(each);
        if !matches!(more, Ok(true)) {
            self.dump = None;
        }
        more
    }

    fn set_compat_mode(&mut self, value: &str) -> Result<String, Error> {
        const NAME: &str = "net.ipv4.nexthop_compat_mode";
        let before = sysctl::read(NAME)?;
        if before != value {
            sysctl::write(NAME, value)?;
        }
        Ok(before)
    }
}
