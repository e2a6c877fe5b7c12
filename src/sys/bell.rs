//! A descriptor that wakes whoever polls it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout};

/// Readable from [`ring`](Bell::ring) to [`drain`](Bell::drain): an `eventfd(2)` on Linux, a pipe
/// elsewhere.
#[derive(Debug)]
pub(crate) struct Bell {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    event: nix::sys::eventfd::EventFd,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pipe: (std::os::fd::OwnedFd, std::os::fd::OwnedFd),
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        use nix::sys::eventfd::{EfdFlags, EventFd};
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { event })
    }

    /// Makes the descriptor readable. Async-signal-safe: one `write(2)`, `errno` left as it was.
    pub(crate) fn ring(&self) {
        let errno = Errno::last_raw();
        // EAGAIN means that the counter is full: the descriptor is readable as it is.
        let _ = self.event.write(1);
        Errno::set_raw(errno);
    }

    /// Makes the descriptor quiet again.
    pub(crate) fn drain(&self) {
        // EAGAIN means that it is quiet already.
        let _ = self.event.read();
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
        let pipe = nix::unistd::pipe()?;
        for end in [&pipe.0, &pipe.1] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { pipe })
    }

    /// Makes the descriptor readable. Async-signal-safe: one `write(2)`, `errno` left as it was.
    pub(crate) fn ring(&self) {
        let errno = Errno::last_raw();
        // EAGAIN means that the pipe is full: the descriptor is readable as it is.
        let _ = nix::unistd::write(&self.pipe.1, &[1]);
        Errno::set_raw(errno);
    }

    /// Makes the descriptor quiet again.
    pub(crate) fn drain(&self) {
        let mut bytes = [0; 64];
        while nix::unistd::read(&self.pipe.0, &mut bytes).is_ok_and(|count| count > 0) {}
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return self.event.as_fd();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return self.pipe.0.as_fd();
    }
}

/// Waits until one of `fds` is ready or `deadline` has passed; a signal ends the wait early.
pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    match nix::poll::poll(fds, timeout_until(deadline)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// What is left until `deadline` in whole milliseconds, rounded up so that the wait that ends is
/// never followed by one of zero length.
pub(super) fn timeout_until(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(Instant::now());
    let millis = left.saturating_add(Duration::from_nanos(999_999)).as_millis();
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}
