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
    pub(super) fn clear(&self) {
        self.in_a_row.store(0, Relaxed);
        self.pauses.store(0, Relaxed);
    }

    pub(super) fn count(&self) -> u32 {
        self.in_a_row.fetch_add(1, Relaxed)
    }

    /// Whether it is to be reported that requests can't be got.
    pub(super) fn is_news(&self) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let news = reported.is_none_or(|at| at.elapsed() >= SILENCE);
        if news {
            *reported = Some(Instant::now());
        }
        news
    }

    /// The next of the lengthening pauses.
    pub(super) fn next_pause(&self) -> Duration {
        let doublings = self.pauses.fetch_add(1, Relaxed).min(16);
        BACK_OFF.1.min(BACK_OFF.0 * 2_u32.pow(doublings))
    }
}
