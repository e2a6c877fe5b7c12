//! The words that are counted in: a row for all, and one for each process that serves for another, so
//! that it is known what one that was killed had in hand.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::WORDS;
use crate::sys::SharedWords;

/// So many processes may have a row of their own at once.
const MOST: usize = 1024;
/// Three cache lines, which no other process writes to.
const WIDTH: usize = 24;
/// In the row for all, how many other rows have ever been taken; in these, whether it is taken now.
const TAKEN: usize = WIDTH - 1;

const _: () = assert!(WORDS <= TAKEN, "there has to be a word for each count");

/// No row is ever cleared: each is the sum of all that have had it, so that no sum over them goes back
/// at any moment. The system has no memory for rows that nobody has used yet.
pub(super) struct Rows(SharedWords<{ (1 + MOST) * WIDTH }>);

impl Rows {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(SharedWords::new()?))
    }

    #[inline]
    pub(super) fn at(&self, row: usize, word: usize) -> &AtomicU64 {
        &self.0[row * WIDTH + word]
    }

    /// Takes a row that nobody has.
    ///
    /// # Errors
    ///
    /// Where all are taken.
    pub(super) fn take(&self) -> io::Result<usize> {
        let free =
            |row: &usize| self.at(*row, TAKEN).compare_exchange(0, 1, SeqCst, SeqCst).is_ok();
        let row = (1..=MOST).find(free).ok_or_else(|| {
            let text = format!("{MOST} processes count in these counters: there can't be more");
            io::Error::new(io::ErrorKind::QuotaExceeded, text)
        })?;
        // Before anything is counted there.
        let more = |used: u64| (used < row as u64).then_some(row as u64);
        let _ = self.at(0, TAKEN).fetch_update(SeqCst, SeqCst, more);
        Ok(row)
    }

    pub(super) fn give_back(&self, row: usize) {
        self.at(row, TAKEN).store(0, SeqCst);
    }

    /// The sum of a word over all rows.
    pub(super) fn sum(&self, word: usize) -> u64 {
        let used = usize::try_from(self.at(0, TAKEN).load(SeqCst)).unwrap_or(MOST);
        (0..=used).map(|row| self.at(row, word).load(SeqCst)).sum()
    }
}
