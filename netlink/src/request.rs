//! Asking the kernel: batches with one acknowledgement, and dumps.

use std::io;
use std::os::fd::AsFd;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::codec::{self, HEADER, Messages};
use crate::{Error, sys};

pub(crate) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// The dump saw a change while it ran.
const DUMP_INTERRUPTED: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// As much as fits one `send` with the buffer sizes below, and several batches
/// of errors on the way back.
const SEND_BUFFER: i32 = 4 << 20;
const RECEIVE_BUFFER: i32 = 8 << 20;
/// The kernel fills dump answers up to what the reader offers, at most 32 KiB.
const READ: usize = 64 << 10;

/// Opens a route socket with the options that every one of ours has.
pub(crate) fn open_socket() -> Result<Socket, Error> {
    let mut socket =
        Socket::new(NETLINK_ROUTE).map_err(|e| Error::system("cannot open a netlink socket", e))?;
    socket
        .bind_auto()
        .map_err(|e| Error::system("cannot bind the netlink socket", e))?;
    let option = |what: &str, result: io::Result<()>| {
        result.map_err(|e| Error::system(format!("cannot set {what} on the netlink socket"), e))
    };
    option("ext-ack", socket.set_ext_ack(true))?;
    option("cap-ack", socket.set_cap_ack(true))?;
    option("strict checking", socket.set_netlink_get_strict_chk(true))?;
    buffer(&socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER)?;
    buffer(
        &socket,
        libc::SO_RCVBUFFORCE,
        libc::SO_RCVBUF,
        RECEIVE_BUFFER,
    )?;
    Ok(socket)
}

/// Without CAP_NET_ADMIN the system's limit holds, which is smaller but works.
pub(crate) fn buffer(socket: &Socket, force: i32, limited: i32, bytes: i32) -> Result<(), Error> {
    sys::set_int(socket.as_fd(), libc::SOL_SOCKET, force, bytes)
        .or_else(|_| sys::set_int(socket.as_fd(), libc::SOL_SOCKET, limited, bytes))
        .map_err(|e| Error::system("cannot size the netlink buffers", e))
}

/// Messages to be sent at once. The kernel handles them in order, and goes on
/// after one that it refuses.
#[derive(Debug, Default)]
pub struct Batch {
    buf: Vec<u8>,
    starts: Vec<u32>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub fn clear(&mut self) {
        self.buf.clear();
        self.starts.clear();
    }

    /// Appends one message; `body` writes what follows its header.
    pub(crate) fn push(&mut self, kind: u16, flags: i32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = codec::begin_message(&mut self.buf, kind, REQUEST | flags as u16);
        body(&mut self.buf);
        codec::end_message(&mut self.buf, start);
        self.starts.push(start as u32);
    }
}

/// A message of a batch that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which message of the batch, from 0.
    pub index: usize,
    pub errno: i32,
    /// The kernel's own words (extended acknowledgement).
    pub text: Option<String>,
}

impl Failure {
    pub fn into_error(self, what: impl Into<String>) -> Error {
        Error::Refused {
            what: what.into(),
            errno: self.errno,
            text: self.text,
        }
    }
}

/// A socket for requests. One thread uses it at a time.
#[derive(Debug)]
pub struct RequestSocket {
    socket: Socket,
    port: u32,
    sequence: u32,
    read: Vec<u8>,
}

impl RequestSocket {
    pub fn open() -> Result<Self, Error> {
        let socket = open_socket()?;
        let mut address = SocketAddr::new(0, 0);
        socket
            .get_address(&mut address)
            .map_err(|e| Error::system("cannot read the netlink port", e))?;
        Ok(Self {
            socket,
            port: address.port_number(),
            sequence: 0,
            read: Vec::with_capacity(READ),
        })
    }

    /// The kernel marks what this socket changed with it: see [`crate::Monitor::open`].
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Sends the batch with an acknowledgement on its last message and waits
    /// for that. What was refused comes back in the order of the batch; `Err`
    /// means that the fate of the whole is unknown.
    pub fn execute(&mut self, batch: &mut Batch) -> Result<Vec<Failure>, Error> {
        let mut failures = Vec::new();
        let Some(last) = batch.starts.last() else {
            return Ok(failures);
        };
        let base = self.sequence.wrapping_add(1);
        for (index, start) in batch.starts.iter().enumerate() {
            codec::set_sequence(
                &mut batch.buf,
                *start as usize,
                base.wrapping_add(index as u32),
            );
        }
        codec::add_flags(&mut batch.buf, *last as usize, ACK);
        self.sequence = self.sequence.wrapping_add(batch.len() as u32);
        self.send(&batch.buf)?;
        loop {
            self.receive()?;
            for message in Messages(&self.read) {
                let index = message.sequence.wrapping_sub(base) as usize;
                // Left over from a dump that was given up.
                if index >= batch.len() {
                    continue;
                }
                if message.kind != NLMSG_ERROR {
                    return Err(Error::Malformed {
                        what: "an answer that is no acknowledgement",
                    });
                }
                let (errno, text) = acknowledgement(message.payload, message.flags)?;
                if errno != 0 {
                    failures.push(Failure { index, errno, text });
                }
                if index + 1 == batch.len() {
                    return Ok(failures);
                }
            }
        }
    }

    /// Sends one message; its refusal is an error that begins with `what`.
    pub(crate) fn execute_one(
        &mut self,
        batch: &mut Batch,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match self.execute(batch)?.pop() {
            Some(failure) => Err(failure.into_error(what())),
            None => Ok(()),
        }
    }

    /// Asks for a dump and gives each answer's type and payload to `each`.
    /// Begun anew, up to a limit, when the kernel says that it changed under
    /// way: `each` may see things twice, so it must be given a fresh start by
    /// `begin`.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        begin: impl Fn() -> T,
        mut each: impl FnMut(&mut T, &[u8]),
    ) -> Result<T, Error> {
        const TRIES: usize = 5;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut seen = begin();
            let sequence = start_dump(self, kind, body)?;
            let mut changed = false;
            loop {
                let (more, interrupted) =
                    next_dump_chunk(self, sequence, &mut |payload| each(&mut seen, payload))?;
                changed |= interrupted;
                if !more {
                    break;
                }
            }
            if !changed || tries == TRIES {
                return Ok(seen);
            }
        }
    }

    /// Asks for one thing; the answer is its payload. A refusal is an error that
    /// begins with `what`.
    pub(crate) fn ask_one(
        &mut self,
        kind: u16,
        body: &[u8],
        what: impl FnOnce() -> String,
    ) -> Result<Vec<u8>, Error> {
        let sequence = start(self, kind, REQUEST, body)?;
        loop {
            self.receive()?;
            for message in Messages(&self.read) {
                if message.sequence != sequence {
                    continue;
                }
                if message.kind != NLMSG_ERROR {
                    return Ok(message.payload.to_vec());
                }
                let (errno, text) = acknowledgement(message.payload, message.flags)?;
                return Err(Error::Refused {
                    what: what(),
                    errno,
                    text,
                });
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self
            .socket
            .send_to(bytes, &SocketAddr::new(0, 0), 0)
            .map_err(|e| Error::system("cannot send to the kernel", e))?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(Error::Malformed {
                what: "a send was cut short",
            })
        }
    }

    /// Reads one datagram into `self.read`.
    fn receive(&mut self) -> Result<(), Error> {
        loop {
            self.read.clear();
            match self.socket.recv(&mut self.read, libc::MSG_TRUNC) {
                Ok(length) if length > self.read.len() => {
                    // Lost what did not fit; cannot happen below 64 KiB.
                    return Err(Error::Malformed {
                        what: "an answer longer than the buffer",
                    });
                }
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Err(Error::Overrun),
                Err(e) => return Err(Error::system("cannot read from the kernel", e)),
            }
        }
    }
}

/// Asks for a dump; the answer is the sequence number of its messages.
pub(crate) fn start_dump(socket: &mut RequestSocket, kind: u16, body: &[u8]) -> Result<u32, Error> {
    start(socket, kind, REQUEST | DUMP, body)
}

/// Sends a question; the answer is the sequence number of its answers.
fn start(socket: &mut RequestSocket, kind: u16, flags: u16, body: &[u8]) -> Result<u32, Error> {
    socket.sequence = socket.sequence.wrapping_add(1);
    let mut buf = Vec::with_capacity(HEADER + body.len());
    let start = codec::begin_message(&mut buf, kind, flags);
    buf.extend_from_slice(body);
    codec::end_message(&mut buf, start);
    codec::set_sequence(&mut buf, start, socket.sequence);
    socket.send(&buf)?;
    Ok(socket.sequence)
}

/// Reads one datagram of a dump. Says whether there is more, and whether the
/// kernel noticed a change while it ran.
pub(crate) fn next_dump_chunk(
    socket: &mut RequestSocket,
    sequence: u32,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(bool, bool), Error> {
    socket.receive()?;
    let mut interrupted = false;
    for message in Messages(&socket.read) {
        if message.sequence != sequence {
            continue;
        }
        interrupted |= message.flags & DUMP_INTERRUPTED != 0;
        match message.kind {
            NLMSG_DONE | NLMSG_ERROR => {
                let errno = codec::read_u32(message.payload, 0).unwrap_or(0) as i32;
                return match -errno {
                    0 => Ok((false, interrupted)),
                    // A table that does not exist has no routes.
                    libc::ENOENT => Ok((false, interrupted)),
                    errno => {
                        let text = (message.kind == NLMSG_ERROR)
                            .then(|| acknowledgement(message.payload, message.flags).ok()?.1)
                            .flatten();
                        Err(Error::Refused {
                            what: "the kernel refused a dump".into(),
                            errno,
                            text,
                        })
                    }
                };
            }
            NLMSG_OVERRUN => return Err(Error::Overrun),
            _ => each(message.payload),
        }
    }
    Ok((true, interrupted))
}

/// Errno and text of an NLMSG_ERROR.
fn acknowledgement(payload: &[u8], flags: u16) -> Result<(i32, Option<String>), Error> {
    const CAPPED: u16 = 0x100;
    const HAS_TLVS: u16 = 0x200;
    const ATTRIBUTE_MESSAGE: u16 = 1;
    let what = "an acknowledgement cut short";
    let errno = codec::read_u32(payload, 0).ok_or(Error::Malformed { what })?;
    let errno = (errno as i32).wrapping_neg();
    if flags & HAS_TLVS == 0 {
        return Ok((errno, None));
    }
    // The refused message follows the errno: its header, or all of it.
    let echoed = if flags & CAPPED != 0 {
        HEADER
    } else {
        codec::read_u32(payload, 4).map_or(HEADER, |length| length as usize)
    };
    let text = codec::Attributes::after(payload, 4 + echoed)
        .find(|(kind, _)| *kind == ATTRIBUTE_MESSAGE)
        .map(|(_, value)| codec::text(value));
    Ok((errno, text))
}
