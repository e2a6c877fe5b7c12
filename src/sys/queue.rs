//! One descriptor that many processes wait for, of whom one is woken at a time.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::Woken;
use super::bell::timeout_until;

/// In the place of a descriptor.
const NONE: RawFd = -1;
/// What marks an event of the bell.
const BELL: u64 = u64::MAX;

/// The place of one process among them: an epoll(7) instance of its own, with a bell, and a source for
/// which the kernel wakes one of those that wait (`EPOLLEXCLUSIVE`), where poll(2) would wake all.
///
/// One that was woken and is killed before it has taken what there was takes the wake-up with it: the
/// others have to be told to look.
pub(crate) struct Queue {
    epoll: Epoll,
    /// The source, once there has been one.
    source: AtomicI32,
}

impl Queue {
    pub(crate) fn new(bell: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Self { epoll, source: AtomicI32::new(NONE) })
    }

    /// Waits for the source, which is always the same, for the bell, and until `deadline`.
    pub(crate) fn wait(
        &self,
        source: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        if self.source.load(Relaxed) == NONE {
            let one = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            self.epoll.add(source, EpollEvent::new(one, 0))?;
            self.source.store(source.as_raw_fd(), Relaxed);
        }
        let mut event = [EpollEvent::empty()];
        match self.epoll.wait(&mut event, timeout_until(deadline)) {
            Ok(1..) if event[0].data() == BELL => Ok(Woken::ByBell),
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(Woken::Otherwise),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({:?})", self.source.load(Relaxed))
    }
}
