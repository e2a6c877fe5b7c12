//! The second half of a request's life: what happens to it once it has been taken, wherever its
//! strategy puts it.

use std::fmt;
use std::io;
use std::mem;
use std::ops::Deref;
use std::process;
use std::sync::Arc;

use crate::control::Control;
use crate::event::{Event, Refusal};
use crate::failure::{Cause, Failure, FailureKind, Stage, complain};
pub(crate) use crate::fault::{Fault, contain, quietly, step};
use crate::handler::{Handler, Next, OnPanic};
use crate::in_flight::{Line, Listed, Ticket};
use crate::request::Request;

/// Finishes requests: what a strategy moves to the thread or process that runs them. Cheap to
/// clone, and independent of the transport, which can close while workers go on.
pub struct Worker<H> {
    shared: Arc<Shared<H>>,
    session: u64,
}

/// What a server and its workers share.
pub(crate) struct Shared<H> {
    pub(crate) handler: H,
    pub(crate) control: Arc<Control>,
}

/// A request on its way from the loop to where it is finished.
///
/// It is opaque so that a strategy has one thing to move, and what belongs to the request besides
/// itself goes along. It looks like the request through `Deref`. A job that is dropped instead of
/// finished or refused closes its request without a word.
#[derive(Debug)]
#[must_use = "a job that is dropped closes its request without handling it"]
pub struct Job<R> {
    // In the order in which they have to be dropped.
    listed: Listed,
    request: R,
    ticket: Ticket,
}

/// Where a job stays from the loop that gets it to its end, where both are on one thread: requests
/// are large, and most of what they would cost beside their system calls is being moved.
pub(crate) type Place<R> = Option<Job<R>>;

impl<R: Request> Job<R> {
    #[inline]
    pub(crate) fn new(request: R, ticket: Ticket) -> Self {
        Self { listed: Listed::default(), request, ticket }
    }

    pub(crate) fn parts(&mut self) -> (&mut R, &mut Ticket) {
        (&mut self.request, &mut self.ticket)
    }

    /// Has the request among those that may be cut or listed.
    pub(crate) fn list(&mut self) {
        let line = self.request.connection().map(Line::from);
        let line = line.or_else(|| self.request.cutter().map(Line::from));
        if let Some((listed, activity)) = self.ticket.list(line) {
            self.listed = listed;
            self.request.watch(&activity);
        }
    }

    /// In a forked child, whose parent has all that belongs to the request besides itself.
    pub(crate) fn enter_child(&mut self) {
        drop(mem::take(&mut self.listed));
        mem::take(&mut self.ticket).forget();
    }

    /// Closes this process's copy of a request that another process goes on with. What is left is
    /// to be kept until that process has ended, and then given to
    /// [`Session::ended`](crate::Session::ended).
    pub fn hand_over(self) -> Ticket {
        hand_over(&mut Some(self), None)
    }
}

impl<R> Deref for Job<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.request
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// It was handled.
    Finished,
    /// It failed, which [`handle_error`](Handler::handle_error) has heard of.
    Failed(FailureKind),
}

impl From<Ending> for Event {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Finished => Self::Finished,
            Ending::Failed(kind) => Self::Failed(kind),
        }
    }
}

impl<H> Worker<H> {
    pub(crate) fn new(shared: Arc<Shared<H>>, session: u64) -> Self {
        Self { shared, session }
    }

    /// The same for a request of another session.
    pub(crate) fn of_session(&self, session: u64) -> Self {
        Self { session, ..self.clone() }
    }

    pub(crate) fn handler(&self) -> &H {
        &self.shared.handler
    }

    pub(crate) fn control(&self) -> &Control {
        &self.shared.control
    }

    pub(crate) fn shared_control(&self) -> Arc<Control> {
        Arc::clone(&self.shared.control)
    }

    /// The same with another handler.
    pub(crate) fn with<G>(&self, handler: G) -> Worker<G> {
        let shared = Shared { handler, control: self.shared_control() };
        Worker::new(Arc::new(shared), self.session)
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// Whether the session that the request came from has been asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.control.is_stopping(self.session)
    }

    /// Whether it takes no further request: a stop that is announced has not ended it yet.
    fn has_ended(&self) -> bool {
        self.shared.control.has_ended(self.session)
    }

    /// Establishes a request, handles it, reports its failure, shuts it down and closes it:
    /// Python's `finish_request` and all that stands around it in `process_request`.
    ///
    /// No panic comes out of it.
    pub fn finish_request<R: Request>(&self, job: Job<R>) -> Ending
    where
        H: Handler<R>,
    {
        self.finish_in(&mut Some(job))
    }

    /// The same of a job that stays where it is; afterwards the place is empty.
    #[inline]
    pub(crate) fn finish_in<R: Request>(&self, place: &mut Place<R>) -> Ending
    where
        H: Handler<R>,
    {
        let Some((ending, ticket)) = self.finish_unheard(place) else { return Ending::Finished };
        self.ended(ticket, ending);
        ending
    }

    /// The same, but for the events: what a forked child does, whose parent hears of them and has
    /// the ticket.
    #[inline]
    pub(crate) fn finish_unheard<R: Request>(
        &self,
        place: &mut Place<R>,
    ) -> Option<(Ending, Ticket)>
    where
        H: Handler<R>,
    {
        self.end_unheard(place, |request| self.run(request))
    }

    /// The same of a request that `run` does the last for.
    #[inline]
    pub(crate) fn end_unheard<R: Request>(
        &self,
        place: &mut Place<R>,
        run: impl FnOnce(&mut R) -> Result<(), Fault>,
    ) -> Option<(Ending, Ticket)>
    where
        H: Handler<R>,
    {
        let job = place.as_mut()?;
        let _here = job.ticket.here();
        let ending = match run(&mut job.request) {
            Ok(()) => Ending::Finished,
            Err(fault) => self.fail(&mut job.request, fault),
        };
        Some((ending, self.leave(place, R::shutdown_request)))
    }

    /// Ends a request that could not be started: `handle_error` gets `error`, and the peer sees a
    /// clean end.
    pub fn refuse_request<R: Request>(&self, job: Job<R>, error: io::Error)
    where
        H: Handler<R>,
    {
        self.refuse_in(&mut Some(job), error);
    }

    /// The same of a job that stays where it is; afterwards the place is empty.
    pub(crate) fn refuse_in<R: Request>(&self, place: &mut Place<R>, error: io::Error)
    where
        H: Handler<R>,
    {
        self.failed(place, Fault::new(Stage::Start, error));
    }

    /// Ends a request that has failed before it was handled.
    pub(crate) fn failed<R: Request>(&self, place: &mut Place<R>, fault: Fault)
    where
        H: Handler<R>,
    {
        let Some(job) = place else { return };
        let ending = self.fail(&mut job.request, fault);
        let ticket = self.leave(place, R::shutdown_request);
        self.ended(ticket, ending);
    }

    /// See [`Session::ended`](crate::Session::ended).
    #[inline]
    pub(crate) fn ended<R>(&self, ticket: Ticket, ending: Ending)
    where
        H: Handler<R>,
    {
        ticket.end(ending.into());
        self.tell(ending.into());
        if ending == Ending::Failed(FailureKind::Panic) {
            self.panicked();
        }
    }

    /// The same of a request whose process has ended. That tells of the panic by which the request
    /// has failed; the others have been noted.
    pub(crate) fn reaped<R>(&self, ticket: Ticket, ending: Ending)
    where
        H: Handler<R>,
    {
        let was_cut = ending == Ending::Failed(FailureKind::Lost) && ticket.is_cut();
        let ending = if was_cut { Ending::Failed(FailureKind::Cut) } else { ending };
        self.ended(ticket, ending);
        for _ in 0..self.control().take_panics() {
            self.panicked();
        }
    }

    /// Whether the handler accepts the request.
    #[inline]
    pub(crate) fn verify<R: Request>(&self, job: &Job<R>) -> Result<(), Turned>
    where
        H: Handler<R>,
    {
        match step(Stage::Verify, || self.handler().verify_request(&job.request)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Turned::Away(Refusal::Rejected)),
            Err(fault) => Err(Turned::Failed(fault)),
        }
    }

    /// Closes a request that is not let in by `close`.
    pub(crate) fn turn_away<R>(
        &self,
        place: &mut Place<R>,
        why: Refusal,
        close: impl FnOnce(&mut R),
    ) where
        H: Handler<R>,
    {
        self.leave(place, close).end(Event::Refused(why));
        self.tell(Event::Refused(why));
    }

    /// Tells the handler of an event.
    pub(crate) fn tell<R>(&self, event: Event)
    where
        H: Handler<R>,
    {
        self.quietly(|| self.handler().event(event));
    }

    /// Runs what is the user's code and has nobody to report its panic to.
    #[inline]
    pub(crate) fn quietly<R>(&self, run: impl FnOnce())
    where
        H: Handler<R>,
    {
        if quietly(run) {
            self.panicked();
        }
    }

    /// Does what the handler wants to be done about a panic; in a forked child it is noted for the
    /// parent, which then asks, and in a process that serves for another for that one.
    #[cold]
    pub(crate) fn panicked<R>(&self)
    where
        H: Handler<R>,
    {
        if self.control().is_child() || self.control().is_worker() {
            return self.control().note_panic();
        }
        let mut answer = OnPanic::Contain;
        quietly(|| answer = self.handler().panicked());
        match answer {
            OnPanic::Contain => {}
            OnPanic::Stop => {
                quietly(|| complain(format_args!("the server is asked to stop, after a panic")));
                self.control().ask(self.session);
            }
            OnPanic::Crash => process::abort(),
        }
    }

    #[inline]
    fn run<R: Request>(&self, request: &mut R) -> Result<(), Fault>
    where
        H: Handler<R>,
    {
        step(Stage::Establish, || request.establish())?;
        self.set_up(request)?;
        let handled = step(Stage::Handle, || self.exchanges(request));
        self.conclude(request, handled)
    }

    /// The handler's stage before the first exchange.
    #[inline]
    pub(crate) fn set_up<R: Request>(&self, request: &mut R) -> Result<(), Fault>
    where
        H: Handler<R>,
    {
        step(Stage::Setup, || self.handler().setup(request))
    }

    /// One exchange; whether there may be another.
    #[inline]
    pub(crate) fn exchange<R: Request>(&self, request: &mut R) -> Result<bool, Fault>
    where
        H: Handler<R>,
    {
        step(Stage::Handle, || self.one_exchange(request))
    }

    /// The stages after the last exchange, whichever way that ended.
    #[inline]
    pub(crate) fn conclude<R: Request>(
        &self,
        request: &mut R,
        handled: Result<(), Fault>,
    ) -> Result<(), Fault>
    where
        H: Handler<R>,
    {
        let finished = step(Stage::Finish, || self.handler().finish(request));
        match (handled, finished) {
            (Ok(()), Ok(())) => step(Stage::Deliver, || request.deliver()),
            (Err(fault), Ok(())) | (Ok(()), Err(fault)) => Err(fault),
            (Err(fault), Err(Fault(_, second))) => {
                let panicked = matches!(second, Cause::Panic(_));
                self.quietly(|| drop(second));
                if panicked {
                    self.panicked();
                }
                Err(fault)
            }
        }
    }

    #[inline]
    fn exchanges<R: Request>(&self, request: &mut R) -> io::Result<()>
    where
        H: Handler<R>,
    {
        while self.one_exchange(request)? {}
        Ok(())
    }

    #[inline]
    fn one_exchange<R: Request>(&self, request: &mut R) -> io::Result<bool>
    where
        H: Handler<R>,
    {
        // Where a stop that is announced comes in the middle, the peer may have been told that there
        // will be another exchange. There is one, and in that one the handler can know better.
        let known = self.is_stopping();
        let next = self.handler().handle(request)?;
        self.goes_on(request, next, known)
    }

    /// Whether there may be another exchange, after one that the handler has answered so, which has
    /// begun with it `known` that the server is stopping.
    #[inline]
    pub(crate) fn goes_on<R: Request>(
        &self,
        request: &mut R,
        next: Next,
        known: bool,
    ) -> io::Result<bool> {
        if next == Next::Done || known || self.has_ended() {
            return Ok(false);
        }
        request.next_exchange()?;
        // Once more: a drain cuts what is idle once, and may have looked before this was.
        Ok(!self.has_ended())
    }

    /// Reports a failure; the request is still open.
    #[cold]
    pub(crate) fn fail<R: Request>(&self, request: &mut R, Fault(stage, cause): Fault) -> Ending
    where
        H: Handler<R>,
    {
        let failure = Failure::new(stage, cause, |error| {
            let mut kind = FailureKind::Error;
            self.quietly(|| kind = request.classify(error));
            kind
        });
        let kind = failure.kind();
        self.quietly(|| self.handler().handle_error(request, &failure));
        self.quietly(|| drop(failure));
        Ending::Failed(kind)
    }

    /// Ends a request by `close`; returns its ticket. The place is empty afterwards.
    #[inline]
    pub(crate) fn leave<R>(&self, place: &mut Place<R>, close: impl FnOnce(&mut R)) -> Ticket
    where
        H: Handler<R>,
    {
        let (ticket, panicked) = leave(place, close);
        if panicked {
            self.panicked();
        }
        ticket
    }
}

/// See [`Job::hand_over`], to a process whose id may be known; the place is empty afterwards.
pub(crate) fn hand_over<R: Request>(place: &mut Place<R>, process: Option<u32>) -> Ticket {
    place.iter().for_each(|job| job.ticket.move_to(process));
    leave(place, R::close_request).0
}

/// Ends a request by `close`, and frees it; its ticket, and whether anything panicked.
#[inline]
fn leave<R>(place: &mut Place<R>, close: impl FnOnce(&mut R)) -> (Ticket, bool) {
    let Some(job) = place else { return Default::default() };
    drop(mem::take(&mut job.listed));
    let closing = quietly(|| close(&mut job.request));
    let ticket = mem::take(&mut job.ticket);
    let freeing = quietly(|| *place = None);
    (ticket, closing || freeing)
}

/// Why a request is not let in.
pub(crate) enum Turned {
    Away(Refusal),
    Failed(Fault),
}

impl<H> Clone for Worker<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), session: self.session }
    }
}

impl<H> fmt::Debug for Worker<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("session", &self.session).finish_non_exhaustive()
    }
}
