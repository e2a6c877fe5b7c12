//! Leader and followers: whoever takes a request also handles it, and a thread is made only when
//! nobody is left to wait for the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;

use super::Shareable;
use super::roster::{Roster, Running};
use crate::handler::Handler;
use crate::session::{Puller, Session};
use crate::sys;
use crate::transport::Transport;

/// So many threads wait for requests at most; whoever would be one more ends. They are what is left
/// of a burst, so that the next one need not start its threads anew, at 40 µs each; and at some
/// 20 kB of memory each, they are little more than a megabyte.
pub(super) const MOST_WAITING: usize = 64;

/// Above every count: the session is over, and nobody comes back or is started any more.
const OVER: usize = 1 << (usize::BITS - 1);

/// The threads of one session.
pub(super) struct Crew {
    roster: Roster,
    /// How many have no request to handle: they wait for one, or are about to.
    waiting: AtomicUsize,
    /// How many forks there had been; see [`sys::forks`].
    forks: u32,
    /// Why the session has ended, where the transport is broken.
    error: Mutex<Option<io::Error>>,
}

impl Crew {
    /// None yet, and one that is about to come.
    ///
    /// # Errors
    ///
    /// Where it can't be told from a copy of it in a forked child.
    pub(super) fn new(roster: &Roster) -> io::Result<Arc<Self>> {
        sys::count_forks()?;
        Ok(Arc::new(Self {
            roster: roster.clone(),
            waiting: AtomicUsize::new(1),
            forks: sys::forks(),
            error: Mutex::default(),
        }))
    }

    /// Takes no further thread, and has those that wait take no further request; they end. Those that
    /// handle a request go on.
    pub(super) fn end<T, H>(&self, session: &Session<T, H>) -> io::Result<()> {
        self.waiting.fetch_or(OVER, SeqCst);
        session.dismiss();
        self.error.lock().take().map_or(Ok(()), Err)
    }

    /// One waits no longer; whether the last one has gone, and one that is to be started has been
    /// counted in its place.
    fn leaves_nobody(&self) -> bool {
        // Whoever has come back in between is somebody.
        self.waiting.fetch_sub(1, SeqCst) == 1
            && self.waiting.compare_exchange(0, 1, SeqCst, SeqCst).is_ok()
    }

    /// One more waits, unless there are enough, or nothing is left to wait for. A handler may have
    /// forked: its thread in the child waits for nothing that is the parent's.
    fn come_back(&self) -> bool {
        if sys::forks() != self.forks {
            return false;
        }
        let one_more = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
        self.waiting.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }
}

/// What a thread of the crew has.
pub(super) struct Follower<T, H> {
    crew: Arc<Crew>,
    puller: Puller<T, H>,
}

impl<T, H> Follower<T, H>
where
    T: Transport + Shareable,
    T::Request: Send + 'static,
    H: Handler<T::Request> + Shareable,
{
    pub(super) fn new(crew: &Arc<Crew>, puller: Puller<T, H>) -> Self {
        Self { crew: Arc::clone(crew), puller }
    }

    /// Starts a thread, which has been counted as one that waits.
    pub(super) fn start(self) -> io::Result<()> {
        let crew = Arc::clone(&self.crew);
        crew.roster.spawn(move || self.follow())
    }

    fn follow(self) {
        let mut session = self.puller.apart();
        let worker = session.worker();
        let mut place = None;
        loop {
            match session.next_apart(&self.puller, &mut place) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.crew.error.lock().get_or_insert(error);
                    session.end_for_all();
                    return;
                }
            }
            match self.take_up() {
                Ok(mut running) => {
                    running.here();
                    session.service_taken();
                    worker.finish_in(&mut place);
                    drop(running);
                    if !self.crew.come_back() {
                        return;
                    }
                }
                Err(error) => worker.refuse_in(&mut place, error),
            }
        }
    }

    /// A request has been taken: sees to it that somebody waits for the next one. Where nobody can,
    /// it is this thread that does.
    fn take_up(&self) -> io::Result<Running<&Roster>> {
        let running = Running::new(&self.crew.roster)?;
        if self.crew.leaves_nobody() {
            let next = Self { crew: Arc::clone(&self.crew), puller: self.puller.clone() };
            next.start()?;
        }
        Ok(running)
    }
}
