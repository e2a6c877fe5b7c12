//! Two transports as one.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::gate::Gate;
use super::{ForkRole, LocalAddr, Portable, Resumable, Transport};
use crate::request::Either;
use crate::{ForkedChild, Waiter};

/// How the gate knows them.
const FIRST: u64 = 0;
const SECOND: u64 = 1;

/// Two transports in one server: IPv4 beside IPv6, TCP beside a Unix socket. They have their
/// requests admitted, counted, drained and reported together. A request is [`Either`] one of the
/// first or one of the second, and is whatever both are: a connection, something to read from and
/// write to.
///
/// Each may be such a pair again, or [`Many`](crate::Many) of one kind. Where both have requests,
/// they take turns.
///
/// It looks for a request with one system call of its own (`epoll_wait(2)`), before that of the
/// transport that has one. Under [`PreForking`](crate::PreForking) a request wakes all processes
/// that wait, of which one gets it. Linux alone has it.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use socketserver::{Beside, Either, Server, Tcp, Threading, UnixStream};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("socket");
/// let tcp = Tcp::options().bind("127.0.0.1:0")?;
/// let unix = UnixStream::options().mode(0o600).bind(&path)?;
/// let server = Server::new_fn(Beside::new(tcp, unix)?, Threading::new(), |conn| match conn {
///     Either::First(tcp) => writeln!(tcp, "you came over IP"),
///     Either::Second(unix) => writeln!(unix, "you are of this machine"),
/// })?;
/// let (over_ip, within) = server.local_addr()?;
/// # assert_eq!(within.as_pathname(), Some(path.as_path()));
/// # assert_ne!(over_ip.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Beside<A, B> {
    first: A,
    second: B,
    gate: Gate,
}

impl<A: Transport + AsFd, B: Transport + AsFd> Beside<A, B> {
    /// Puts two together.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a transport that has requests of which its descriptor does not tell
    /// ([`is_level_triggered`](Transport::is_level_triggered)): one of packets that
    /// [spins](crate::Options::spin) is such. Where the system has no descriptor or memory, and for
    /// more than four pairs within each other.
    pub fn new(first: A, second: B) -> io::Result<Self> {
        let gate = Gate::new()?;
        gate.add(&first, FIRST)?;
        gate.add(&second, SECOND)?;
        Ok(Self { first, second, gate })
    }
}

impl<A, B> Beside<A, B> {
    /// The first of the two.
    #[must_use]
    pub fn first(&self) -> &A {
        &self.first
    }

    /// The second.
    #[must_use]
    pub fn second(&self) -> &B {
        &self.second
    }
}

impl<A: Transport + AsFd, B: Transport + AsFd> Transport for Beside<A, B> {
    type Request = Either<A::Request, B::Request>;

    #[inline]
    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let Self { first, second, gate } = self;
        gate.ask(|number| match number {
            FIRST => (first.as_fd(), first.get_request().map(|got| got.map(Either::First))),
            _ => (second.as_fd(), second.get_request().map(|got| got.map(Either::Second))),
        })
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        if waiter.notes() {
            self.first.wait(waiter)?;
            self.second.wait(waiter)?;
        }
        self.gate.wait(waiter)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn server_close(self) -> io::Result<()> {
        let first = self.first.server_close();
        self.second.server_close().and(first)
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.first.after_fork(child);
        self.second.after_fork(child);
    }

    fn check_fork(&self, role: ForkRole) -> io::Result<()> {
        self.first.check_fork(role).and_then(|()| self.second.check_fork(role))
    }
}

/// A byte that says which of the two it is, and what that one says.
impl<A: Portable + AsFd, B: Portable + AsFd> Portable for Beside<A, B> {
    fn pack<'r>(
        &self,
        request: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        match request {
            Either::First(request) => {
                bytes.push(0);
                self.first.pack(request, bytes)
            }
            Either::Second(request) => {
                bytes.push(1);
                self.second.pack(request, bytes)
            }
        }
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        match bytes.split_first() {
            Some((0, bytes)) => self.first.unpack(bytes, descriptor).map(Either::First),
            Some((1, bytes)) => self.second.unpack(bytes, descriptor).map(Either::Second),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn is_from(&self, request: &Self::Request) -> bool {
        match request {
            Either::First(request) => self.first.is_from(request),
            Either::Second(request) => self.second.is_from(request),
        }
    }
}

/// The same byte before it.
impl<A: Resumable + AsFd, B: Resumable + AsFd> Resumable for Beside<A, B> {
    fn suspend<'r>(
        &self,
        request: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        match request {
            Either::First(request) => {
                bytes.push(0);
                self.first.suspend(request, bytes)
            }
            Either::Second(request) => {
                bytes.push(1);
                self.second.suspend(request, bytes)
            }
        }
    }

    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        match bytes.split_first() {
            Some((0, bytes)) => self.first.resume(bytes, descriptor).map(Either::First),
            Some((1, bytes)) => self.second.resume(bytes, descriptor).map(Either::Second),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }
}

impl<A: LocalAddr, B: LocalAddr> LocalAddr for Beside<A, B> {
    /// That of the first, and that of the second.
    type Addr = (A::Addr, B::Addr);

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok((self.first.local_addr()?, self.second.local_addr()?))
    }
}

/// Readable while either has a request.
impl<A, B> AsFd for Beside<A, B> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.gate.as_fd()
    }
}
