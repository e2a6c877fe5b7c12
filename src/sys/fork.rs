//! Children that run one closure and end.

use std::hash::RandomState;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use nix::libc;
use nix::unistd::{ForkResult, Pid};

use super::signals::Caught;
use super::threads::Threads;

/// Proof of being in a forked child that ends in `_exit(2)`: what
/// [`Transport::after_fork`](crate::Transport::after_fork) is called with. Only this crate makes
/// one.
#[derive(Debug)]
pub struct ForkedChild<'a> {
    /// What stands in the place of descriptors that the child lets go of.
    blank: BorrowedFd<'a>,
    /// Whether it has let go of the listed listeners already.
    has_released: AtomicBool,
}

/// Starts a child that runs `body` and ends with the code it returns, or 101 where it panicked.
/// Returns the child's process id.
///
/// `blank` is a descriptor that means nothing to the child. The signals that are `caught` do in the
/// child what they do by default: one that comes before is held back, and does that too.
///
/// # Errors
///
/// [`ForkRefused`](super::ForkRefused) where the process has more than one thread, and what fork(2)
/// says.
pub(crate) fn fork(
    blank: BorrowedFd<'_>,
    threads: Threads,
    caught: Caught,
    body: impl FnOnce(&ForkedChild<'_>) -> i32,
) -> io::Result<Pid> {
    threads.check()?;
    // What waits in stdout's buffer would otherwise be printed by both.
    let _ = io::stdout().flush();
    // Each one made moves the seeds of this thread's next `HashMap` on, and with them the child's.
    let _ = RandomState::new();
    let forked = {
        let _held = caught.hold();
        // SAFETY: this is the only thread, so every lock is free or held by this very thread, and
        // the child may do what the parent may (or somebody has promised as much,
        // `AssumeForkSafe`); it never returns from here (`run_child` diverges).
        let forked = unsafe { nix::unistd::fork() };
        if matches!(forked, Ok(ForkResult::Child)) {
            caught.reset();
        }
        forked
    };
    match forked? {
        ForkResult::Child => {
            run_child(&ForkedChild { blank, has_released: AtomicBool::new(false) }, body)
        }
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

impl ForkedChild<'_> {
    pub(super) fn has_released(&self) -> &AtomicBool {
        &self.has_released
    }

    /// Lets go of what `fd` stands for. Its number stays taken, by something that means nothing, so
    /// its owner may be dropped or not, and this may be called twice.
    pub(crate) fn release(&self, fd: &impl AsFd) {
        put(self.blank(), fd.as_fd().as_raw_fd());
    }

    /// The number of what stands in the place of what the child lets go of.
    pub(super) fn blank(&self) -> RawFd {
        self.blank.as_raw_fd()
    }
}

/// Puts `other` in the place of a socket that requests come from. Both are open.
pub(super) fn put(other: RawFd, socket: RawFd) {
    // It can't fail for two open descriptors that differ.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: both are open, and the socket is still owned by its owner afterwards: a transport of
    // this crate, which expects it to change in a child.
    let _ = unsafe { libc::dup3(other, socket, libc::O_CLOEXEC) };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    // SAFETY: as above.
    let _ = unsafe { libc::dup2(other, socket) };
}
