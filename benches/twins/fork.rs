//! Children that run one closure and end, and their reaping.
#![expect(unsafe_code, reason = "fork(2), signal(2) and _exit(2)")]

use std::io;

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal};
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

    /// Where the process handles a signal, the child does not: it could not be ended by it.
    pub(super) fn start(
        &mut self,
        handled: Option<Signal>,
        work: impl FnOnce(),
    ) -> io::Result<Pid> {
        match handled.map_or_else(fork_alone, fork_without)? {
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

fn fork_alone() -> nix::Result<ForkResult> {
    // SAFETY: the process has one thread, and the child ends in `start`.
    unsafe { fork() }
}

/// The same; in the child, the signal does what it does by default.
fn fork_without(handled: Signal) -> nix::Result<ForkResult> {
    let before = SigSet::from(handled).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let forked = fork_alone();
    if matches!(forked, Ok(ForkResult::Child)) {
        // It can't fail for a signal that has had a handler, and an error would return into the loop.
        // SAFETY: SIG_DFL runs no code of ours.
        let _ = unsafe { signal(handled, SigHandler::SigDfl) };
    }
    let _ = before.thread_set_mask();
    forked
}
