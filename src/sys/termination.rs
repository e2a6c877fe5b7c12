//! SIGTERM as a message to a process of ours.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Pid, getppid};

use super::signals;

type Hear = Box<dyn Fn() + Send + Sync>;

/// What SIGTERM does; it is there for as long as the process is.
static HEAR: AtomicPtr<Hear> = AtomicPtr::new(ptr::null_mut());

/// Has SIGTERM call `hear`, which has to be safe to call in a signal handler (signal-safety(7)), from
/// now on; and, on Linux, the end of `parent`, which has forked this process, send one. Whether the
/// parent is still there.
pub(crate) fn hear_terminations(parent: Pid, hear: impl Fn() + Send + Sync + 'static) -> bool {
    HEAR.store(Box::into_raw(Box::new(Box::new(hear))), SeqCst);
    signals::handle(libc::SIGTERM, terminate);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: this option takes a signal's number, and touches no memory.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong);
    }
    // It may have ended before that, and then nobody sends anything.
    is_child_of(parent)
}

/// Whether the process that has forked this one is still there; in a signal handler too.
pub(crate) fn is_child_of(parent: Pid) -> bool {
    getppid() == parent
}

extern "C" fn terminate(_signal: libc::c_int) {
    let errno = Errno::last_raw();
    // SAFETY: what is there has been leaked by `hear_terminations`, and is never freed.
    if let Some(hear) = unsafe { HEAR.load(SeqCst).as_ref() } {
        hear();
    }
    Errno::set_raw(errno);
}
