//! Sockets at one address, from each of which some of the workers take requests.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use socket2::Socket;

use crate::ForkedChild;
use crate::sys::Listener;
use crate::transport::IpTransport;

/// The supervisor keeps them open, so what waits in one outlives the workers that take from it.
#[derive(Debug)]
pub(super) struct Shards {
    /// The first, which is the transport's own.
    first: RawFd,
    others: Vec<Listener<Socket>>,
}

impl Shards {
    pub(super) fn new(transport: &impl IpTransport, count: usize) -> io::Result<Self> {
        let another = |_| transport.another().map(Listener::new);
        let others = (1..count).map(another).collect::<io::Result<_>>()?;
        Ok(Self { first: transport.as_fd().as_raw_fd(), others })
    }

    pub(super) fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Says what is wrong where requests come from another `source`.
    pub(super) fn check(&self, source: Option<RawFd>) -> io::Result<()> {
        if source == Some(self.first) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "these shards are of another transport than the server's, which has to wait at that one \
             alone: not beside others, and not offered to another process",
        ))
    }

    /// In a worker: its transport goes on with this one, and the others are not the worker's.
    pub(super) fn leave_one(self, shard: usize, child: &ForkedChild<'_>) {
        if let Some(own) = shard.checked_sub(1).and_then(|at| self.others.get(at)) {
            child.exchange(self.first, own);
        }
    }
}
