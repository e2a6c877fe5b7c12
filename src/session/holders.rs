//! Who holds the transport while others than the thread that serves pull from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};

/// Above every count: the session is over, and nobody begins to hold it any more.
const OVER: usize = 1 << (usize::BITS - 1);

/// How many hold the transport. The thread that serves does not return before nobody does: whoever
/// looks for a request might take one, and the transport could not be closed.
pub(super) struct Holders {
    count: AtomicUsize,
    serving: Thread,
}

impl Holders {
    /// Nobody yet, of a session of this thread.
    pub(super) fn new() -> Self {
        Self { count: AtomicUsize::new(0), serving: thread::current() }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.count.fetch_or(OVER, SeqCst);
    }

    /// Waits until all have left, when nobody is let in any more.
    pub(super) fn wait(&self) {
        while self.count.load(SeqCst) != OVER {
            thread::park();
        }
    }
}

/// One thread's place among them; it leaves when this is dropped.
pub(super) struct Holder {
    holders: Arc<Holders>,
    holds: bool,
}

impl Holder {
    pub(super) fn new(holders: &Arc<Holders>) -> Self {
        Self { holders: Arc::clone(holders), holds: false }
    }

    /// Whether it may hold the transport from now on.
    pub(super) fn enter(&mut self) -> bool {
        self.holds = true;
        if self.holders.count.fetch_add(1, SeqCst) & OVER != 0 {
            self.leave();
        }
        self.holds
    }

    /// Holds it no longer, which is to be so by then.
    pub(super) fn leave(&mut self) {
        if self.holds {
            self.holds = false;
            if self.holders.count.fetch_sub(1, SeqCst) == OVER + 1 {
                self.holders.serving.unpark();
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_let_in_when_it_is_over_and_all_are_waited_for() {
        let holders = Arc::new(Holders::new());
        let [mut first, mut second] = [(); 2].map(|()| Holder::new(&holders));
        assert!(first.enter() && second.enter());
        first.leave();
        assert!(first.enter(), "it may come back");
        holders.close();
        first.leave();
        assert!(!first.enter());
        assert_eq!(holders.count.load(SeqCst), OVER + 1, "the second holds it");
        let elsewhere = thread::spawn(move || drop(second));
        holders.wait();
        assert!(elsewhere.join().is_ok());
    }
}
