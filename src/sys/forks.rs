//! Whether this process is a copy of the one that it was.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::libc;

static FORKS: AtomicU32 = AtomicU32::new(0);
/// What pthread_atfork(3) said.
static REGISTERED: OnceLock<libc::c_int> = OnceLock::new();

/// How many forks there have been between the first call, in whichever process, and this process.
/// Later calls are no system calls, as getpid(2) is one.
///
/// # Errors
///
/// Where there is no memory to hear of forks.
pub(crate) fn forks() -> io::Result<u32> {
    // SAFETY: the function does what signal-safety(7) allows, and is there for as long as the
    // process is.
    let register = || unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    match *REGISTERED.get_or_init(register) {
        0 => Ok(FORKS.load(SeqCst)),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

// SAFETY: it asks nothing of its caller.
unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, SeqCst);
}
