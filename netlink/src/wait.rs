//! Waiting for descriptors without a runtime.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::sys;

/// Wakes a thread that waits in [`wait_readable`]; any thread may.
#[derive(Debug)]
pub struct Waker(File);

impl Waker {
    pub fn new() -> io::Result<Self> {
        sys::eventfd().map(|fd| Waker(File::from(fd)))
    }

    pub fn wake(&self) {
        // Fails only when the counter is full; then the thread is due to wake anyway.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Forgets the wakes so far.
    pub fn clear(&self) {
        // Fails when there were none, which is as good.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of two descriptors can be read or the time is over; says which.
pub fn wait_readable(fds: [BorrowedFd<'_>; 2], timeout: Option<Duration>) -> io::Result<[bool; 2]> {
    sys::poll(fds, timeout)
}
