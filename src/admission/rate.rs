//! How fast requests may be taken.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// A bucket of tokens that is filled evenly (the generic cell rate algorithm): what is kept is when
/// it will be full again.
pub(super) struct Rate {
    most: u32,
    per: Duration,
    /// The lock is std's: it is taken in the serve loop alone, and for a moment.
    full_at: Mutex<Option<Instant>>,
}

/// More than a century: nobody waits longer, and times that far away can still be told.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

impl Rate {
    pub(super) fn new(most: u32, per: Duration) -> Self {
        Self { most, per: per.min(LONGEST), full_at: Mutex::new(None) }
    }

    /// Takes a token, or says when there will be one. Where there are to be others than `most`, there
    /// are so many in the same time; what is in the bucket is as large a part of it as before.
    pub(super) fn take(&self, most: Option<u32>) -> Result<(), Instant> {
        self.take_at(Instant::now(), most)
    }

    /// Gives back the last token: there was no request for it.
    pub(super) fn give_back(&self, most: Option<u32>) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = full_at.and_then(|full| full.checked_sub(self.share(most)));
    }

    /// The time in which one token comes.
    fn share(&self, most: Option<u32>) -> Duration {
        self.per / most.unwrap_or(self.most).max(1)
    }

    fn take_at(&self, now: Instant, most: Option<u32>) -> Result<(), Instant> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = full_at.map_or(now, |full| full.max(now));
        let after = before + self.share(most);
        // The time in which an empty bucket is filled is `per`.
        match after.checked_duration_since(now + self.per) {
            None | Some(Duration::ZERO) => {
                *full_at = Some(after);
                Ok(())
            }
            Some(short_of) => Err(now + short_of),
        }
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", self.most, self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_bucket_holds_and_then_one_for_each_share_of_the_time() {
        let rate = Rate::new(4, Duration::from_secs(1));
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        for _ in 0..4 {
            assert_eq!(rate.take_at(begun, None), Ok(()));
        }
        assert_eq!(rate.take_at(begun, None), Err(at(250)));
        assert_eq!(rate.take_at(at(249), None), Err(at(250)));
        assert_eq!(rate.take_at(at(250), None), Ok(()));
        assert_eq!(rate.take_at(at(251), None), Err(at(500)));
        // A long silence fills it, and no more than that.
        for _ in 0..4 {
            assert_eq!(rate.take_at(at(9000), None), Ok(()));
        }
        assert_eq!(rate.take_at(at(9000), None), Err(at(9250)));
    }

    #[test]
    fn a_token_that_is_given_back_can_be_taken_again() {
        let rate = Rate::new(1, Duration::from_secs(1));
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(rate.take_at(begun, None), Ok(()));
            rate.give_back(None);
        }
        assert_eq!(rate.take_at(begun, None), Ok(()));
        assert_eq!(rate.take_at(begun, None), Err(begun + Duration::from_secs(1)));
    }

    #[test]
    fn a_time_that_is_longer_than_time_goes_is_one_that_nobody_waits_for() {
        let rate = Rate::new(1, Duration::MAX);
        assert_eq!(rate.take(None), Ok(()));
        assert!(rate.take(None).is_err());
    }

    #[test]
    fn another_rate_fills_the_same_bucket_in_the_same_time() {
        let rate = Rate::new(1, Duration::from_secs(1));
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        assert_eq!(rate.take_at(begun, None), Ok(()));
        // It is empty, however much it holds from now on.
        assert_eq!(rate.take_at(begun, Some(10)), Err(at(100)));
        for _ in 0..5 {
            assert_eq!(rate.take_at(at(500), Some(10)), Ok(()));
        }
        assert_eq!(rate.take_at(at(500), Some(10)), Err(at(600)));
        assert_eq!(rate.take_at(at(500), None), Err(at(1500)));
    }
}
