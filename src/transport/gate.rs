//! What transports that consist of several wait at.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::sys::{Interest, Selector};
use crate::{Transport, Waiter};

/// A descriptor that is readable while that of any member is.
///
/// It has no state of its own but the kernel's, which forked processes share: a member that is
/// suspended in one of them is suspended in all.
pub(super) struct Gate {
    selector: Selector,
    members: AtomicUsize,
    /// How many of them have said that there will never be another request.
    ended: AtomicUsize,
}

impl Gate {
    pub(super) fn new() -> io::Result<Self> {
        let [members, ended] = [const { AtomicUsize::new(0) }; 2];
        Ok(Self { selector: Selector::new()?, members, ended })
    }

    /// Has the member known by this number from now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for one whose descriptor does not tell of all its requests, and what
    /// `epoll_ctl(2)` says: `ELOOP` for gates behind gates that are more than four.
    pub(super) fn add<T: Transport + AsFd>(&self, member: &T, number: u64) -> io::Result<()> {
        check_level(member)?;
        self.selector.add(member, Interest::Readable, number)?;
        self.members.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Tells nothing of the member until it is resumed.
    pub(super) fn suspend(&self, member: &impl AsFd) {
        self.selector.remove(member.as_fd().as_raw_fd());
    }

    /// Tells of the member again.
    pub(super) fn resume(&self, member: &impl AsFd, number: u64) -> io::Result<()> {
        match self.selector.add(member, Interest::Readable, number) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            resumed => resumed,
        }
    }

    /// Asks a member that may have a request, by its number. Whoever has been asked comes after all
    /// others that may have one: `epoll_wait(2)` goes round among those that are ready.
    ///
    /// `get` returns the member's descriptor beside its answer.
    #[inline]
    pub(super) fn ask<'m, R>(
        &self,
        mut get: impl FnMut(u64) -> (BorrowedFd<'m>, io::Result<Option<R>>),
    ) -> io::Result<Option<R>> {
        // Others may be faster at each of them.
        for _ in 0..self.members.load(Relaxed) {
            let Some(number) = self.selector.next()? else { break };
            match get(number) {
                (_, Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
                (member, Ok(None)) => {
                    self.suspend(&member);
                    self.ended.fetch_add(1, Relaxed);
                }
                (_, answer) => return answer,
            }
        }
        if self.is_over() { Ok(None) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn is_over(&self) -> bool {
        let ended = self.ended.load(Relaxed);
        ended > 0 && ended == self.members.load(Relaxed)
    }

    /// Waits for any of them.
    pub(super) fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable_of_several(self)
    }
}

/// Whether all requests of the transport are where its descriptor tells of them.
pub(crate) fn check_level(transport: &impl Transport) -> io::Result<()> {
    if transport.is_level_triggered() {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        "a transport within another is asked for requests when its descriptor is readable, and this \
         one has some that its descriptor does not tell of; one with a spin looks for them instead, \
         so leave that out",
    ))
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.selector.as_fd()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.selector.fmt(f)
    }
}
