//! Reading one connection: large reads into pooled buffers, so that a thousand
//! idle peers hold none.

use std::cell::RefCell;
use std::io;

use bytes::BytesMut;
use tokio::net::TcpStream;

/// What one read may give. Large, as a sender of a full table fills it, and
/// each burst is one entry in the peer's queue.
pub const READ: usize = 256 << 10;
/// Buffers that a worker thread keeps.
const POOLED: usize = 8;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// The start of a message whose rest has not come.
#[derive(Debug, Default)]
pub struct Incoming {
    rest: BytesMut,
}

impl Incoming {
    /// Reads once. `use_bytes` splits whole messages off the front of what there is;
    /// what it leaves is kept for the next time.
    ///
    /// Ok(None): nothing to read. Ok(Some(0)): end of stream.
    pub fn read(
        &mut self,
        stream: &TcpStream,
        use_bytes: impl FnOnce(&mut BytesMut),
    ) -> io::Result<Option<usize>> {
        let mut buffer = take();
        buffer.extend_from_slice(&self.rest);
        let read = loop {
            match stream.try_read_buf(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let result = match read {
            Ok(n) => {
                if n > 0 {
                    use_bytes(&mut buffer);
                    // A copy of less than one message, so that no large buffer
                    // waits for the rest of it.
                    self.rest = BytesMut::from(&buffer[..]);
                }
                Ok(Some(n))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        };
        give_back(buffer);
        result
    }
}

fn take() -> BytesMut {
    let mut buffer = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    // Takes the old memory again where no message in it is in use any more.
    buffer.reserve(READ);
    buffer
}

fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED {
            pool.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Takes pairs of octets, as a codec takes messages.
    fn pairs(buffer: &mut BytesMut, into: &mut Vec<[u8; 2]>) {
        while buffer.len() >= 2 {
            let pair = buffer.split_to(2);
            into.push([pair[0], pair[1]]);
        }
    }

    #[tokio::test]
    async fn the_start_of_a_message_waits_for_its_rest() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (left, right) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut left, (right, _)) = (left.unwrap(), right.unwrap());
        let mut incoming = Incoming::default();
        let mut got = Vec::new();
        for part in [&b"aab"[..], b"bc", b"c"] {
            left.write_all(part).await.unwrap();
            right.readable().await.unwrap();
            let read = incoming.read(&right, |buffer| pairs(buffer, &mut got));
            assert_eq!(read.unwrap(), Some(part.len()));
        }
        assert_eq!(got, [*b"aa", *b"bb", *b"cc"]);
        assert!(matches!(incoming.read(&right, |_| ()), Ok(None)));
        drop(left);
        right.readable().await.unwrap();
        assert!(matches!(incoming.read(&right, |_| ()), Ok(Some(0))));
    }
}
