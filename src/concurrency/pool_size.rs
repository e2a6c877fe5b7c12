//! The handle by which a pool is looked at, and resized.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use crate::sys::Bell;

/// How many threads a [`ThreadPool`](crate::ThreadPool) has, to be looked at and changed while it
/// serves; made by [`ThreadPool::size`](crate::ThreadPool::size), before the strategy goes into its
/// server.
///
/// What it is set to applies at once: threads that are lacking are started, and those that are too
/// many end, each when it has handled what it handles. It holds for all sessions from then on.
///
/// Under [`PreForking`](crate::PreForking), each worker has a copy of its own: what the supervisor
/// sets is had by the workers that it forks afterwards, by
/// [`Workers::restart`](crate::Workers::restart).
///
/// # Examples
///
/// ```
/// use socketserver::{Server, Tcp, ThreadPool};
///
/// let pool = ThreadPool::new(4);
/// let size = pool.size();
/// let server = Server::new_fn(Tcp::options().bind("127.0.0.1:0")?, pool, |_conn| Ok(()))?;
/// let running = server.spawn()?;
/// size.set(2, 16)?;
/// assert_eq!((size.min(), size.max()), (2, 16));
/// running.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("setCorePoolSize", "setMaximumPoolSize"))]
pub struct PoolSize(Arc<Shared>);

struct Shared {
    /// The least in the high half of the word, the most in the low half.
    bounds: AtomicU64,
    /// Where the one that serves waits.
    bell: Mutex<Option<Arc<Bell>>>,
}

impl PoolSize {
    pub(super) fn new(min: usize, max: usize) -> Self {
        let shared = Shared { bounds: AtomicU64::new(0), bell: Mutex::default() };
        shared.bounds.store(word(min, max), SeqCst);
        Self(Arc::new(shared))
    }

    /// Has the pool have so many threads from now on, from the beginning of serving to its end, and so
    /// many at most.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a least of 0, or more than the most.
    pub fn set(&self, min: usize, max: usize) -> io::Result<()> {
        check(min, max)?;
        self.put(min, max);
        Ok(())
    }

    /// The same without a look, for what is looked at later.
    pub(super) fn put(&self, min: usize, max: usize) {
        self.0.bounds.store(word(min, max), SeqCst);
        if let Some(bell) = &*self.0.bell.lock() {
            bell.ring();
        }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        check(self.min(), self.max())
    }

    /// The least threads that there are.
    #[must_use]
    pub fn min(&self) -> usize {
        half(self.0.bounds.load(SeqCst) >> 32)
    }

    /// The most threads that there may be.
    #[must_use]
    pub fn max(&self) -> usize {
        half(self.0.bounds.load(SeqCst) & u64::from(u32::MAX))
    }

    /// The two, at one moment.
    pub(super) fn bounds(&self) -> (u64, u64) {
        let word = self.0.bounds.load(SeqCst);
        (word >> 32, word & u64::from(u32::MAX))
    }

    /// Has each change ring there.
    pub(super) fn attend(&self, bell: &Arc<Bell>) {
        *self.0.bell.lock() = Some(Arc::clone(bell));
    }
}

/// Nobody has more threads than fit into half a word.
fn word(min: usize, max: usize) -> u64 {
    let half = |count: usize| u64::from(u32::try_from(count).unwrap_or(u32::MAX));
    half(min) << 32 | half(max)
}

fn half(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn check(min: usize, max: usize) -> io::Result<()> {
    let wrong = if max == 0 {
        "a ThreadPool of 0 threads would never handle a request; it has to have at least 1"
    } else if min == 0 {
        "min_threads of 0 would leave nobody to wait for a request; it has to be at least 1"
    } else if min > max {
        "min_threads is more than the most threads that the ThreadPool may have; it has to be at \
         most as many"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
}

impl fmt::Debug for PoolSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolSize({} to {})", self.min(), self.max())
    }
}
