//! What is to be written to one connection, in an order that keeps frames whole.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use godwit_bgp::wire::{HEADER_LEN, MessageType};
use tokio::net::TcpStream;

/// Frames in one vectored write.
const SLICES: usize = 64;

/// Unwritten frames of a connection. Urgent ones (KEEPALIVE, NOTIFICATION) go
/// ahead of all others of which nothing has been written.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Rest of a frame that was written in part.
    begun: Option<Bytes>,
    urgent: VecDeque<Bytes>,
    normal: VecDeque<Bytes>,
    bytes: usize,
}

/// What one attempt to write came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub octets: usize,
    /// UPDATE messages begun.
    pub updates: u64,
    /// The socket takes no more for now.
    pub blocked: bool,
}

impl Outgoing {
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Octets that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, frame: Bytes, urgent: bool) {
        self.bytes += frame.len();
        if urgent {
            self.urgent.push_back(frame);
        } else {
            self.normal.push_back(frame);
        }
    }

    /// Lets `fill` append frames and say how many octets they are.
    pub fn fill(&mut self, fill: impl FnOnce(&mut VecDeque<Bytes>) -> usize) {
        self.bytes += fill(&mut self.normal);
    }

    /// Forgets what has not been begun, save for urgent frames: a session that
    /// ends sends its NOTIFICATION after the frame it is in, and nothing else.
    pub fn drop_unsent(&mut self) {
        self.bytes -= self.normal.drain(..).map(|f| f.len()).sum::<usize>();
    }

    /// Writes until everything is out or the socket is full.
    pub fn write(&mut self, stream: &TcpStream) -> io::Result<Written> {
        let mut done = Written::default();
        while self.bytes > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            let frames = self.begun.iter().chain(&self.urgent).chain(&self.normal);
            for (slot, frame) in slices.iter_mut().zip(frames) {
                *slot = IoSlice::new(frame);
                used += 1;
            }
            match stream.try_write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    done.octets += n;
                    done.updates += self.advance(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    done.blocked = true;
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Takes `n` written octets off the front; returns the UPDATE frames among
    /// those that were finished.
    fn advance(&mut self, mut n: usize) -> u64 {
        self.bytes -= n;
        let mut updates = 0;
        while n > 0 {
            let (frame, fresh) = match self.begun.take() {
                Some(rest) => (Some(rest), false),
                None => (
                    self.urgent.pop_front().or_else(|| self.normal.pop_front()),
                    true,
                ),
            };
            let Some(mut frame) = frame else { break };
            if fresh {
                updates += count_updates(&frame);
            }
            if n < frame.len() {
                frame.advance(n);
                self.begun = Some(frame);
                break;
            }
            n -= frame.len();
        }
        updates
    }
}

/// UPDATE messages in a run of whole frames.
fn count_updates(mut frames: &[u8]) -> u64 {
    let mut updates = 0;
    while let Some(&[high, low, kind]) = frames.get(16..HEADER_LEN) {
        updates += u64::from(kind == MessageType::Update as u8);
        let length = usize::from(u16::from_be_bytes([high, low])).max(HEADER_LEN);
        frames = frames.get(length..).unwrap_or_default();
    }
    updates
}
