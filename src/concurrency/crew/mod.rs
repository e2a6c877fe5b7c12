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
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// So many are there from the first request to the last.
    pub(super) least: u64,
    /// So many are there at most. Where they all run a request, nobody waits for the next one.
    pub(super) most: u64,
    /// So many wait for requests at most; whoever would be one more ends.
    pub(super) kept: u64,
    /// Who waits in vain for so long ends, where there are more than the least.
    pub(super) idle: Option<Duration>,
    /// Whether somebody has to wait at any time: a request that leaves nobody is refused.
    pub(super) attended: bool,
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
        let first = Follower::new(&crew, session.puller());
        first.another().start()?;
        while crew.count.expects(size.least) {
            if first.another().start().is_err() {
                // There are some, and may be more later.
                crew.count.leaves();
                break;
            }
        }
        Ok(crew)
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
        let attended = session.attend(&self.bell, || self.fill(&another));
        if attended.is_err() {
            session.end_for_all();
        }
        // No further thread is started, and those that wait take no further request; they end.
        self.count.end();
        session.dismiss();
        self.error.lock().take().map_or(Ok(()), Err).and(attended)
    }

    /// Starts the thread that could not be had, where nobody has come back meanwhile. Returns when to
    /// try again.
    fn fill<T, H>(&self, another: &Follower<T, H>) -> Option<Instant>
    where
        T: Transport + Shareable,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        let wanted = self.short.swap(false, SeqCst) && self.count.expects_another(self.size.most);
        if !wanted || another.another().start().is_ok() {
            return None;
        }
        self.count.leaves();
        self.short.store(true, SeqCst);
        Instant::now().checked_add(AGAIN)
    }

    /// One has taken a request; whether nobody waits, and one that is to be started has been
    /// counted.
    fn takes(&self) -> bool {
        self.count.takes() && self.count.expects_another(self.size.most)
    }

    /// One more waits, unless there are enough, or nothing is left to wait for. A handler may have
    /// forked: its thread in the child waits for nothing that is the parent's.
    fn comes_back(&self) -> bool {
        sys::forks() == self.forks && self.count.comes_back(self.size.kept)
    }

    /// How long one waits for a request in vain.
    #[inline]
    fn idle(&self) -> Option<Duration> {
        self.size.idle.filter(|_| self.count.has_spare(self.size.least))
    }
}
