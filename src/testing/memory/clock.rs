//! A clock that stands still until it is moved.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::pipe::Pipe;

/// The time of connections in memory: it stands still until the test moves it, and whoever waits for
/// a time is woken when it has come. Clones are the same clock.
///
/// It governs what a connection is held to: its [`timeout`](crate::Options::timeout), its
/// [`Deadlines`](crate::Deadlines), the wait of [`Hangup::Drain`](crate::Hangup::Drain), and
/// [`Stall::For`](super::Stall::For). What belongs to the loop or to the server goes by the system's
/// time: the pauses after errors (5 ms after the first), the deadline of
/// [`handle_request_timeout`](crate::Server::handle_request_timeout), rates and penalties of
/// [`Limits`](crate::Limits), the stages of a [`Drain`](crate::Drain). So do the timeouts of the
/// client's end, which are the test's patience.
///
/// A deadline counts from the moment at which the handler begins to wait, so a test lets that come
/// first: [`MemoryStream::until_waited_for`](super::MemoryStream::until_waited_for).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use socketserver::testing::Clock;
///
/// let clock = Clock::new();
/// let begun = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - begun, Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    begun: Instant,
    /// How many nanoseconds it has been moved by: more than five hundred years.
    moved: AtomicU64,
    pipes: Mutex<Vec<Weak<Pipe>>>,
}

impl Clock {
    /// A clock that shows the system's time of this moment, and stands still.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            pipes: Mutex::default(),
        }))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.begun + self.moved()
    }

    /// Moves it on by so much, and wakes whoever waits for a time that has come.
    pub fn advance(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let more = |moved: u64| Some(moved.saturating_add(time));
        let _ = self.0.moved.fetch_update(SeqCst, SeqCst, more);
        let pipes = self.0.pipes.lock().clone();
        pipes.iter().filter_map(Weak::upgrade).for_each(|pipe| pipe.wake());
    }

    /// Has it wake those who wait in this connection.
    pub(super) fn wakes(&self, pipe: &Arc<Pipe>) {
        let mut pipes = self.0.pipes.lock();
        if pipes.len() == pipes.capacity() {
            pipes.retain(|pipe| pipe.strong_count() > 0);
        }
        pipes.push(Arc::downgrade(pipe));
    }

    fn moved(&self) -> Duration {
        Duration::from_nanos(self.0.moved.load(SeqCst))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock(+{:?})", self.moved())
    }
}
