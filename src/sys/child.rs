//! The ends of children.

use std::io;
use std::os::fd::OwnedFd;

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

/// Whose end is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of this child, if it has ended.
    Ended(Pid),
    /// That of this child, however long it takes.
    Awaited(Pid),
    /// That of any child of this process that has ended: for processes all of whose children are
    /// ours.
    Any,
}

/// Reaps a child: `waitpid(2)`. `None` where the child has not ended, or there is none.
///
/// # Errors
///
/// None that is known: what waitpid(2) says beyond `EINTR` and `ECHILD`.
pub(crate) fn reap(whose: Whose) -> io::Result<Option<(Pid, Exit)>> {
    let (pid, flags) = match whose {
        Whose::Ended(pid) => (pid.as_raw(), libc::WNOHANG),
        Whose::Awaited(pid) => (pid.as_raw(), 0),
        Whose::Any => (-1, libc::WNOHANG),
    };
    let mut status = 0;
    loop {
        // Not by nix, which says EINVAL for a child that ended by a real-time signal.
        // SAFETY: waitpid(2) writes the status to where it is told, and nothing else.
        let ended = unsafe { libc::waitpid(pid, &raw mut status, flags) };
        match ended {
            0 => return Ok(None),
            1.. => return Ok(Some((Pid::from_raw(ended), exit(status)))),
            _ => {}
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) if whose == Whose::Any => return Ok(None),
            Some(libc::ECHILD) => return Ok(Some((Pid::from_raw(pid), Exit::Unknown))),
            _ => return Err(error),
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
