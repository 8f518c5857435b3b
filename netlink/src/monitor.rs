//! What changes in the kernel without our doing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket;

use crate::address::{self, Address};
use crate::codec::{Message, Messages, read_u32};
use crate::link::{self, Link};
use crate::nexthop::{self, NextHopObject};
use crate::request::{self, buffer};
use crate::route::{self, Route};
use crate::{Error, sys};

/// Multicast groups, `RTNLGRP_*`: link, IPv4 address and route, IPv6 address
/// and route, nexthop.
const GROUPS: [u32; 6] = [1, 5, 7, 9, 11, 32];
const LINK_GROUP: u32 = 1;
/// A burst of changes waits here while a batch is written.
const RECEIVE_BUFFER: i32 = 16 << 20;
const READ: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// New or changed.
    Link(Link),
    LinkGone(u32),
    Address(Address),
    AddressGone(Address),
    /// `replaced`: it took the place of the one with its prefix, table and metric.
    Route {
        route: Route,
        replaced: bool,
    },
    RouteGone(Route),
    NextHop(NextHopObject),
    NextHopGone(u32),
    /// Events were lost: read everything anew.
    Resync,
}

/// Listens to links, addresses, routes and nexthop objects of its namespace.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    read: Vec<u8>,
}

impl Monitor {
    /// Leaves out, in the kernel, what the request socket with this port does
    /// ([`RequestSocket::port`](crate::RequestSocket::port)), so that writing
    /// a full table wakes nobody.
    pub fn open(ignored_port: Option<u32>) -> Result<Self, Error> {
        Self::join(&GROUPS, ignored_port)
    }

    /// Listens to links alone.
    pub fn open_links() -> Result<Self, Error> {
        Self::join(&[LINK_GROUP], None)
    }

    fn join(groups: &[u32], ignored_port: Option<u32>) -> Result<Self, Error> {
        let socket = request::open_socket()?;
        buffer(
            &socket,
            libc::SO_RCVBUFFORCE,
            libc::SO_RCVBUF,
            RECEIVE_BUFFER,
        )?;
        socket
            .set_non_blocking(true)
            .map_err(|e| Error::system("cannot set the monitor non-blocking", e))?;
        if let Some(port) = ignored_port {
            sys::attach_filter(socket.as_fd(), &mut echo_filter(port))
                .map_err(|e| Error::system("cannot filter the monitor", e))?;
        }
        for group in groups {
            socket
                .add_membership(*group)
                // A kernel without nexthop objects has no such group.
                .or_else(|e| {
                    if e.raw_os_error() == Some(libc::EINVAL) {
                        Ok(())
                    } else {
                        Err(e)
                    }
                })
                .map_err(|e| Error::system(format!("cannot join netlink group {group}"), e))?;
        }
        Ok(Self {
            socket,
            read: Vec::with_capacity(READ),
        })
    }

    /// Reads what has come, without waiting; false if there was nothing.
    pub fn read(&mut self, mut each: impl FnMut(Event)) -> Result<bool, Error> {
        self.read.clear();
        match self.socket.recv(&mut self.read, libc::MSG_TRUNC) {
            Ok(length) if length > self.read.len() => each(Event::Resync),
            Ok(_) => Messages(&self.read).filter_map(decode).for_each(each),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => each(Event::Resync),
            Err(e) => return Err(Error::system("cannot read the monitor", e)),
        }
        Ok(true)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Drops datagrams whose first message carries the port; each notification
/// is a datagram of its own.
fn echo_filter(port: u32) -> [libc::sock_filter; 4] {
    /// `nlmsg_pid` in `struct nlmsghdr`.
    const PORT_OFFSET: u32 = 12;
    let statement = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    [
        statement(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            PORT_OFFSET,
        ),
        // The load is in network order, the header in the host's.
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            port.to_be(),
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ]
}

fn decode(message: Message<'_>) -> Option<Event> {
    const REPLACED: u16 = libc::NLM_F_REPLACE as u16;
    let payload = message.payload;
    match message.kind {
        link::RTM_NEWLINK => Link::decode(payload).map(Event::Link),
        link::RTM_DELLINK => read_u32(payload, 4).map(Event::LinkGone),
        address::RTM_NEWADDR => Address::decode(payload).map(Event::Address),
        address::RTM_DELADDR => Address::decode(payload).map(Event::AddressGone),
        route::RTM_NEWROUTE => Route::decode(payload).map(|route| Event::Route {
            route,
            replaced: message.flags & REPLACED != 0,
        }),
        route::RTM_DELROUTE => Route::decode(payload).map(Event::RouteGone),
        nexthop::RTM_NEWNEXTHOP => NextHopObject::decode(payload).map(Event::NextHop),
        nexthop::RTM_DELNEXTHOP => {
            NextHopObject::decode(payload).map(|object| Event::NextHopGone(object.id))
        }
        _ => None,
    }
}
