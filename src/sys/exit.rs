//! The end of the process.

use std::io;

use nix::libc;

/// Has `run` called when the process exits normally: when `main` returns, or at
/// `std::process::exit`. Not when it is killed, aborts, or leaves by `_exit(2)`.
pub(crate) fn at_exit(run: extern "C" fn()) -> io::Result<()> {
    // SAFETY: `run` is a function of the program, so it is there for as long as the process is.
    match unsafe { libc::atexit(run) } {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::OutOfMemory, "atexit(3) has no room left")),
    }
}
