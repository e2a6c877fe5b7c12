//! One descriptor that many threads wait for, of whom one is woken at a time.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::bell::{Bell, timeout_until};

/// In the place of a descriptor.
const NONE: RawFd = -1;

/// What marks an event of the bell; one of a source is marked by its number.
const BELL: u64 = u64::MAX;

/// Where they wait: an epoll(7) instance with bells, which wake all, and a source, which wakes one.
/// That one has the turn: the source wakes nobody else (`EPOLLONESHOT`) until it passes the turn on,
/// when it has taken what there was.
pub(crate) struct Turns {
    epoll: Epoll,
    /// Rings for good when it is over.
    over: Bell,
    /// The source, once there has been one that is the same as ever.
    source: AtomicI32,
}

impl Turns {
    pub(crate) fn new(bell: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let over = Bell::new()?;
        for bell in [bell, over.as_fd()] {
            epoll.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        }
        Ok(Self { epoll, over, source: AtomicI32::new(NONE) })
    }

    /// Wakes all that wait, or will.
    pub(crate) fn end(&self) {
        self.over.ring();
    }

    /// The source may wake one, and does at once where it is readable already.
    fn arm(&self, source: RawFd) -> Result<(), Errno> {
        let armed = match self.control(libc::EPOLL_CTL_MOD, source) {
            Err(Errno::ENOENT) => self.control(libc::EPOLL_CTL_ADD, source),
            armed => armed,
        };
        match armed {
            // Another one has done so at the same moment.
            Err(Errno::EEXIST) => Ok(()),
            armed => armed,
        }
    }

    fn control(&self, operation: libc::c_int, source: RawFd) -> Result<(), Errno> {
        let events = (libc::EPOLLIN | libc::EPOLLONESHOT) as u32;
        let mut event = libc::epoll_event { events, u64: source as u64 };
        let instance = self.epoll.0.as_raw_fd();
        // SAFETY: the event is there during the call; a descriptor that is not open, or not one of
        // this instance, is an error.
        let done = unsafe { libc::epoll_ctl(instance, operation, source, &mut event) };
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
    /// The source whose turn it has. (No other thread looks at it.)
    at: AtomicI32,
    /// It [dozes](Self::doze) for a source that is the same as ever.
    dozes: bool,
}

impl Turn {
    pub(crate) fn new(turns: &Arc<Turns>) -> Self {
        Self { turns: Arc::clone(turns), at: AtomicI32::new(NONE), dozes: false }
    }

    /// Has it leave it to [`doze`](Self::doze) to wait for a source that is the same as ever.
    pub(crate) fn dozing(self) -> Self {
        Self { dozes: true, ..self }
    }

    /// Whether there is a source to doze for.
    pub(crate) fn knows_source(&self) -> bool {
        self.turns.source.load(SeqCst) != NONE
    }

    /// Waits for the source, which is the same `as_ever` or may be another each time, for the bells,
    /// and until `deadline`. Passes on the turn, if it has that.
    pub(crate) fn wait(
        &self,
        source: BorrowedFd<'_>,
        as_ever: bool,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        let source = source.as_raw_fd();
        let armed = as_ever && self.at.load(Relaxed) == NONE;
        if !armed || self.turns.source.load(SeqCst) != source {
            self.turns.arm(source)?;
            self.at.store(NONE, Relaxed);
        }
        if as_ever {
            self.turns.source.store(source, SeqCst);
            if self.dozes {
                return Ok(Woken::Otherwise);
            }
        }
        self.doze(deadline)
    }

    /// Waits for the source that is known, as one that has not the turn.
    pub(crate) fn doze(&self, deadline: Option<Instant>) -> io::Result<Woken> {
        let mut event = [EpollEvent::empty()];
        match self.turns.epoll.wait(&mut event, timeout_until(deadline)) {
            Ok(0) | Err(Errno::EINTR) => Ok(Woken::Otherwise),
            Ok(_) if event[0].data() == BELL => Ok(Woken::ByBell),
            Ok(_) => {
                // Not always its own: another thread may wait for another source.
                self.at.store(event[0].data() as RawFd, Relaxed);
                Ok(Woken::Otherwise)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Lets the source wake another one.
    #[inline]
    pub(crate) fn pass_on(&self) {
        let source = self.at.load(Relaxed);
        if source != NONE {
            self.at.store(NONE, Relaxed);
            // Where it is not open any more, there is nothing to be woken for.
            let _ = self.turns.arm(source);
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({:?})", self.at.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::sys::Bell;

    /// A bell, and so many threads' places; none of them waits, or has to.
    fn places<const N: usize>() -> io::Result<(Bell, [Turn; N])> {
        let bell = Bell::new()?;
        let turns = Arc::new(Turns::new(bell.as_fd())?);
        Ok((bell, std::array::from_fn(|_| Turn::new(&turns))))
    }

    /// One byte that waits, and nothing else.
    fn source() -> io::Result<(UnixStream, UnixStream)> {
        let (ours, mut other) = UnixStream::pair()?;
        other.write_all(b"x")?;
        Ok((ours, other))
    }

    /// Waits no longer than it takes to see what is there; whether it has the turn afterwards.
    fn is_woken(turn: &Turn, source: &UnixStream, as_ever: bool) -> io::Result<bool> {
        turn.wait(source.as_fd(), as_ever, Some(Instant::now()))?;
        Ok(turn.at.load(Relaxed) == source.as_raw_fd())
    }

    #[test]
    fn one_is_woken_and_the_next_when_the_turn_is_passed_on() -> io::Result<()> {
        let (_bell, [first, second]) = places()?;
        let (source, _other) = source()?;
        assert!(is_woken(&first, &source, true)?);
        assert!(!is_woken(&second, &source, true)?, "the first has the turn");
        first.pass_on();
        assert!(is_woken(&second, &source, true)?, "there is something left");
        assert!(!is_woken(&first, &source, true)?);
        Ok(())
    }

    #[test]
    fn who_waits_again_passes_the_turn_on() -> io::Result<()> {
        let (_bell, [first, second]) = places()?;
        let (mut source, mut other) = source()?;
        assert!(is_woken(&first, &source, true)?);
        source.read_exact(&mut [0])?;
        assert!(!is_woken(&first, &source, true)?, "it has taken what there was");
        other.write_all(b"y")?;
        assert!(is_woken(&second, &source, true)?);
        Ok(())
    }

    #[test]
    fn sources_may_change_and_a_turn_is_at_the_one_that_woke() -> io::Result<()> {
        let (_bell, [first, second]) = places()?;
        let (one, _other) = source()?;
        let (quiet, _silent) = UnixStream::pair()?;
        assert!(is_woken(&first, &one, false)?);
        first.pass_on();
        assert!(!is_woken(&second, &quiet, false)?);
        assert_eq!(second.at.load(Relaxed), one.as_raw_fd(), "woken by the other source");
        second.pass_on();
        assert!(is_woken(&first, &one, true)?, "which is armed again");

        // As where a transport opens another socket, which gets the number of the first.
        let (again, _other) = source()?;
        let mut one = OwnedFd::from(one);
        nix::unistd::dup2(&again, &mut one)?;
        assert!(is_woken(&second, &one.into(), false)?);
        Ok(())
    }

    #[test]
    fn who_dozes_makes_the_source_known_first() -> io::Result<()> {
        let (_bell, [first, second]) = places()?;
        let (first, (source, _other)) = (first.dozing(), source()?);
        assert!(!first.knows_source());
        first.wait(source.as_fd(), true, None)?;
        assert!(first.knows_source() && second.knows_source());
        second.doze(None)?;
        assert_eq!(second.at.load(Relaxed), source.as_raw_fd());
        Ok(())
    }

    #[test]
    fn a_bell_wakes_all() -> io::Result<()> {
        let (bell, places) = places::<3>()?;
        let (source, _silent) = UnixStream::pair()?;
        bell.ring();
        let far = Some(Instant::now() + Duration::from_secs(60));
        for turn in &places {
            assert_eq!(turn.wait(source.as_fd(), true, far)?, Woken::ByBell);
        }
        bell.drain();
        assert_eq!(places[0].doze(Some(Instant::now()))?, Woken::Otherwise);
        places[0].turns.end();
        for turn in &places {
            assert_eq!(turn.doze(far)?, Woken::ByBell);
        }
        Ok(())
    }
}
