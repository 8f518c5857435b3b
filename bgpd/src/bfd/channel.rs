//! Lines of JSON over a Unix socket, either way.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::messages::LONGEST;

/// One end of the connection between daemon and BFD process.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// At most one line that is not whole, and what came behind others.
    input: BytesMut,
    /// What the other end has not taken yet; at most [`LONGEST`].
    output: BytesMut,
}

impl Channel {
    pub(super) fn new(stream: UnixStream) -> Self {
        Channel {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// Queues a line. False: the other end has not read for so long that it is
    /// to be cut off; when it comes back it hears everything anew.
    pub(super) fn push(&mut self, message: &impl Serialize) -> bool {
        let written = serde_json::to_writer((&mut self.output).writer(), message);
        self.output.put_u8(b'\n');
        written.is_ok() && self.output.len() <= LONGEST
    }

    /// The next whole line that has been read.
    pub(super) fn line(&mut self) -> Option<BytesMut> {
        let end = self.input.iter().position(|octet| *octet == b'\n')?;
        let line = self.input.split_to(end);
        self.input.advance(1);
        Some(line)
    }

    /// Whether all that was queued has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Waits until something can be read or written, and does it; false: the
    /// connection is over. May be dropped while it waits.
    pub(super) async fn turn(&mut self) -> bool {
        let mut interest = Interest::READABLE;
        if !self.output.is_empty() {
            interest |= Interest::WRITABLE;
        }
        let Ok(ready) = self.stream.ready(interest).await else {
            return false;
        };
        let done = |result: io::Result<usize>| match result {
            Ok(octets) => Some(octets),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        };
        // Reading first: the other end's last words count where it takes no more.
        if ready.is_readable() || ready.is_read_closed() {
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return false,
                Ok(_) => return self.input.len() <= LONGEST,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        if ready.is_writable() {
            match done(self.stream.try_write(&self.output)) {
                Some(written) => self.output.advance(written),
                None => return false,
            }
        }
        true
    }
}
