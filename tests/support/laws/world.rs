//! What the server, its handler and its clients of one test case share.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nix::unistd::close;
use socketserver::{Counters, Workers};
use tempfile::TempDir;

use super::super::processes::lives;
use super::ledger::{Entry, Ledger};
use super::script::Script;

const LEFT: &str = "left";

/// Standard mutexes, as children use them too.
pub struct World {
    pub ledger: Ledger,
    /// Where the server's socket file is.
    pub place: TempDir,
    /// Where the clients' are.
    pub homes: TempDir,
    /// How many requests have been taken.
    pub taken: AtomicUsize,
    /// How many of them have been begun, and been given to somebody who finishes them.
    pub handed_over: AtomicUsize,
    /// Whether a serve loop went on although it should have stopped.
    pub overdue: AtomicBool,
    pub counters: Counters,
    /// What the handler has been told of.
    pub events: Ledger,
    /// The worker processes that go on taking requests until they hear of the end of the session.
    pub workers: OnceLock<Workers>,
    book: Mutex<HashMap<String, Guest>>,
    ends: Mutex<BTreeSet<RawFd>>,
}

/// Who is expected from an address.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    pub client: usize,
    pub script: Script,
}

impl World {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ledger: Ledger::new()?,
            place: tempfile::tempdir()?,
            homes: tempfile::tempdir()?,
            taken: AtomicUsize::new(0),
            handed_over: AtomicUsize::new(0),
            overdue: AtomicBool::new(false),
            counters: Counters::new()?,
            events: Ledger::new()?,
            workers: OnceLock::new(),
            book: Mutex::default(),
            ends: Mutex::default(),
        })
    }

    /// Whether `address` was free to be this guest's: a system may give a port twice.
    pub fn expect(&self, address: String, guest: Guest) -> bool {
        let mut book = locked(&self.book);
        let free = !book.contains_key(&address);
        if free {
            book.insert(address, guest);
        }
        free
    }

    pub fn guest(&self, address: &str) -> Option<Guest> {
        locked(&self.book).get(address).copied()
    }

    /// Waits until no worker takes requests any more: one that does although the session is over does
    /// not know the guests that have come since.
    pub fn wait_for_workers(&self) {
        let ids = self.workers.get().map_or_else(Vec::new, Workers::process_ids);
        let gone = self.ledger.wait_until(|entries| {
            let has_left = |id: u32| {
                let own = |entry: &Entry| entry.event == LEFT && entry.serial == id as usize;
                entries.iter().any(own) || !lives(id)
            };
            ids.iter().all(|id| has_left(*id))
        });
        assert!(gone, "some of {ids:?} take requests although the session is over");
    }

    /// In a worker: it takes no more.
    pub fn leave(&self) {
        if self.workers.get().is_some() {
            self.ledger.record(process::id() as usize, 0, LEFT);
        }
    }

    /// Closes them all, in a child, which never drops the clients that they belong to.
    pub fn close_ends(&self) {
        mem::take(&mut *self.ends()).into_iter().for_each(|end| close(end).unwrap());
    }

    /// The descriptors of the clients, of which no child may keep a copy: the end of a connection
    /// comes when the last of them is closed.
    pub fn ends(&self) -> MutexGuard<'_, BTreeSet<RawFd>> {
        locked(&self.ends)
    }
}

pub fn locked<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
