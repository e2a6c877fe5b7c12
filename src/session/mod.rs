//! The first half of a request's life, and the loop: wait, get, verify.

mod attend;
mod beside;
mod books;
mod entrance;
mod errors;
mod halves;
mod holders;
mod in_worker;
mod patience;
mod puller;
mod reaction;
mod trouble;

pub(crate) use books::{Bookkeeping, Books};
pub(crate) use halves::finish_in_child;
pub(crate) use in_worker::Share;
pub use puller::Puller;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use self::entrance::Entrance;
use self::holders::Holder;
use self::patience::Patience;
use self::puller::Pulled;
use self::trouble::Trouble;
use crate::control::Waiter;
use crate::drain::Timer;
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::sys::{self, Caught, ForkedChild, Threads, Turn};
use crate::transport::Transport;
use crate::worker::{self, Ending, Job, Place, Worker};

/// What a strategy pulls requests from, while the server serves.
///
/// The serve loop stands here, once: a strategy is who calls [`next_request`](Self::next_request)
/// and where the request is then [finished](Self::finish_request).
///
/// It belongs to the thread that serves; other threads pull through a [`Puller`].
pub struct Session<T, H> {
    /// None while a thread that pulls does without.
    transport: Option<Arc<T>>,
    /// After the transport, which is let go of first.
    holder: Option<Holder>,
    worker: Worker<H>,
    scope: Scope,
    books: Option<Arc<Books<T>>>,
    entrance: Entrance,
    /// Sees to the end of requests that run on this thread, once one has.
    timer: OnceCell<Option<Timer>>,
    /// A request has been taken for which `service_actions` has not been called yet.
    taken: Cell<bool>,
    /// A wait has ended since the transport was last asked.
    waited: Cell<bool>,
    patience: Patience,
    /// The last wait was an error.
    wait_failed: Cell<bool>,
    /// How many waits in a row were over at once, and for no request.
    hasty: Cell<u32>,
    /// The transport has had an error and not said that there is nothing: no reason to wait.
    ask_again: Cell<bool>,
    /// How the session ended, once it has.
    ended: Cell<Option<Outcome>>,
    /// When `service_actions` is due although nothing happens.
    next_service: Cell<Option<Instant>>,
    trouble: Arc<Trouble>,
    /// Until when no request is to be got, where that is not waited out here.
    rest: Cell<Option<Instant>>,
    /// It does not wait by itself: see `beside`.
    beside: bool,
    /// What those who pull share.
    pulled: OnceCell<Pulled>,
    /// The place of one who pulls among those that wait.
    turn: Option<Turn>,
    /// What this process has, where others take requests beside it.
    share: Option<Arc<Share>>,
}

/// How long a session goes on, and what it does meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    /// Ends after one request.
    pub(crate) once: bool,
    /// Ends where none has come by then.
    pub(crate) deadline: Option<Instant>,
    /// Calls `service_actions` so often even when nothing happens.
    pub(crate) service_interval: Option<Duration>,
}

/// What a look at the transport gives.
#[derive(Debug)]
pub enum Taken<R> {
    /// A request that has been verified.
    Request(Job<R>),
    /// Nothing for now: [`wait`](Session::wait).
    Idle,
    /// The session is over: it has been stopped, was for one request only, or the transport has
    /// no more requests.
    End,
}

/// The same of a look that puts the request in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Request,
    Idle,
    End,
}

/// What [`handle_request`](crate::Server::handle_request) did; Python does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A request was taken, and has been handled where the strategy is [`Sync`](crate::Sync) or
    /// [`ThreadPool`](crate::ThreadPool); under the others it runs in its thread or process.
    Handled,
    /// [`verify_request`](Handler::verify_request) rejected a request.
    Rejected,
    /// A request was turned away by the server's [`Limits`](crate::Limits).
    Refused,
    /// A request failed: in `verify_request`, for want of a thread or process, or while it was
    /// handled where the strategy is one of those two. `handle_error` has been told.
    Failed,
    /// No request came in time.
    TimedOut,
    /// The server was asked to stop.
    Stopped,
    /// The transport has said that there will never be another request.
    Exhausted,
}

impl<T, H> Session<T, H> {
    pub(crate) fn new(
        transport: Option<Arc<T>>,
        worker: Worker<H>,
        books: Option<Arc<Books<T>>>,
        scope: Scope,
    ) -> Self {
        Self {
            transport,
            holder: None,
            worker,
            scope,
            books,
            entrance: Entrance::default(),
            timer: OnceCell::new(),
            taken: Cell::new(false),
            waited: Cell::new(false),
            patience: Patience::default(),
            wait_failed: Cell::new(false),
            hasty: Cell::new(0),
            ask_again: Cell::new(false),
            ended: Cell::new(None),
            next_service: Cell::new(scope.service_interval.and_then(after)),
            trouble: Arc::default(),
            rest: Cell::new(None),
            beside: false,
            pulled: OnceCell::new(),
            turn: None,
            share: None,
        }
    }

    /// The transport that the requests come from.
    #[must_use]
    pub fn transport(&self) -> &T {
        let Some(transport) = &self.transport else {
            unreachable!("who has let go of it holds it again before there is a request")
        };
        transport
    }

    /// What finishes requests elsewhere: to be moved to another thread.
    #[must_use]
    pub fn worker(&self) -> Worker<H> {
        self.worker.clone()
    }

    /// The way for other threads to pull from this session.
    #[must_use]
    pub fn puller(&self) -> Puller<T, H> {
        Puller::new(self)
    }

    /// Whether the server has been asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.worker.is_stopping()
    }

    /// See [`sys::fork`]; in the place of what the child lets go of stands the wake-up,
    /// which it keeps: a stop of its handler is its parent's.
    pub(crate) fn fork(
        &self,
        threads: Threads,
        caught: Caught,
        body: impl FnOnce(&Worker<H>, &ForkedChild<'_>) -> i32,
    ) -> io::Result<Pid> {
        let control = self.worker.control();
        control.sharing(|| {
            sys::fork(control.bell(), threads, caught, |child| {
                child.release_listeners();
                body(&self.worker, child)
            })
        })
    }

    /// Whether it is for one request alone.
    pub(crate) fn is_for_one(&self) -> bool {
        self.scope.once
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.ended.get().unwrap_or(Outcome::Stopped)
    }
}

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// Waits for the next request and returns it, verified, or `None` when the session is over.
    ///
    /// # Errors
    ///
    /// Where the transport is broken for good; all that passes is waited out here.
    pub fn next_request(&self) -> io::Result<Option<Job<T::Request>>> {
        let mut place = None;
        self.next_into(&mut place)?;
        Ok(place)
    }

    /// The same into a place that is empty; returns whether there is one.
    #[inline]
    pub(crate) fn next_into(&self, place: &mut Place<T::Request>) -> io::Result<bool> {
        if self.patience.waits_first() {
            self.service_taken();
            if !self.is_over() {
                self.wait(&[])?;
            }
        }
        loop {
            match self.look(place)? {
                Look::Request => return Ok(true),
                Look::Idle => self.wait(&[])?,
                Look::End => return Ok(false),
            }
        }
    }

    /// Takes the next request if there is one. Where the system has run out of something, this
    /// pauses, up to a second at a time and until the server is stopped.
    ///
    /// # Errors
    ///
    /// As [`next_request`](Self::next_request).
    pub fn try_next(&self) -> io::Result<Taken<T::Request>> {
        let mut place = None;
        let look = self.look(&mut place)?;
        Ok(match (look, place) {
            (_, Some(job)) => Taken::Request(job),
            (Look::End, None) => Taken::End,
            (_, None) => Taken::Idle,
        })
    }

    /// The same into a place that is empty.
    #[inline]
    pub(crate) fn look(&self, place: &mut Place<T::Request>) -> io::Result<Look> {
        loop {
            self.service_taken();
            if self.is_over() {
                return Ok(Look::End);
            }
            let Some(ticket) = self.enter() else { return Ok(self.idle()) };
            match self.get_request(ticket, place) {
                Ok(true) => {
                    self.take();
                    match self.admit(place) {
                        Ok(()) => return Ok(Look::Request),
                        Err(turned) => self.turn(place, turned),
                    }
                }
                Ok(false) => {
                    self.ended.set(Some(Outcome::Exhausted));
                    self.end_for_all();
                }
                Err(error) => {
                    if let Some(look) = self.without(error)? {
                        return Ok(look);
                    }
                }
            }
        }
    }

    /// Gets a request for the ticket; gives that back where there is none. Returns whether there
    /// is one.
    #[inline]
    fn get_request(&self, mut ticket: Ticket, place: &mut Place<T::Request>) -> io::Result<bool> {
        let got = worker::contain(|| {
            let Some(request) = self.transport().get_request()? else { return Ok(false) };
            *place = Some(Job::new(request, mem::take(&mut ticket)));
            Ok(true)
        });
        if place.is_none() {
            self.give_back(ticket);
        }
        got.unwrap_or_else(|payload| {
            self.worker.quietly(|| drop(payload));
            Err(io::Error::other("get_request panicked"))
        })
    }

    fn idle(&self) -> Look {
        if self.is_late() { Look::End } else { Look::Idle }
    }

    /// Waits until there may be a request, one of `watch` is readable, or the session may be over.
    /// It may return early.
    ///
    /// # Errors
    ///
    /// As [`next_request`](Self::next_request).
    pub fn wait(&self, watch: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.wait_until(watch, None)
    }

    fn wait_until(&self, watch: &[BorrowedFd<'_>], until: Option<Instant>) -> io::Result<()> {
        self.wait_by(watch, until, |waiter| {
            worker::contain(|| self.transport().wait(waiter)).unwrap_or_else(|payload| {
                self.worker.quietly(|| drop(payload));
                Err(io::Error::other("the transport's wait panicked"))
            })
        })
    }

    fn wait_by(
        &self,
        watch: &[BorrowedFd<'_>],
        until: Option<Instant>,
        wait: impl FnOnce(&Waiter<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.ask_again.take() || self.wait_to_enter(watch)? {
            return Ok(());
        }
        let begun = Instant::now();
        let waited = self.waiting(watch, until, wait);
        self.waited.set(true);
        self.slow_down(begun)?;
        self.wait_failed.set(waited.is_err());
        waited.or_else(|error| self.react(error).map(drop))
    }

    /// Waits as [`wait`](Self::wait) does, but for no request, and no longer than `at_most`: for a
    /// strategy that has no room for a request. Returns whether the session goes on.
    ///
    /// # Errors
    ///
    /// What poll(2) says.
    pub fn pause(&self, watch: &[BorrowedFd<'_>], at_most: Option<Duration>) -> io::Result<bool> {
        self.service_taken();
        if self.is_over() {
            return Ok(false);
        }
        let until = at_most.and_then(after);
        self.waiting(watch, until, |waiter| waiter.pause())?;
        Ok(!self.is_over() && !self.is_late())
    }

    /// See [`Worker::finish_request`]; on this thread, in this process.
    pub fn finish_request(&self, job: Job<T::Request>) -> Ending {
        self.finish_in(&mut Some(job))
    }

    /// The same of a job that stays where it is; afterwards the place is empty.
    #[inline]
    pub(crate) fn finish_in(&self, place: &mut Place<T::Request>) -> Ending {
        self.set_timer();
        self.settle_by(self.worker.finish_in(place))
    }

    /// See [`Worker::refuse_request`].
    pub fn refuse_request(&self, job: Job<T::Request>, error: io::Error) {
        self.refuse_in(&mut Some(job), error);
    }

    /// The same of a job that stays where it is; afterwards the place is empty.
    pub(crate) fn refuse_in(&self, place: &mut Place<T::Request>, error: io::Error) {
        self.worker.refuse_in(place, error);
        self.settle(Outcome::Failed);
    }

    /// A request that was [handed over](Job::hand_over) to another process has ended: it is counted,
    /// [`event`](Handler::event) and, after a panic, [`panicked`](Handler::panicked) are called,
    /// and what it was given is given back.
    pub fn ended(&self, ticket: Ticket, ending: Ending) {
        self.worker.reaped(ticket, ending);
    }

    /// A request has been taken: `handle_request` is content with it, and the errors are over.
    fn take(&self) {
        self.taken.set(true);
        self.share.as_ref().inspect(|share| share.take());
        if let Some(turn) = &self.turn {
            turn.pass_on();
        }
        self.settle(Outcome::Handled);
        if !self.waited.replace(false) {
            self.patience.found();
        }
        self.trouble.clear();
        self.hasty.set(0);
    }

    /// Notes how the session ended, if it was for one request.
    fn settle(&self, outcome: Outcome) {
        if self.scope.once {
            self.ended.set(Some(outcome));
        }
    }

    #[inline]
    fn is_over(&self) -> bool {
        if self.ended.get().is_none() && self.is_stopping() && self.is_announced() {
            self.ended.set(Some(Outcome::Stopped));
        }
        self.ended.get().is_some()
    }

    /// Whether no request has come in time; where so, says so.
    fn is_late(&self) -> bool {
        let late = self.scope.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if late {
            self.ended.set(Some(Outcome::TimedOut));
            self.worker.quietly(|| self.worker.handler().handle_timeout());
        }
        late
    }

    fn waiting<V>(
        &self,
        watch: &[BorrowedFd<'_>],
        until: Option<Instant>,
        wait: impl FnOnce(&Waiter<'_>) -> V,
    ) -> V {
        let announced = self.entrance.announced.get();
        let reasons = [until, self.scope.deadline, self.next_service.get(), announced];
        let until = reasons.into_iter().flatten().min();
        let waiter = Waiter::new(self.worker.control(), self.worker.session(), watch, until);
        let waiter = waiter.at(self.turn.as_ref()).among(self.queue());
        let value = wait(&waiter.knowing(announced.is_some()));
        if let Some(books) = &self.books {
            books.flight.pass_on();
        }
        self.service_by_clock();
        value
    }

    /// Calls `service_actions`, where the clock says that it is due.
    fn service_by_clock(&self) {
        if self.next_service.get().is_some_and(|at| at <= Instant::now()) {
            self.service();
        }
    }

    /// Calls `service_actions` for the request that has been taken, if it has not been called yet.
    pub(crate) fn service_taken(&self) {
        if self.taken.take() && !self.scope.once {
            self.service();
        }
    }

    fn service(&self) {
        self.worker.quietly(|| self.worker.handler().service_actions());
        if let Some(every) = self.scope.service_interval {
            self.next_service.set(after(every));
        }
    }
}

/// A time from now, or none where it is further away than time goes.
fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

impl<T, H> fmt::Debug for Session<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("scope", &self.scope).finish_non_exhaustive()
    }
}
