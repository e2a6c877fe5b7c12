//! How many threads of a crew run a request, and how many wait for one.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// One that waits, or is about to; so many are in the low half of the word.
const WAITING: u64 = 1;
/// One that runs a request.
const BUSY: u64 = 1 << 32;
/// The session is over, and nobody comes back or is started any more.
const OVER: u64 = 1 << 63;

/// Both numbers are in one word: what a thread may do next depends on the two together.
pub(super) struct Count(AtomicU64);

impl Count {
    /// One waits, or is about to.
    pub(super) fn of_one() -> Self {
        Self(AtomicU64::new(WAITING))
    }

    /// Counts one more, which is to be started and to wait, where there are fewer than `least`.
    pub(super) fn expects(&self, least: u64) -> bool {
        self.update(|word| (!is_over(word) && all(word) < least).then_some(word + WAITING))
    }

    /// The same where nobody waits, and fewer than `most` run a request. Whoever has come back in
    /// between is somebody.
    pub(super) fn expects_another(&self, most: u64) -> bool {
        let alone = |word| !is_over(word) && waiting(word) == 0 && all(word) < most;
        self.update(|word| alone(word).then_some(word + WAITING))
    }

    /// One has taken a request; returns whether it leaves nobody to wait.
    pub(super) fn takes(&self) -> bool {
        waiting(self.0.fetch_add(BUSY - WAITING, SeqCst)) == 1
    }

    /// One has taken a request and not run it, and waits in the place of another that was expected.
    pub(super) fn stands_in(&self) {
        self.0.fetch_sub(BUSY, SeqCst);
    }

    /// One that has run a request waits again, unless `kept` do so already, there are more than
    /// `most`, or nothing is left to wait for. Where it does not, it is counted no more.
    pub(super) fn comes_back(&self, kept: u64, most: u64) -> bool {
        let waits = |word| !is_over(word) && waiting(word) < kept && all(word) <= most;
        let next = |word| Some(word - BUSY + if waits(word) { WAITING } else { 0 });
        self.0.fetch_update(SeqCst, SeqCst, next).is_ok_and(waits)
    }

    /// One waits no longer, and is counted no more.
    pub(super) fn leaves(&self) {
        self.0.fetch_sub(WAITING, SeqCst);
    }

    /// Whether one of those that wait could be spared: another waits, and there are more than
    /// `least`.
    pub(super) fn has_spare(&self, least: u64) -> bool {
        is_spare(self.0.load(SeqCst), least)
    }

    /// The same, of one that is counted no more where it can be spared.
    pub(super) fn retires(&self, least: u64) -> bool {
        self.update(|word| is_spare(word, least).then(|| word - WAITING))
    }

    /// Whether somebody waits, and there are more than `most`.
    pub(super) fn exceeds(&self, most: u64) -> bool {
        is_above(self.0.load(SeqCst), most)
    }

    /// The same, of one that waits, and is counted no more where it is so.
    pub(super) fn steps_down(&self, most: u64) -> bool {
        self.update(|word| is_above(word, most).then(|| word - WAITING))
    }

    /// Nobody begins to wait any more.
    pub(super) fn end(&self) {
        self.0.fetch_or(OVER, SeqCst);
    }

    fn update(&self, next: impl Fn(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, next).is_ok()
    }
}

fn waiting(word: u64) -> u64 {
    word % BUSY
}

fn busy(word: u64) -> u64 {
    word % OVER / BUSY
}

fn all(word: u64) -> u64 {
    busy(word) + waiting(word)
}

fn is_over(word: u64) -> bool {
    word & OVER != 0
}

fn is_above(word: u64, most: u64) -> bool {
    !is_over(word) && waiting(word) > 0 && all(word) > most
}

fn is_spare(word: u64, least: u64) -> bool {
    !is_over(word) && waiting(word) > 1 && all(word) > least
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 3;
    const LEAST: u64 = 2;

    #[test]
    fn one_is_expected_while_nobody_waits_and_never_more_than_may_be() {
        let count = Count::of_one();
        for _ in 1..MOST {
            assert!(count.takes());
            assert!(count.expects_another(MOST));
            assert!(!count.expects_another(MOST), "one is");
        }
        assert!(count.takes());
        assert!(!count.expects_another(MOST), "they all run a request");
        assert!(count.comes_back(MOST, MOST));
        assert!(!count.expects_another(MOST), "one waits");
        assert!(count.takes());
    }

    #[test]
    fn the_least_are_expected_at_once() {
        let count = Count::of_one();
        assert!(count.expects(LEAST));
        assert!(!count.expects(LEAST));
        assert!(!count.takes());
        assert!(!count.expects(LEAST), "one that runs a request is one of them");
    }

    #[test]
    fn those_above_the_least_can_be_spared_but_not_the_last_that_waits() {
        let count = Count::of_one();
        assert!(count.expects(MOST) && count.expects(MOST));
        assert!(!count.takes());
        assert!(count.has_spare(LEAST));
        assert!(count.retires(LEAST), "there were three");
        assert!(!count.has_spare(LEAST) && !count.retires(LEAST));
        assert!(!count.has_spare(0) && !count.retires(0), "nobody else waits");
        assert!(count.comes_back(MOST, MOST));
        assert!(!count.retires(LEAST) && count.retires(0));
    }

    #[test]
    fn one_more_than_are_kept_is_counted_no_more() {
        let count = Count::of_one();
        assert!(count.takes());
        assert!(count.expects_another(MOST));
        assert!(!count.comes_back(1, 9));
        assert!(!count.expects(1), "one is left");
        assert!(count.expects(2));
    }

    #[test]
    fn who_waits_in_the_place_of_another_is_one() {
        let count = Count::of_one();
        assert!(count.takes());
        assert!(count.expects_another(MOST));
        count.stands_in();
        assert!(!count.expects(1) && count.expects(2));
    }

    #[test]
    fn when_it_is_over_nobody_begins_to_wait() {
        let count = Count::of_one();
        assert!(count.expects(3) && count.expects(3));
        assert!(!count.takes());
        count.end();
        assert!(!count.comes_back(MOST, MOST) && !count.expects(9) && !count.retires(0));
        assert!(!count.takes());
        count.leaves();
        assert!(!count.expects_another(9), "nobody waits, and nobody has to");
    }

    #[test]
    fn where_there_are_to_be_fewer_those_that_wait_step_down_and_others_do_not_come_back() {
        let count = Count::of_one();
        assert!(count.expects(4) && count.expects(4) && count.expects(4));
        assert!(!count.takes() && !count.takes() && !count.takes());
        assert!(!count.exceeds(4) && !count.steps_down(4));
        assert!(count.exceeds(2) && count.steps_down(2), "the one that waits");
        assert!(!count.exceeds(2), "nobody waits");
        assert!(!count.comes_back(MOST, 2), "three run a request");
        assert!(count.comes_back(MOST, 2));
        assert!(!count.steps_down(2));
    }
}
