//! Ending a connection that somebody else reads from and writes to.

use std::os::fd::RawFd;

use nix::libc;

/// Shuts a connection down in both directions: whoever waits in a read or write of it returns, and
/// finds its end. The descriptor stays open.
///
/// The caller sees to it that `connection` is the open descriptor that is meant; for another one
/// shutdown(2) would do no worse than end that, or say `ENOTSOCK`.
pub(crate) fn cut_off(connection: RawFd) {
    // SAFETY: shutdown(2) takes two integers and touches no memory.
    // A peer that is gone already (ENOTCONN) is as good as cut off.
    let _ = unsafe { libc::shutdown(connection, libc::SHUT_RDWR) };
}
