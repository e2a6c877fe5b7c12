//! What stands between a client and its server, and what goes wrong there.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::stream::{self, MemoryStream};

/// A way to a server in memory, and the faults that its connection is to have.
///
/// The faults are those that the server meets: what it reads and writes comes in pieces, stops at a
/// byte, or ends in a reset there. Bytes are counted from the beginning of the connection, those that
/// the server has read and those that it has written each by themselves. The client's own end has no
/// faults.
///
/// # Examples
///
/// A client whose bytes come one at a time, and which is gone after the tenth:
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use socketserver::testing::{Link, Memory};
/// use socketserver::{Server, Sync};
///
/// let memory = Memory::options().bind("10.0.0.1:7")?;
/// let mut server = Server::new_fn(memory, Sync, |conn| {
///     let mut bytes = [0; 20];
///     assert_eq!(conn.read(&mut bytes)?, 1);
///     let error = conn.read_exact(&mut bytes).err();
///     assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::ConnectionReset));
///     Ok(())
/// })?;
/// let link = Link::new().client("203.0.113.9:4000".parse().unwrap());
/// let mut client = link.reads_of(1).reset_reads_at(10).connect(server.local_addr()?)?;
/// client.write_all(&[b'x'; 20])?;
/// server.handle_request()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a link is no connection before `connect`"]
pub struct Link {
    own: Option<SocketAddr>,
    pub(super) reads: Course,
    pub(super) writes: Course,
}

/// How long nothing goes on at a byte of a [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stall {
    /// Until [`MemoryStream::release`].
    UntilReleased,
    /// For so long by the [`Clock`](super::Clock), from the moment at which the server comes to it.
    For(Duration),
}

impl Link {
    /// One without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address that the client has, which the server knows it by. By default it is the server's
    /// with a port of its own.
    pub fn client(mut self, address: SocketAddr) -> Self {
        self.own = Some(address);
        self
    }

    /// Each read of the server gives so many bytes at most; at least one.
    pub fn reads_of(mut self, most: usize) -> Self {
        self.reads.most = Some(most.max(1));
        self
    }

    /// Each write of the server takes so many bytes at most; at least one.
    pub fn writes_of(mut self, most: usize) -> Self {
        self.writes.most = Some(most.max(1));
        self
    }

    /// When the server has read so many bytes, its reads find nothing for a while. There may be
    /// several of these, in the order of their bytes.
    pub fn stall_reads_at(mut self, byte: u64, stall: Stall) -> Self {
        self.reads.stalls.push_back((byte, stall));
        self
    }

    /// When the server has written so many bytes, its writes find no room for a while.
    pub fn stall_writes_at(mut self, byte: u64, stall: Stall) -> Self {
        self.writes.stalls.push_back((byte, stall));
        self
    }

    /// When the server has read so many bytes, it finds that the connection has been reset.
    pub fn reset_reads_at(mut self, byte: u64) -> Self {
        self.reads.reset = Some(byte);
        self
    }

    /// When the server has written so many bytes, it finds that the connection has been reset.
    pub fn reset_writes_at(mut self, byte: u64) -> Self {
        self.writes.reset = Some(byte);
        self
    }

    /// Connects to the server at this address, and does not wait for it to take the connection.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` where no server in memory is there, or has been closed; `WouldBlock` where
    /// as many wait as its [`request_queue_size`](crate::Options::request_queue_size) allows.
    pub fn connect(self, server: impl ToSocketAddrs) -> io::Result<MemoryStream> {
        let server = first_of(server)?;
        stream::connect(self.own, server, self)
    }
}

/// The first of what may be several addresses.
pub(super) fn first_of(address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    let none = || io::Error::new(ErrorKind::InvalidInput, "the name has no address");
    address.to_socket_addrs()?.next().ok_or_else(none)
}

/// One direction of a connection, as the server sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Course {
    passed: u64,
    most: Option<usize>,
    reset: Option<u64>,
    stalls: VecDeque<(u64, Stall)>,
    /// When the stall that it is in ends.
    until: Option<Instant>,
}

/// What may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// So many bytes at most.
    On(usize),
    Stalled,
    Reset,
}

impl Course {
    pub(super) fn look(&mut self, now: Instant) -> Going {
        if self.reset.is_some_and(|byte| byte <= self.passed) {
            return Going::Reset;
        }
        while let Some((byte, stall)) = self.stalls.front() {
            if *byte > self.passed {
                break;
            }
            if !self.is_over(*stall, now) {
                return Going::Stalled;
            }
            self.end_stall();
        }
        let stall = self.stalls.front().map(|(byte, _)| *byte);
        let next = [self.reset, stall].into_iter().flatten().min().unwrap_or(u64::MAX);
        let left = usize::try_from(next - self.passed).unwrap_or(usize::MAX);
        Going::On(left.min(self.most.unwrap_or(usize::MAX)))
    }

    /// So many bytes have gone this way.
    pub(super) fn pass(&mut self, count: usize) {
        self.passed += count as u64;
    }

    /// Ends the first stall that waits for it.
    pub(super) fn release(&mut self) {
        let first = self.stalls.iter().position(|(_, stall)| *stall == Stall::UntilReleased);
        if let Some(place) = first {
            self.stalls.remove(place);
        }
    }

    fn is_over(&mut self, stall: Stall, now: Instant) -> bool {
        match stall {
            Stall::UntilReleased => false,
            Stall::For(time) => {
                let until = self.until.or_else(|| now.checked_add(time));
                self.until = until;
                until.is_some_and(|until| until <= now)
            }
        }
    }

    fn end_stall(&mut self) {
        self.stalls.pop_front();
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_stops_at_each_byte_that_something_happens_at() {
        let mut link = Link::new().reads_of(4).stall_reads_at(6, Stall::UntilReleased);
        link = link.stall_reads_at(6, Stall::For(Duration::from_secs(1))).reset_reads_at(7);
        let (mut course, mut now) = (link.reads, Instant::now());
        assert_eq!(course.look(now), Going::On(4));
        course.pass(4);
        assert_eq!(course.look(now), Going::On(2));
        course.pass(2);
        assert_eq!(course.look(now), Going::Stalled);
        now += Duration::from_secs(5);
        assert_eq!(course.look(now), Going::Stalled, "no time ends it");
        course.release();
        assert_eq!(course.look(now), Going::Stalled, "the second begins");
        now += Duration::from_secs(1);
        assert_eq!(course.look(now), Going::On(1));
        course.pass(1);
        assert_eq!(course.look(now), Going::Reset);
    }
}
