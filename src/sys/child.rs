//! The ends of children.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By `_exit(2)`, with this status.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Somebody else has waited for it (`ECHILD`), so nobody can say.
    Unknown,
}

/// Reaps a child: `waitpid(2)`. With no pid, any child: for processes all of whose children are
/// ours. It `wait`s for the end, or says `None` where the child has not ended; so it does where
/// there is no child at all.
///
/// # Errors
///
/// None that is known: what waitpid(2) says beyond `EINTR` and `ECHILD`.
pub(crate) fn reap(child: Option<Pid>, wait: bool) -> io::Result<Option<(Pid, Exit)>> {
    let flags = if wait { 0 } else { libc::WNOHANG };
    let mut status = 0;
    loop {
        // Not by nix, which says EINVAL for a child that ended by a real-time signal.
        // SAFETY: waitpid(2) writes the status to where it is told, and nothing else.
        let ended = unsafe { libc::waitpid(child.map_or(-1, Pid::as_raw), &raw mut status, flags) };
        match ended {
            0 => return Ok(None),
            1.. => return Ok(Some((Pid::from_raw(ended), exit(status)))),
            _ => {}
        }
        match Errno::last() {
            Errno::EINTR => {}
            Errno::ECHILD => return Ok(child.map(|child| (child, Exit::Unknown))),
            errno => return Err(errno.into()),
        }
    }
}

fn exit(status: i32) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else {
        Exit::Signal(libc::WTERMSIG(status))
    }
}

/// A descriptor that becomes readable when the process `pid` ends: `pidfd_open(2)`. The caller knows
/// that the number is still that of the process that is meant: a child's is until it is reaped.
///
/// # Errors
///
/// `Unsupported` on systems without it, Linux before 5.3 among them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn watch_process(pid: Pid) -> io::Result<OwnedFd> {
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
pub(crate) fn watch_process(_pid: Pid) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
