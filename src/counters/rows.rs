//! The words that are counted in: a row for all, and one for each process that serves for another, so
//! that it is known what one that was killed had in hand.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::{ACCEPTED, FAILED, FINISHED, REFUSED, WORDS};
use crate::sys::SharedWords;

/// So many processes may have a row of their own at once.
const MOST: usize = 1024;
/// Three cache lines, which no other process writes to.
const WIDTH: usize = 24;
/// In the row for all, how many other rows have ever been taken; in these, whether it is taken now: 1,
/// or the id of the process that has it.
const TAKEN: usize = WIDTH - 1;
/// So many words before that: what had been counted of the groups when it was taken.
const BEFORE: usize = TAKEN - GROUPS.len();

const _: () = assert!(WORDS <= BEFORE, "there has to be a word for each count");

/// What is counted of a process: which words make up each number.
const GROUPS: [Range<usize>; 4] =
    [ACCEPTED..ACCEPTED + 1, FINISHED..FINISHED + 1, FAILED..REFUSED, REFUSED..WORDS];

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
        for (number, group) in GROUPS.into_iter().enumerate() {
            self.at(row, BEFORE + number).store(self.group(row, group), SeqCst);
        }
        Ok(row)
    }

    /// The row is that of this process.
    pub(super) fn assign(&self, row: usize, process: u32) {
        self.at(row, TAKEN).store(process.into(), SeqCst);
    }

    fn group(&self, row: usize, group: Range<usize>) -> u64 {
        group.map(|word| self.at(row, word).load(SeqCst)).sum()
    }

    /// What each process has counted that has a row: accepted, finished, failed, refused.
    pub(super) fn processes(&self) -> impl Iterator<Item = (u32, [u64; GROUPS.len()])> {
        (1..=self.used()).filter_map(|row| {
            let process = u32::try_from(self.at(row, TAKEN).load(SeqCst)).ok()?;
            let mut counts = [0; GROUPS.len()];
            // Backwards: what has ended has been accepted before.
            for (number, group) in GROUPS.into_iter().enumerate().rev() {
                let before = self.at(row, BEFORE + number).load(SeqCst);
                counts[number] = self.group(row, group).saturating_sub(before);
            }
            (process > 1).then_some((process, counts))
        })
    }

    fn used(&self) -> usize {
        usize::try_from(self.at(0, TAKEN).load(SeqCst)).unwrap_or(MOST)
    }

    pub(super) fn give_back(&self, row: usize) {
        self.at(row, TAKEN).store(0, SeqCst);
    }

    /// The sum of a word over all rows.
    pub(super) fn sum(&self, word: usize) -> u64 {
        (0..=self.used()).map(|row| self.at(row, word).load(SeqCst)).sum()
    }
}
