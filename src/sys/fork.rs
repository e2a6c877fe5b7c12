//! Children that run one closure and end.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use std::{error, fmt, thread};

use nix::libc;
use nix::unistd::{ForkResult, Pid};

/// Far longer than a thread takes to go once it has been joined.
const A_MOMENT: Duration = Duration::from_millis(5);

/// Why a child was not started although the system might have allowed it.
///
/// POSIX allows the child of a process with several threads nothing but async-signal-safe calls:
/// a lock that another thread held at the moment of the fork (the allocator's, stdout's, the
/// environment's) stays locked in the child for ever. No handler can keep to that, so
/// [`Forking`](crate::Forking) forks only where there is one thread. It is found inside the
/// [`io::Error`] by [`get_ref`](io::Error::get_ref) and a downcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForkRefused {
    /// The process has this many threads.
    Threads(usize),
    /// The system does not tell how many threads the process has.
    Unknown,
}

impl fmt::Display for ForkRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(count) => write!(
                f,
                "Forking needs a process with one thread, and this one has {count}: a lock that \
                 another thread holds at the fork is never released in the child; serve from the \
                 main thread before any other is started, or use Threading"
            ),
            Self::Unknown => {
                f.write_str("Forking can't tell here whether the process has only one thread")
            }
        }
    }
}

impl error::Error for ForkRefused {}

impl From<ForkRefused> for io::Error {
    fn from(refused: ForkRefused) -> Self {
        Self::new(io::ErrorKind::Unsupported, refused)
    }
}

/// How many threads this process has, or `None` where the system does not say.
///
/// One `stat(2)`: the directory of a process's threads has two links more than there are threads.
pub(crate) fn thread_count() -> Option<usize> {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        let links = nix::sys::stat::stat("/proc/self/task").ok()?.st_nlink;
        usize::try_from(links).ok()?.checked_sub(2)
    } else {
        None
    }
}

/// Proof of being in a forked child that ends in `_exit(2)`: what
/// [`Transport::after_fork`](crate::Transport::after_fork) is called with. Only this crate makes
/// one.
#[derive(Debug)]
pub struct ForkedChild<'a> {
    /// What stands in the place of descriptors that the child lets go of.
    blank: BorrowedFd<'a>,
}

/// One thread is what a fork needs. Where it is `likely` that there is only one, more are looked at
/// again for a moment: a thread that has just been joined may still be counted.
fn check_threads(likely: bool) -> io::Result<()> {
    let mut first = None;
    loop {
        match thread_count() {
            Some(1) => return Ok(()),
            None => return Err(ForkRefused::Unknown.into()),
            Some(count)
                if !likely || first.get_or_insert_with(Instant::now).elapsed() > A_MOMENT =>
            {
                return Err(ForkRefused::Threads(count).into());
            }
            Some(_) => thread::yield_now(),
        }
    }
}

/// Starts a child that runs `body` and ends with the code it returns, or 101 where it panicked.
/// Returns the child's process id.
///
/// `blank` is a descriptor that means nothing to the child; `likely` says that the last fork was
/// possible.
///
/// # Errors
///
/// [`ForkRefused`] where the process has more than one thread, and what fork(2) says.
pub(crate) fn fork(
    blank: BorrowedFd<'_>,
    likely: bool,
    body: impl FnOnce(&ForkedChild<'_>) -> i32,
) -> io::Result<Pid> {
    check_threads(likely)?;
    // What waits in stdout's buffer would otherwise be printed by both.
    let _ = io::stdout().flush();
    // SAFETY: this is the only thread, so every lock is free or held by this very thread, and the
    // child may do what the parent may; it never returns from here (`run_child` diverges).
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => run_child(&ForkedChild { blank }, body),
        ForkResult::Parent { child } => Ok(child),
    }
}

/// The whole life of a child. It neither returns nor unwinds into its caller, which is the parent's
/// accept loop with the parent's guards, and it runs no `atexit` function.
fn run_child(child: &ForkedChild<'_>, body: impl FnOnce(&ForkedChild<'_>) -> i32) -> ! {
    let code = catch_unwind(AssertUnwindSafe(|| {
        let code = body(child);
        // _exit(2) does not flush it.
        let _ = io::stdout().flush();
        code
    }));
    // A payload may panic when it is dropped.
    let code = code.unwrap_or_else(|payload| {
        std::mem::forget(payload);
        101
    });
    // SAFETY: _exit(2) is always allowed; it does not return.
    unsafe { libc::_exit(code) }
}

/// A descriptor that becomes readable when the child `pid` of this process ends: `pidfd_open(2)`.
///
/// # Errors
///
/// `Unsupported` on systems without it, Linux before 5.3 among them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn watch_child(pid: Pid) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call has just returned this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// See the Linux twin; other systems have no such descriptor.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn watch_child(_pid: Pid) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

impl ForkedChild<'_> {
    /// Lets go of what `fd` stands for. Its number stays taken, by something that means nothing, so
    /// its owner may be dropped or not, and this may be called twice.
    pub(crate) fn release(&self, fd: &impl AsFd) {
        let (blank, fd) = (self.blank.as_raw_fd(), fd.as_fd().as_raw_fd());
        // It can't fail for two open descriptors that differ.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: both are open, and `fd` is still owned by its owner afterwards: a transport of
        // this crate, which calls this for its own listening socket and expects it to change.
        let _ = unsafe { libc::dup3(blank, fd, libc::O_CLOEXEC) };
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        // SAFETY: as above.
        let _ = unsafe { libc::dup2(blank, fd) };
    }
}
