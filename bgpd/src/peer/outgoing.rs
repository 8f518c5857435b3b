//! What is to be written to one connection, in an order that keeps frames whole.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use godwit_bgp::wire::{HEADER_LEN, MessageType, RouteRefresh};
use tokio::net::TcpStream;

/// Where a ROUTE-REFRESH has its subtype, after header and AFI (RFC 7313 §3.2).
const SUBTYPE: usize = HEADER_LEN + 2;
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
    /// ROUTE-REFRESH messages of the RIB begun (RFC 7313).
    pub refresh_marks: u64,
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
                    self.advance(n, &mut done);
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

    /// Takes `n` written octets off the front, and counts the messages among them.
    fn advance(&mut self, mut n: usize, done: &mut Written) {
        self.bytes -= n;
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
                count(&frame, done);
            }
            if n < frame.len() {
                frame.advance(n);
                self.begun = Some(frame);
                break;
            }
            n -= frame.len();
        }
    }
}

/// Counts the messages in a run of whole frames.
fn count(mut frames: &[u8], done: &mut Written) {
    while let Some(&[high, low, kind]) = frames.get(16..HEADER_LEN) {
        done.updates += u64::from(kind == MessageType::Update as u8);
        // Requests are the session's, which counts them itself.
        let marks = kind == MessageType::RouteRefresh as u8
            && frames.get(SUBTYPE) != Some(&RouteRefresh::REQUEST);
        done.refresh_marks += u64::from(marks);
        let length = usize::from(u16::from_be_bytes([high, low])).max(HEADER_LEN);
        frames = frames.get(length..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (left, right) = tokio::join!(TcpStream::connect(address), listener.accept());
        (left.unwrap(), right.unwrap().0)
    }

    /// An UPDATE of `length` octets, filled with `fill`.
    fn update(length: usize, fill: u8) -> Bytes {
        let mut frame = vec![0xff; 16];
        frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame.push(MessageType::Update as u8);
        frame.resize(length, fill);
        frame.into()
    }

    /// Splits what was sent into messages and names each by its last octet.
    fn names(mut stream: &[u8]) -> Vec<u8> {
        let mut names = Vec::new();
        while !stream.is_empty() {
            let length = usize::from(u16::from_be_bytes([stream[16], stream[17]]));
            names.push(stream[length - 1]);
            stream = &stream[length..];
        }
        names
    }

    async fn drain(out: &mut Outgoing, left: TcpStream, mut right: TcpStream) -> Vec<u8> {
        let mut sent = Vec::new();
        let writing = async {
            while !out.is_empty() {
                left.writable().await.unwrap();
                out.write(&left).unwrap();
            }
            drop(left);
        };
        let (read, ()) = tokio::join!(right.read_to_end(&mut sent), writing);
        read.unwrap();
        sent
    }

    #[tokio::test]
    async fn a_keepalive_goes_ahead_of_frames_that_have_not_begun() {
        let (left, right) = connection().await;
        let mut out = Outgoing::default();
        out.push(update(100, 1), false);
        out.push(update(100, 2), false);
        out.push(godwit_bgp::wire::keepalive(), true);
        let sent = drain(&mut out, left, right).await;
        assert_eq!(names(&sent), [MessageType::Keepalive as u8, 1, 2]);
    }

    #[tokio::test]
    async fn a_keepalive_never_splits_a_frame_that_has_begun() {
        let (left, right) = connection().await;
        let mut out = Outgoing::default();
        let mut pushed = 0;
        // Until the socket is full, in the middle of a frame.
        while out.begun.is_none() {
            out.push(update(60_001, 1), false);
            pushed += 1;
            out.write(&left).unwrap();
        }
        out.push(update(100, 2), false);
        out.push(godwit_bgp::wire::keepalive(), true);
        let sent = drain(&mut out, left, right).await;
        let mut expected = vec![1; pushed];
        expected.extend([MessageType::Keepalive as u8, 2]);
        assert_eq!(names(&sent), expected);
    }

    #[tokio::test]
    async fn a_session_that_ends_sends_its_notification_and_no_more_updates() {
        let (left, right) = connection().await;
        let mut out = Outgoing::default();
        out.push(update(100, 1), false);
        out.push(update(100, 9), true);
        out.drop_unsent();
        let sent = drain(&mut out, left, right).await;
        assert_eq!(names(&sent), [9]);
    }

    #[tokio::test]
    async fn updates_are_counted_also_where_several_share_one_piece() {
        let (left, _right) = connection().await;
        let mut out = Outgoing::default();
        let two = [update(23, 1), update(30, 2)].concat();
        out.push(two.into(), false);
        out.push(godwit_bgp::wire::keepalive(), true);
        let written = out.write(&left).unwrap();
        assert_eq!((written.updates, written.octets), (2, 72));
        assert!(out.is_empty());
    }
}
