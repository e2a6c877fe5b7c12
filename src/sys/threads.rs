//! Whether this process may be forked: how many threads it has.

use std::time::{Duration, Instant};
use std::{error, fmt, io, thread};

/// Far longer than a thread takes to go once it has been joined.
const A_MOMENT: Duration = Duration::from_millis(5);

/// Why a child was not started although the system might have allowed it.
///
/// POSIX allows the child of a process with several threads nothing but async-signal-safe calls:
/// a lock that another thread held at the moment of the fork (the allocator's, stdout's, the
/// environment's) stays locked in the child for ever. No handler can keep to that, so
/// [`Forking`](crate::Forking) forks only where there is one thread, and
/// [`ForkServer`](crate::ForkServer) from a process that it has made while there was. It is found
/// inside the [`io::Error`] by [`get_ref`](io::Error::get_ref) and a downcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForkRefused {
    /// The process has this many threads.
    Threads(usize),
    /// The system does not tell how many threads the process has.
    Unknown,
    /// The process that a [`ForkServer`](crate::ForkServer) forks from is not there any more.
    HelperEnded,
    /// The [`ForkServer`](crate::ForkServer) belongs to another process, which has made it and
    /// forked this one.
    NotOurs,
}

impl fmt::Display for ForkRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(count) => write!(
                f,
                "a fork needs a process with one thread, and this one has {count}: a lock that \
                 another thread holds at the fork is never released in the child; serve with \
                 Forking, or make the server with ForkServer, before any other thread is started, \
                 or use Threading"
            ),
            Self::Unknown => f.write_str(
                "a fork needs a process with one thread, and the system does not tell here how \
                 many this one has",
            ),
            Self::HelperEnded => f.write_str(
                "the process that this ForkServer forks from has ended, and there can't be \
                 another; the server has to be made again",
            ),
            Self::NotOurs => f.write_str(
                "this ForkServer was made by another process; the server has to be made in the \
                 process that serves",
            ),
        }
    }
}

impl error::Error for ForkRefused {}

impl From<ForkRefused> for io::Error {
    fn from(refused: ForkRefused) -> Self {
        let kind = match refused {
            ForkRefused::Threads(_) | ForkRefused::Unknown => io::ErrorKind::Unsupported,
            ForkRefused::HelperEnded => io::ErrorKind::BrokenPipe,
            ForkRefused::NotOurs => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, refused)
    }
}

/// The promise that this process may be forked although it may have threads: what
/// [`Forking::assume_fork_safe`](crate::Forking::assume_fork_safe) takes.
#[derive(Debug, Clone, Copy)]
pub struct AssumeForkSafe(());

impl AssumeForkSafe {
    /// Makes the promise.
    ///
    /// # Safety
    ///
    /// At every fork of the strategy that gets this, one of two things has to be true:
    ///
    /// * The process has one thread, which the system can't tell or the caller knows better.
    /// * No other thread can leave anything in a state that the child runs into. The child runs
    ///   this crate, the standard library and the handler, all of which allocate, and lock stdout
    ///   and stderr; by fork(2) and POSIX it may, until it ends, call only async-signal-safe
    ///   functions (signal-safety(7)). Glibc puts its allocator in order at a fork, and flushes or
    ///   unlocks nothing else: not stdout of this standard library, not the environment, not the
    ///   panic machinery, not the handler's locks, not those of `parking_lot`.
    ///
    /// Where neither is, a child may hang for ever, or meet values that are half written.
    #[must_use]
    // SAFETY: nothing is done here; what has to hold is the caller's promise.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

/// What is known of the threads before a fork.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Threads {
    /// There is likely to be one: more are looked at again for a moment, as a thread that has just
    /// been joined may still be counted.
    LikelyOne,
    /// There were more the last time.
    LikelyMore,
    /// They are no concern of ours.
    Assumed(AssumeForkSafe),
}

impl Threads {
    /// One thread is what a fork needs.
    pub(super) fn check(self) -> io::Result<()> {
        match self {
            Self::Assumed(AssumeForkSafe(())) => Ok(()),
            _ if is_only_one() => Ok(()),
            Self::LikelyOne => look(A_MOMENT),
            Self::LikelyMore => look(Duration::ZERO),
        }
    }
}

/// Looks at the number of threads until there is one, for no longer than `patience`.
#[cold]
fn look(patience: Duration) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match count() {
            Some(1) => return Ok(()),
            None => return Err(ForkRefused::Unknown.into()),
            Some(count) if begun.elapsed() >= patience => {
                return Err(ForkRefused::Threads(count).into());
            }
            Some(_) => thread::yield_now(),
        }
    }
}

/// Whether there is no thread but this one. `false` means little: unshare(2) may be forbidden, as in
/// a container.
///
/// Of what can be unshared, `CLONE_THREAD` "can be specified if the caller is single threaded", has
/// no effect then, and is `EINVAL` otherwise: a tenth of what a look into `/proc` takes.
fn is_only_one() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return nix::sched::unshare(nix::sched::CloneFlags::CLONE_THREAD).is_ok();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    false
}

/// How many threads this process has, or `None` where the system does not say.
///
/// One `stat(2)`: the directory of a process's threads has two links more than there are threads.
fn count() -> Option<usize> {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        let links = nix::sys::stat::stat("/proc/self/task").ok()?.st_nlink;
        usize::try_from(links).ok()?.checked_sub(2)
    } else {
        None
    }
}
