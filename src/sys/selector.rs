//! Many descriptors that are waited for at once.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::poll::PollTimeout;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::bell::timeout_until;

/// An epoll(7) instance.
pub(crate) struct Selector(Epoll);

/// What is told of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing, for now.
    None,
    /// That it is readable, for as long as it is.
    Readable,
    /// The same once, until it is said again.
    ReadableOnce,
    /// That something has come, or the peer has ended its side: once for each time (`EPOLLET`).
    Coming,
    /// The same, and that there is room for more to be sent.
    ComingAndGoing,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        let coming = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLPRI
            | EpollFlags::EPOLLET;
        match self {
            Self::None => EpollFlags::empty(),
            Self::Readable => EpollFlags::EPOLLIN,
            Self::ReadableOnce => EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT,
            Self::Coming => coming,
            Self::ComingAndGoing => coming | EpollFlags::EPOLLOUT,
        }
    }
}

/// So much is told at once.
const MOST: usize = 128;

/// What has happened in a wait.
pub(crate) struct Happenings {
    events: [EpollEvent; MOST],
    count: usize,
}

impl Happenings {
    pub(crate) fn none() -> Self {
        Self { events: [EpollEvent::empty(); MOST], count: 0 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Happening> {
        self.events[..self.count].iter().copied().map(Happening)
    }
}

/// What has happened to a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Happening(EpollEvent);

impl Happening {
    /// Which one it is, in the words of who added it.
    pub(crate) fn token(self) -> u64 {
        self.0.data()
    }

    /// Whether it is the end, or an error.
    pub(crate) fn is_last(self) -> bool {
        let last = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.0.events().intersects(last)
    }

    /// Whether an urgent byte has come.
    pub(crate) fn is_urgent(self) -> bool {
        self.0.events().contains(EpollFlags::EPOLLPRI)
    }
}

impl Selector {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    pub(crate) fn add(&self, fd: impl AsFd, interest: Interest, token: u64) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(interest.flags(), token))?)
    }

    pub(crate) fn change(&self, fd: impl AsFd, interest: Interest, token: u64) -> io::Result<()> {
        Ok(self.0.modify(fd, &mut EpollEvent::new(interest.flags(), token))?)
    }

    /// Has nothing more told of a descriptor. One that is closed, and has no duplicate, needs no
    /// such call.
    pub(crate) fn remove(&self, fd: RawFd) {
        // SAFETY: no memory is passed; a number that is not open, or not in the instance, is an
        // error, which there is nothing to be done about.
        unsafe { libc::epoll_ctl(self.0.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) };
    }

    /// The token of one to which something has happened, without waiting; where there are several,
    /// each has its turn.
    #[inline]
    pub(crate) fn next(&self) -> io::Result<Option<u64>> {
        let mut event = [EpollEvent::empty()];
        match self.0.wait(&mut event, PollTimeout::ZERO) {
            Ok(0) | Err(Errno::EINTR) => Ok(None),
            Ok(_) => Ok(Some(event[0].data())),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until something has happened, or until then, and says what. A signal ends the wait
    /// early.
    pub(crate) fn wait(&self, until: Option<Instant>, told: &mut Happenings) -> io::Result<()> {
        told.count = match self.0.wait(&mut told.events, timeout_until(until)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        Ok(())
    }
}

impl AsFd for Selector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({})", self.0.0.as_raw_fd())
    }
}
