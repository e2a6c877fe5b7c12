//! What a supervisor and one of its workers tell each other: words in memory that both have, so that a
//! worker may be killed at any moment and leaves nothing locked.

use std::io;
use std::sync::atomic::Ordering::SeqCst;

use crate::control::Control;
use crate::drain::Report;
use crate::sys::SharedWords;

/// The server has been asked to stop, and announces it.
pub(super) const ASK: u64 = 1;
/// The worker takes no further request, and ends.
pub(super) const LEAVE: u64 = 2;
/// What is in flight is waited for no longer.
pub(super) const HURRY: u64 = 4;

/// There may be requests that nobody has been woken for.
pub(super) const LOOK: u64 = 8;

const ORDERS: usize = 0;
const READY: usize = 1;
const TAKEN: usize = 2;
const ERRNO: usize = 3;
const FINISHED: usize = 4;
const CUT: usize = 5;
const ABANDONED: usize = 6;
const REFUSED: usize = 7;

#[derive(Debug)]
pub(super) struct Sheet(SharedWords<8>);

impl Sheet {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(SharedWords::new()?))
    }

    fn get(&self, word: usize) -> u64 {
        self.0[word].load(SeqCst)
    }

    fn set(&self, word: usize, value: u64) {
        self.0[word].store(value, SeqCst);
    }

    /// For the worker, which is to be sent a SIGTERM then.
    pub(super) fn order(&self, orders: u64) {
        self.0[ORDERS].fetch_or(orders, SeqCst);
    }

    /// Whether the worker was told anything.
    pub(super) fn is_told(&self) -> bool {
        self.get(ORDERS) != 0
    }

    /// Whether the worker was told to end, by its supervisor or by a SIGTERM of somebody else.
    pub(super) fn leaves(&self) -> bool {
        self.get(ORDERS) & LEAVE != 0
    }

    /// In the worker, at a SIGTERM: does as the orders say. Without any, it is somebody else's, and
    /// the worker is to end.
    pub(super) fn heed(&self, control: &Control, number: u64) {
        let given = self.0[ORDERS].fetch_and(!LOOK, SeqCst);
        let orders = given & !LOOK;
        if given & LOOK != 0 {
            control.ring();
            if orders == 0 {
                return;
            }
        }
        if orders & HURRY != 0 {
            control.hurry();
        }
        if orders == ASK {
            control.foretell(number);
        } else {
            self.order(LEAVE);
            control.conclude(number);
        }
    }

    /// The worker serves.
    pub(super) fn report_ready(&self) {
        self.set(READY, 1);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.get(READY) != 0
    }

    /// The worker has taken one more request; how many that makes.
    pub(super) fn take(&self) -> u64 {
        self.0[TAKEN].fetch_add(1, SeqCst) + 1
    }

    pub(super) fn taken(&self) -> u64 {
        self.get(TAKEN)
    }

    /// What the worker ends with.
    pub(super) fn report_error(&self, error: &io::Error) {
        self.set(ERRNO, error.raw_os_error().and_then(|errno| errno.try_into().ok()).unwrap_or(0));
    }

    pub(super) fn error(&self) -> Option<io::Error> {
        let errno = i32::try_from(self.get(ERRNO)).ok().filter(|errno| *errno != 0);
        errno.map(io::Error::from_raw_os_error)
    }

    /// What became of the requests that were in flight when the worker was told to end.
    pub(super) fn report(&self, report: &Report) {
        let Report { finished, cut, abandoned, refused, .. } = *report;
        let words = [(FINISHED, finished), (CUT, cut), (ABANDONED, abandoned), (REFUSED, refused)];
        for (word, count) in words {
            self.set(word, count.try_into().unwrap_or(u64::MAX));
        }
    }

    pub(super) fn reported(&self) -> Report {
        let count = |word| usize::try_from(self.get(word)).unwrap_or(usize::MAX);
        Report {
            finished: count(FINISHED),
            cut: count(CUT),
            abandoned: count(ABANDONED),
            refused: count(REFUSED),
            ..Report::default()
        }
    }
}
