//! One thread of a crew: takes a request, and handles it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::roster::{Roster, Running};
use super::{Crew, Shareable};
use crate::handler::Handler;
use crate::session::{Look, Puller, Session};
use crate::transport::Transport;
use crate::worker::{Place, Worker};

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

    pub(super) fn another(&self) -> Self {
        Self::new(&self.crew, self.puller.clone())
    }

    /// Starts a thread, which has been counted as one that waits.
    pub(super) fn start(self) -> io::Result<()> {
        let crew = Arc::clone(&self.crew);
        crew.roster.spawn(move || self.follow())
    }

    fn follow(self) {
        let crew = &self.crew;
        let mut session = self.puller.apart();
        let worker = session.worker();
        let mut place = None;
        loop {
            let too_many = || crew.is_too_large();
            let look = session.next_apart(&self.puller, crew.idle(), too_many, &mut place);
            let goes_on = match look {
                Ok(Look::Request) => self.run_in(&session, &worker, &mut place),
                Ok(Look::Idle) => crew.waits_on(|| worker.control().ring()),
                Ok(Look::End) => false,
                Err(error) => {
                    crew.error.lock().get_or_insert(error);
                    session.end_for_all();
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Runs the request that has been taken; returns whether to wait for another.
    fn run_in(
        &self,
        session: &Session<T, H>,
        worker: &Worker<H>,
        place: &mut Place<T::Request>,
    ) -> bool {
        match self.take_up() {
            Ok(mut running) => {
                running.here();
                session.service_taken();
                worker.finish_in(place);
                drop(running);
                self.crew.comes_back()
            }
            Err(error) => {
                worker.refuse_in(place, error);
                true
            }
        }
    }

    /// A request has been taken: sees to it that somebody waits for the next one. Where nobody can,
    /// it is this thread that does, once it has run the request, or instead of that.
    fn take_up(&self) -> io::Result<Running<&Roster>> {
        let crew = &self.crew;
        let running = Running::new(&crew.roster)?;
        if crew.takes() {
            if let Err(error) = self.another().start() {
                if crew.size.attended {
                    crew.count.stands_in();
                    return Err(error);
                }
                crew.count.leaves();
                crew.short.store(true, SeqCst);
                crew.bell.ring();
            }
        }
        Ok(running)
    }
}
