//! What a handle has changed of a server, in memory that forked processes share.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::sys::SharedWords;

/// So many tables of sources can be changed: more than anybody has.
pub(crate) const TABLES: usize = 8;

const SUSPENDED: usize = 0;
/// How many requests have been given a number.
const NUMBERED: usize = 1;
/// How often something has been changed that somebody may wait for.
const CHANGES: usize = 2;
// Zero in these: as the server's `Limits` say.
const AT_ONCE: usize = 3;
const RATE: usize = 4;
const PER_SOURCE: usize = 5;

/// Whoever serves looks here before a request is taken.
#[derive(Debug)]
pub(crate) struct Board(SharedWords<{ PER_SOURCE + TABLES }>);

impl Board {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(SharedWords::new()?))
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        &self.0[word]
    }

    fn limit(&self, word: usize) -> Option<usize> {
        let limit = self.word(word).load(SeqCst);
        (limit > 0).then(|| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    fn set_limit(&self, word: usize, limit: usize) {
        self.word(word).store(limit as u64, SeqCst);
    }

    /// Whether no request is to be taken.
    pub(crate) fn is_suspended(&self) -> bool {
        self.word(SUSPENDED).load(SeqCst) != 0
    }

    /// Whoever waits is to be woken afterwards.
    pub(crate) fn suspend(&self, suspend: bool) {
        self.word(SUSPENDED).store(suspend.into(), SeqCst);
    }

    pub(crate) fn at_once(&self) -> Option<usize> {
        self.limit(AT_ONCE)
    }

    /// Whoever waits is to be woken afterwards.
    pub(crate) fn set_at_once(&self, most: usize) {
        self.set_limit(AT_ONCE, most);
    }

    pub(crate) fn rate(&self) -> Option<u32> {
        self.limit(RATE).map(|most| u32::try_from(most).unwrap_or(u32::MAX))
    }

    pub(crate) fn set_rate(&self, most: u32) {
        self.set_limit(RATE, usize::try_from(most).unwrap_or(usize::MAX));
    }

    /// That of a table of sources, by its number.
    pub(crate) fn per_source(&self, table: usize) -> Option<usize> {
        if table < TABLES { self.limit(PER_SOURCE + table) } else { None }
    }

    /// The table is one of the first [`TABLES`].
    pub(crate) fn set_per_source(&self, table: usize, most: usize) {
        self.set_limit(PER_SOURCE + table, most);
    }

    /// A number for a request, of all that there are in any process.
    pub(crate) fn number(&self) -> u64 {
        self.word(NUMBERED).fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn note_change(&self) {
        self.word(CHANGES).fetch_add(1, SeqCst);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.word(CHANGES).load(SeqCst)
    }
}
