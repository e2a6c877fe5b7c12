//! As the library's `sys`, on the model's kernel.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use nix::poll::PollFd;
use platform::kernel;

/// Nobody waits in turns here: that is between epoll(7) and the session.
#[path = "../../../src/sys/turns_elsewhere.rs"]
#[allow(dead_code, reason = "what makes them is not in the model")]
mod turns;

#[path = "../../../src/sys/queue_elsewhere.rs"]
#[allow(dead_code, reason = "as above")]
mod queue;

pub(crate) use queue::Queue;
pub(crate) use turns::{Turn, Woken};

#[derive(Debug)]
pub(crate) struct Bell(RawFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(kernel::open()))
    }

    pub(crate) fn ring(&self) {
        kernel::set_readable(self.0, true);
    }

    pub(crate) fn drain(&self) {
        kernel::set_readable(self.0, false);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd::new(self.0)
    }
}

pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    kernel::poll(fds, deadline);
    Ok(())
}

pub(crate) fn cut_off(connection: RawFd) {
    kernel::cut_off(connection);
}

/// Nobody lists anything here.
pub(crate) fn peer_name(_connection: RawFd) -> Option<String> {
    None
}

/// The first words alone, as no other process is there to have any of the rest.
#[derive(Debug)]
pub(crate) struct SharedWords<const N: usize>(Vec<AtomicU64>);

impl<const N: usize> SharedWords<N> {
    const MOST: usize = 16;

    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self((0..N.min(Self::MOST)).map(|_| AtomicU64::new(0)).collect()))
    }
}

impl<const N: usize> Deref for SharedWords<N> {
    type Target = [AtomicU64];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Nobody forks in the model.
pub(crate) fn count_forks() -> io::Result<()> {
    Ok(())
}

pub(crate) fn forks() -> u32 {
    0
}
