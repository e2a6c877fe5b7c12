//! Children that run one closure and end, and their reaping.
#![expect(unsafe_code, reason = "fork(2) and _exit(2)")]

use std::io;

use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// As many at a time as the composed server has by default.
const MOST: usize = 40;

#[derive(Default)]
pub(super) struct Children {
    running: usize,
}

impl Children {
    /// Reaps those that have ended, and where there are too many, waits for one.
    pub(super) fn reap(&mut self) {
        while self.running > 0 {
            let flags = (self.running < MOST).then_some(WaitPidFlag::WNOHANG);
            if matches!(waitpid(None, flags), Ok(WaitStatus::StillAlive)) {
                break;
            }
            self.running -= 1;
        }
    }

    pub(super) fn start(&mut self, work: impl FnOnce()) -> io::Result<Pid> {
        // SAFETY: the process has one thread, and the child ends here.
        match unsafe { fork() }? {
            ForkResult::Child => {
                work();
                // SAFETY: always allowed; it does not return.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                self.running += 1;
                Ok(child)
            }
        }
    }

    pub(super) fn wait(&mut self) {
        while self.running > 0 {
            let _ = waitpid(None, None);
            self.running -= 1;
        }
    }
}
