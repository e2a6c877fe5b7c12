//! Whether this process is a copy of the one that it was.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::libc;

static FORKS: AtomicU32 = AtomicU32::new(0);
/// What registering has said.
static REGISTERED: OnceLock<libc::c_int> = OnceLock::new();

/// Has [`forks`] count from now on.
///
/// # Errors
///
/// Where there is no memory to hear of forks.
pub(crate) fn count_forks() -> io::Result<()> {
    // SAFETY: the function does what signal-safety(7) allows, and is there for as long as the
    // process is.
    let register = || unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    match *REGISTERED.get_or_init(register) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// How many forks lie between this process and the one that has begun to count. Unlike getpid(2),
/// it is no system call.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(SeqCst)
}

// SAFETY: it asks nothing of its caller.
unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, SeqCst);
}
