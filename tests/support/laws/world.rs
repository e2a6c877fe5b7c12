//! What the server, its handler and its clients of one test case share.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::unistd::close;
use socketserver::Counters;
use tempfile::TempDir;

use super::ledger::Ledger;
use super::script::Script;

/// Standard mutexes, as children use them too.
pub struct World {
    pub ledger: Ledger,
    /// Where the server's socket file is.
    pub place: TempDir,
    /// Where the clients' are.
    pub homes: TempDir,
    /// How many requests have been taken.
    pub taken: AtomicUsize,
    /// Whether a serve loop went on although it should have stopped.
    pub overdue: AtomicBool,
    pub counters: Counters,
    /// What the handler has been told of.
    pub events: Ledger,
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
            overdue: AtomicBool::new(false),
            counters: Counters::new()?,
            events: Ledger::new()?,
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
