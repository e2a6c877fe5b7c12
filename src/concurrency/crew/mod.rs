//! Leader and followers: whoever takes a request also handles it, and a thread is made only when
//! nobody is left to wait for the next one.

mod awaited;
mod count;
mod follower;
mod roster;
mod table;

pub(super) use roster::{Roster, Running};

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::count::Count;
use self::follower::Follower;
use crate::concurrency::PoolSize;
use crate::handler::Handler;
use crate::session::Session;
use crate::sys::{self, Bell};
use crate::transport::Transport;

/// A handler or a transport that threads may share: every one that is `Send + Sync + 'static`, and no
/// other.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be shared by threads, as handler and transport are under `Threading` \
               and `ThreadPool`",
    label = "something in this belongs to one thread, or is only borrowed",
    note = "it has to be `Send + Sync + 'static`: `Arc` in place of `Rc`; `Mutex` or an atomic in \
            place of `Cell` or `RefCell`; a value or an `Arc` in place of a reference",
    note = "under `Sync` and `Forking` neither need be shared"
)]
pub trait Shareable: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<H: Send + Sync + 'static> Shareable for H {}

/// How many threads there are to be.
#[derive(Debug)]
pub(super) struct Size {
    pub(super) bounds: Bounds,
    /// So many wait for requests at most; whoever would be one more ends.
    pub(super) kept: u64,
    /// Who waits in vain for so long ends, where there are more than the least.
    pub(super) idle: Option<Duration>,
    /// Whether somebody has to wait at any time: a request that leaves nobody is refused.
    pub(super) attended: bool,
}

/// How many threads there may be.
#[derive(Debug)]
pub(super) enum Bounds {
    /// One at least, and as many as there are requests.
    Any,
    /// So many are there from the first request to the last, and so many at most. Where they all run
    /// a request, nobody waits for the next one.
    Set(PoolSize),
}

impl Size {
    fn least(&self) -> u64 {
        self.bounds.get().0
    }

    fn most(&self) -> u64 {
        self.bounds.get().1
    }
}

impl Bounds {
    fn get(&self) -> (u64, u64) {
        match self {
            Self::Any => (1, u64::MAX),
            Self::Set(size) => size.bounds(),
        }
    }
}

/// When a thread that could not be had is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// The threads of one session.
pub(super) struct Crew {
    roster: Roster,
    size: Size,
    count: Count,
    /// No thread could be had when a request left nobody to wait.
    short: AtomicBool,
    /// Where the one that serves waits.
    bell: Arc<Bell>,
    /// How many forks there had been; see [`sys::forks`].
    forks: u32,
    /// Why the session has ended, where the transport is broken.
    error: Mutex<Option<io::Error>>,
}

impl Crew {
    /// Starts the first threads.
    ///
    /// # Errors
    ///
    /// Where there can't be one thread, or it can't be told from a copy of it in a forked child.
    pub(super) fn start<T, H>(
        roster: &Roster,
        size: Size,
        session: &Session<T, H>,
    ) -> io::Result<Arc<Self>>
    where
        T: Transport + Shareable,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        sys::count_forks()?;
        let crew = Arc::new(Self {
            roster: roster.clone(),
            size,
            count: Count::of_one(),
            short: AtomicBool::new(false),
            bell: Arc::new(Bell::new()?),
            forks: sys::forks(),
            error: Mutex::default(),
        });
        if let Bounds::Set(size) = &crew.size.bounds {
            size.attend(&crew.bell);
        }
        let first = Follower::new(&crew, session.puller());
        first.another().start()?;
        // Where there are fewer, there may be more later.
        crew.start_least(&first);
        Ok(crew)
    }

    /// Starts those that are always there; whether they are.
    fn start_least<T, H>(&self, another: &Follower<T, H>) -> bool
    where
        T: Transport + Shareable,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        while self.count.expects(self.size.least()) {
            if another.another().start().is_err() {
                self.count.leaves();
                return false;
            }
        }
        true
    }

    /// Serves until the session is over, and nobody holds the transport any more. Those that run a
    /// request go on.
    pub(super) fn serve<T, H>(self: &Arc<Self>, session: &Session<T, H>) -> io::Result<()>
    where
        T: Transport + Shareable,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        let another = Follower::new(self, session.puller());
        let attended = session.attend(&self.bell, || {
            let again = self.fill(&another);
            if self.is_too_large() {
                // Those that wait look, each after the other, whether they are one too many.
                session.worker().control().ring();
            }
            again
        });
        if attended.is_err() {
            session.end_for_all();
        }
        // No further thread is started, and those that wait take no further request; they end.
        self.count.end();
        session.dismiss();
        self.error.lock().take().map_or(Ok(()), Err).and(attended)
    }

    /// Starts the threads that are lacking: one that could not be had, and where nobody has come back
    /// meanwhile; others, where there are to be more. Returns when to try again.
    fn fill<T, H>(&self, another: &Follower<T, H>) -> Option<Instant>
    where
        T: Transport + Shareable,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        self.short.store(false, SeqCst);
        let wanted = self.count.expects_another(self.size.most());
        let filled = if wanted { another.another().start() } else { Ok(()) };
        if filled.is_err() {
            self.count.leaves();
        }
        if filled.is_ok() && self.start_least(another) {
            return None;
        }
        self.short.store(true, SeqCst);
        Instant::now().checked_add(AGAIN)
    }

    /// One has taken a request; whether nobody waits, and one that is to be started has been
    /// counted.
    fn takes(&self) -> bool {
        self.count.takes() && self.count.expects_another(self.size.most())
    }

    /// One more waits, unless there are enough, or nothing is left to wait for. A handler may have
    /// forked: its thread in the child waits for nothing that is the parent's.
    fn comes_back(&self) -> bool {
        sys::forks() == self.forks && self.count.comes_back(self.size.kept, self.size.most())
    }

    /// How long one waits for a request in vain.
    #[inline]
    fn idle(&self) -> Option<Duration> {
        self.size.idle.filter(|_| self.count.has_spare(self.size.least()))
    }

    /// Whether there are more than there may be.
    fn is_too_large(&self) -> bool {
        self.count.exceeds(self.size.most())
    }

    /// One has waited in vain, or has been told to look whether it is one too many; whether it waits
    /// on.
    fn waits_on(&self, ring: impl FnOnce()) -> bool {
        if !self.count.steps_down(self.size.most()) {
            return !self.count.retires(self.size.least());
        }
        if self.is_too_large() {
            ring();
        }
        false
    }
}
