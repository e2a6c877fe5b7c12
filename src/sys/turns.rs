//! One descriptor that many threads wait for, of whom one is woken at a time.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::bell::timeout_until;

/// What marks an event.
const BELL: u64 = 0;
const SOURCE: u64 = 1;

/// Where they wait: an epoll(7) instance with a bell, which wakes all, and a source, which wakes one.
/// That one has the turn: the source wakes nobody else (`EPOLLONESHOT`) until it passes the turn on,
/// when it has taken what there was.
pub(crate) struct Turns {
    epoll: Epoll,
    /// The source, once there has been one; none is negative.
    source: AtomicI32,
}

impl Turns {
    pub(crate) fn new(bell: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Self { epoll, source: AtomicI32::new(-1) })
    }

    /// The source may wake one, and does at once where it is readable already.
    fn arm(&self, source: RawFd) -> Result<(), Errno> {
        let armed = match self.control(libc::EPOLL_CTL_MOD, source) {
            Err(Errno::ENOENT) => self.control(libc::EPOLL_CTL_ADD, source),
            armed => armed,
        };
        match armed {
            // Another one has done so at the same moment.
            Ok(()) | Err(Errno::EEXIST) => self.source.store(source, SeqCst),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    fn control(&self, operation: libc::c_int, source: RawFd) -> Result<(), Errno> {
        let events = (EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT).bits().cast_unsigned();
        let mut event = libc::epoll_event { events, u64: SOURCE };
        // SAFETY: the event is there during the call; a descriptor that is not open, or not one of
        // this instance, is an error.
        let done =
            unsafe { libc::epoll_ctl(self.epoll.0.as_raw_fd(), operation, source, &mut event) };
        Errno::result(done).map(drop)
    }
}

/// What has ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    ByBell,
    /// By the source, by the time, or by a signal.
    Otherwise,
}

/// One thread's place among them.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    /// The source whose turn it has.
    at: Cell<Option<RawFd>>,
}

impl Turn {
    pub(crate) fn new(turns: &Arc<Turns>) -> Self {
        Self { turns: Arc::clone(turns), at: Cell::new(None) }
    }

    /// Waits for the source, which is the same `as_ever` or may be another each time, for the bell,
    /// and until `deadline`. Passes on the turn, if it has that.
    pub(crate) fn wait(
        &self,
        source: BorrowedFd<'_>,
        as_ever: bool,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        let source = source.as_raw_fd();
        let armed = as_ever && self.at.get().is_none();
        if !armed || self.turns.source.load(SeqCst) != source {
            self.turns.arm(source)?;
            self.at.set(None);
        }
        let mut event = [EpollEvent::empty()];
        match self.turns.epoll.wait(&mut event, timeout_until(deadline)) {
            Ok(0) | Err(Errno::EINTR) => Ok(Woken::Otherwise),
            Ok(_) if event[0].data() == BELL => Ok(Woken::ByBell),
            Ok(_) => {
                self.at.set(Some(source));
                Ok(Woken::Otherwise)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Lets the source wake another one.
    #[inline]
    pub(crate) fn pass_on(&self) {
        if let Some(source) = self.at.take() {
            // Where it is not open any more, there is nobody to wake.
            let _ = self.turns.arm(source);
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({:?})", self.at.get())
    }
}
