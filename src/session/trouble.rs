//! When requests can't be got: how often, and how long to pause.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The first pause after an error that asks for one, and the longest.
pub(super) const BACK_OFF: (Duration, Duration) =
    (Duration::from_millis(5), Duration::from_secs(1));

/// How long nothing more is said of it; it may come and go hundreds of times a second.
const SILENCE: Duration = Duration::from_secs(10);

/// The errors of getting requests since the last success, of all that pull together.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    in_a_row: AtomicU32,
    pauses: AtomicU32,
    reported: Mutex<Option<Instant>>,
}

impl Trouble {
    #[inline]
    pub(super) fn clear(&self) {
        self.in_a_row.store(0, Relaxed);
        self.pauses.store(0, Relaxed);
    }

    pub(super) fn count(&self) -> u32 {
        self.in_a_row.fetch_add(1, Relaxed)
    }

    /// Whether it is to be reported that requests can't be got.
    pub(super) fn is_news(&self) -> bool {
        self.is_news_at(Instant::now())
    }

    fn is_news_at(&self, now: Instant) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let news = reported.is_none_or(|at| now.duration_since(at) >= SILENCE);
        if news {
            *reported = Some(now);
        }
        news
    }

    /// The next of the lengthening pauses.
    pub(super) fn next_pause(&self) -> Duration {
        let doublings = self.pauses.fetch_add(1, Relaxed).min(16);
        BACK_OFF.1.min(BACK_OFF.0 * 2_u32.pow(doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_reported_once_in_ten_seconds() {
        let (trouble, begun) = (Trouble::default(), Instant::now());
        let at = |millis| trouble.is_news_at(begun + Duration::from_millis(millis));
        assert!(at(0));
        trouble.clear();
        assert!(!at(1) && !at(9_999));
        assert!(at(10_000), "silence is counted from the last report");
        assert!(!at(19_999));
        assert!(at(20_000));
    }

    #[test]
    fn pauses_double_up_to_a_second_and_begin_anew_after_a_success() {
        let trouble = Trouble::default();
        let millis = |_| trouble.next_pause().as_millis();
        let pauses: Vec<_> = (0..10).map(millis).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert!((0..40).map(millis).all(|pause| pause == 1_000));
        trouble.clear();
        assert_eq!(trouble.next_pause(), BACK_OFF.0);
    }
}
