//! Where the urgent data of a connection stands.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc::c_int;

// SAFETY: that is how POSIX declares it.
unsafe extern "C" {
    fn sockatmark(socket: c_int) -> c_int;
}

/// Whether the next byte to be read is that which the urgent mark stands at, or, where that byte is
/// not in line, the first after it: sockatmark(3).
///
/// # Errors
///
/// `ENOTTY` or `EINVAL` for a socket that has no such thing.
pub(crate) fn is_at_mark(socket: &impl AsFd) -> io::Result<bool> {
    // SAFETY: it takes an open descriptor, and touches no memory of ours.
    match unsafe { sockatmark(socket.as_fd().as_raw_fd()) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}
