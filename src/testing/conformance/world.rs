//! What the server, its handler and its clients of one schedule share.

use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::script::Script;
use super::watch::Watch;
use crate::Counters;

/// Standard mutexes, as forked children use them too.
pub(super) struct World {
    pub(super) ledger: Ledger,
    pub(super) counters: Counters,
    pub(super) watch: Arc<Watch>,
    /// How long is waited for what has to come; far longer than it takes.
    pub(super) patience: Duration,
    /// Whether the hooks that belong to no request, and `handle_error`, panic after their work.
    pub(super) hooks_panic: bool,
    /// Whether the serve loop runs where nobody can watch it, and watches itself.
    pub(super) forks: bool,
    /// When the schedule began.
    pub(super) since: Instant,
    /// Whether a serve loop went on although it should have stopped.
    pub(super) overdue: AtomicBool,
    /// How many looks at the transport have found no request.
    pub(super) looks: AtomicUsize,
    /// How many of these were errors of the transport.
    pub(super) errors: AtomicUsize,
    /// Held by who takes a request: which request it is must be known of one before there is another.
    pub(super) entrance: Mutex<()>,
    guests: Mutex<Vec<Guest>>,
}

/// A client that is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    /// Which one it is, from 1.
    pub(super) client: usize,
    pub(super) script: Script,
}

impl Guest {
    /// Whoever comes and was not expected.
    pub(super) fn stranger() -> Self {
        Self { client: 0, script: Script::Fine }
    }
}

impl World {
    pub(super) fn new(
        watch: &Arc<Watch>,
        patience: Duration,
        hooks_panic: bool,
        forks: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            watch: Arc::clone(watch),
            ledger: Ledger::new()?,
            counters: Counters::new()?,
            patience,
            hooks_panic,
            forks,
            since: Instant::now(),
            overdue: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
            errors: AtomicUsize::new(0),
            entrance: Mutex::default(),
            guests: Mutex::default(),
        })
    }

    pub(super) fn invite(&self, guest: Guest) {
        locked(&self.guests).push(guest);
    }

    /// Who made the request that was the `number`-th to be taken.
    pub(super) fn guest(&self, number: usize) -> Option<Guest> {
        locked(&self.guests).get(number.checked_sub(1)?).copied()
    }
}

/// A number that no other process of now has, for the ledger.
pub(super) fn this_process() -> usize {
    usize::try_from(process::id()).unwrap_or(usize::MAX)
}

pub(super) fn locked<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
