//! The handle to look at the worker processes with, and to steer them.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use nix::unistd::Pid;

use crate::sys::{Bell, SharedWords};

/// How many worker processes there may be.
pub(super) const MOST: usize = 512;
/// Beside those that serve, there are those that are about to end.
const PLACES: usize = 2 * MOST;

const WANTED: usize = 0;
const GENERATION: usize = 1;
const SERVING: usize = 2;
const STARTED: usize = 3;
const DIED: usize = 4;
const SHARDS: usize = 5;
const IDS: usize = 8;

/// The worker processes of a [`PreForking`](crate::PreForking), to be looked at and steered while
/// they serve; made by [`PreForking::workers`](crate::PreForking::workers), before the strategy goes
/// into its server.
///
/// It lies in memory that the processes share, so it may be used in a handler in one of the workers,
/// in the process that supervises them, and in others that either has forked. Its methods ask, and do
/// not wait until it has been done. [`restart`](Self::restart) is async-signal-safe, so a handler of
/// SIGHUP may call it, and so are those that return a number.
///
/// # Examples
///
/// ```
/// use socketserver::{PreForking, Server, Sync, Tcp};
///
/// let strategy = PreForking::new(4, Sync)?;
/// let workers = strategy.workers();
/// let tcp = Tcp::options().bind("127.0.0.1:0")?;
/// let server = Server::new_fn(tcp, strategy, |_conn| Ok(()))?;
///
/// workers.set_processes(8)?;
/// assert_eq!(workers.processes(), 8);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Workers(Arc<Board>);

struct Board {
    words: SharedWords<{ IDS + PLACES }>,
    /// Wakes the supervisor.
    bell: Bell,
}

impl Workers {
    pub(super) fn new(processes: usize) -> io::Result<Self> {
        let workers = Self(Arc::new(Board { words: SharedWords::new()?, bell: Bell::new()? }));
        workers.set_processes(processes)?;
        Ok(workers)
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        &self.0.words[word]
    }

    fn count(&self, word: usize) -> usize {
        usize::try_from(self.word(word).load(SeqCst)).unwrap_or(usize::MAX)
    }

    /// How many processes there are to be.
    #[must_use]
    pub fn processes(&self) -> usize {
        // Where the two were set at the same time, too.
        self.count(WANTED).max(self.count(SHARDS))
    }

    /// Has so many processes serve from now on. New ones are started at once; those that are too
    /// many take no further request, finish what they have, and end.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0, for more than 512, and for fewer than there are
    /// [shards](crate::PreForking::shards).
    pub fn set_processes(&self, processes: usize) -> io::Result<()> {
        if processes == 0 || processes > MOST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "PreForking needs at least 1 process to serve with, and has 512 at most",
            ));
        }
        if processes < self.count(SHARDS) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "each shard of PreForking needs a process that takes requests from it; there have \
                 to be at least as many processes as there are shards",
            ));
        }
        self.word(WANTED).store(processes as u64, SeqCst);
        self.0.bell.ring();
        Ok(())
    }

    /// Has each process replaced by a new one, one by one: a new one serves before an old one is
    /// told to finish what it has and end. The new ones are copies of the supervising process as it
    /// is then.
    pub fn restart(&self) {
        self.word(GENERATION).fetch_add(1, SeqCst);
        self.0.bell.ring();
    }

    /// How many processes serve: those that have come up, and have not been told to end.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.count(SERVING)
    }

    /// How many processes have been started so far.
    #[must_use]
    pub fn started(&self) -> usize {
        self.count(STARTED)
    }

    /// How many processes have ended without having been told to: that were killed, crashed, or did
    /// not come up.
    #[must_use]
    pub fn died(&self) -> usize {
        self.count(DIED)
    }

    /// The process ids of all that there are, those included that are about to end.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        let ids = self.0.words[IDS..].iter().map(|id| id.load(SeqCst));
        ids.filter_map(|id| u32::try_from(id).ok()).filter(|id| *id != 0).collect()
    }

    pub(super) fn generation(&self) -> u64 {
        self.word(GENERATION).load(SeqCst)
    }

    pub(super) fn set_shards(&self, count: usize) {
        self.word(SHARDS).store(count as u64, SeqCst);
    }

    pub(super) fn set_serving(&self, count: usize) {
        self.word(SERVING).store(count as u64, SeqCst);
    }

    pub(super) fn note_start(&self, pid: Pid) {
        self.word(STARTED).fetch_add(1, SeqCst);
        self.replace(0, id(pid));
    }

    pub(super) fn note_end(&self, pid: Pid, died: bool) {
        self.word(DIED).fetch_add(u64::from(died), SeqCst);
        self.replace(id(pid), 0);
    }

    /// Puts an id in the first such place. Where none is left, a process is not listed.
    fn replace(&self, from: u64, to: u64) {
        let change = |word: &AtomicU64| word.compare_exchange(from, to, SeqCst, SeqCst).is_ok();
        let _ = self.0.words[IDS..].iter().any(change);
    }

    pub(super) fn ring(&self) {
        self.0.bell.ring();
    }

    pub(super) fn hush(&self) {
        self.0.bell.drain();
    }
}

fn id(pid: Pid) -> u64 {
    pid.as_raw().unsigned_abs().into()
}

impl AsFd for Workers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("processes", &self.processes())
            .field("serving", &self.serving())
            .field("started", &self.started())
            .field("died", &self.died())
            .finish()
    }
}
