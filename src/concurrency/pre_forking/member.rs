//! One worker process, as its supervisor sees it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::sheet::{self, Sheet};
use crate::counters::Counters;
use crate::sys::{self, Exit};

/// Whoever has lived so long has come up, whether or not it has had anything to do.
const SETTLED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) pid: Pid,
    pub(super) sheet: Arc<Sheet>,
    /// The number of the socket that it takes from; 0 where there is but one.
    pub(super) shard: usize,
    /// Where it counts.
    pub(super) counters: Option<Counters>,
    /// How often all had been restarted when it was started.
    pub(super) generation: u64,
    pub(super) limit: u64,
    pub(super) since: Instant,
    /// What it has been told.
    pub(super) told: u64,
    /// Readable when it ends, once it is waited for, where the system has such a thing.
    pub(super) end: Option<OwnedFd>,
}

impl Member {
    /// Tells it, unless it has been told.
    pub(super) fn tell(&mut self, orders: u64) {
        if self.told & orders == orders {
            return;
        }
        self.told |= orders & !sheet::LOOK;
        self.sheet.order(orders);
        // Its number is its own until it is reaped. One that can't hear it yet ends, with nothing in
        // hand.
        let _ = kill(self.pid, Signal::SIGTERM);
    }

    /// Whether it is to go on serving.
    pub(super) fn stays(&self) -> bool {
        self.told & sheet::LEAVE == 0
    }

    pub(super) fn serves(&self) -> bool {
        self.stays() && self.sheet.is_ready()
    }

    /// Whether it is to be replaced.
    pub(super) fn is_due(&self, generation: u64) -> bool {
        self.generation != generation || self.sheet.taken() >= self.limit
    }

    /// How it has ended, if it has; it is reaped then.
    pub(super) fn exit(&self) -> Option<Exit> {
        match sys::reap(Some(self.pid), false) {
            Ok(ended) => ended.map(|(_, exit)| exit),
            // One that can't be waited for is none.
            Err(_) => Some(Exit::Unknown),
        }
    }

    /// Whether it has not ended by itself, nor as it was told. One that was told before it could hear is
    /// ended by that, and has had nothing in hand.
    pub(super) fn has_died(&self, exit: Exit) -> bool {
        let deaf = self.told != 0 && !self.sheet.is_ready();
        exit != Exit::Code(0) && !(deaf && exit == Exit::Signal(libc::SIGTERM))
    }

    /// Whether it could serve before it ended: whoever could not is not to be replaced at once, or
    /// there would be no end to it. Somebody who kills one that is idle does no more than that.
    pub(super) fn has_come_up(&self, exit: Exit) -> bool {
        let killed = exit == Exit::Signal(libc::SIGKILL);
        let served = killed || self.sheet.taken() > 0 || self.since.elapsed() >= SETTLED;
        self.sheet.is_ready() && served
    }

    pub(super) fn watch(&mut self) -> Option<&OwnedFd> {
        if self.end.is_none() {
            self.end = sys::watch_process(self.pid).ok();
        }
        self.end.as_ref()
    }

    pub(super) fn in_hand(&self) -> usize {
        let counted = self.counters.as_ref().map_or(0, Counters::in_hand);
        usize::try_from(counted).unwrap_or(usize::MAX)
    }
}

/// Why there is one worker less than there should be.
pub(super) fn never_came_up(exit: Exit, said: Option<io::Error>) -> io::Error {
    let how = match exit {
        Exit::Code(101) => "it panicked".to_owned(),
        Exit::Code(code) => format!("it ended with status {code}"),
        Exit::Signal(signal) => format!("signal {signal} ended it"),
        Exit::Unknown => "its end was not seen".to_owned(),
    };
    match said {
        Some(error) => {
            io::Error::new(error.kind(), format!("a worker process could not serve: {error}"))
        }
        None => io::Error::other(format!("a worker process could not serve: {how}")),
    }
}
