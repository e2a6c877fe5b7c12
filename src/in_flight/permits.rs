//! How many requests may be in flight at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::live::Board;

/// Permits: taken before a request is, and given back once, when it has been closed.
#[derive(Debug)]
pub(crate) struct Permits {
    most: usize,
    /// Where it is said that there are to be others, or that nobody is to have one for now.
    board: Option<Arc<Board>>,
    taken: AtomicUsize,
    /// How many wait for one.
    wanted: AtomicUsize,
}

impl Permits {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, board: None, taken: AtomicUsize::new(0), wanted: AtomicUsize::new(0) }
    }

    /// The same with a board that is looked at. Whoever changes what is on it rings.
    pub(crate) fn steered(self, board: Option<Arc<Board>>) -> Self {
        Self { board, ..self }
    }

    /// As many, of which none has been taken.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.most).steered(self.board.clone())
    }

    pub(crate) fn board(&self) -> Option<&Board> {
        self.board.as_deref()
    }

    fn most(&self) -> usize {
        self.board().and_then(Board::at_once).unwrap_or(self.most)
    }

    /// Whether nobody is to take one for now.
    pub(crate) fn is_suspended(&self) -> bool {
        self.board().is_some_and(Board::is_suspended)
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&self) -> bool {
        let most = self.most();
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Takes one although none may be left: for a request that is taken to be turned away.
    pub(crate) fn force(&self) {
        self.taken.fetch_add(1, SeqCst);
    }

    /// Whether a permit is left, and may be taken.
    pub(crate) fn is_left(&self) -> bool {
        !self.is_suspended() && self.taken.load(SeqCst) < self.most()
    }

    /// Gives one back; whether somebody has to be woken for it.
    ///
    /// Both sides write first and look second, so that one of them sees the other.
    pub(crate) fn give_back(&self) -> bool {
        self.taken.fetch_sub(1, SeqCst);
        self.wanted.load(SeqCst) > 0 && self.is_left()
    }

    /// Somebody is going to wait for one, until the guard is dropped; none, where there is no need
    /// to wait.
    pub(crate) fn want(&self) -> Option<Wanted<'_>> {
        self.begin_to_want();
        let wanted = Wanted(self);
        (!self.is_left()).then_some(wanted)
    }

    pub(super) fn begin_to_want(&self) {
        self.wanted.fetch_add(1, SeqCst);
    }

    pub(super) fn end_to_want(&self) {
        self.wanted.fetch_sub(1, SeqCst);
    }

    /// Whether others wait while a permit is left: what woke this one may have been meant for them.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(SeqCst) > 0 && self.is_left()
    }
}

/// Somebody waits for a permit.
#[derive(Debug)]
pub(crate) struct Wanted<'a>(&'a Permits);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.end_to_want();
    }
}
