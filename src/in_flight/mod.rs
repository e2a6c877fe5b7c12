//! What a server keeps of its requests from their acceptance to their end, where it has been asked
//! to: permits, counts, the connections that a drain may have to cut, and what can be listed.

mod activity;
mod connections;
mod permits;

pub use activity::Activity;
pub use connections::Cutter;
pub(crate) use connections::{Connections, Cut, Line, Listed};
pub(crate) use permits::Permits;

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::process;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;

use crate::admission::Entered;
use crate::control::Control;
use crate::counters::Counters;
use crate::event::{Event, Refusal};
use crate::failure::FailureKind;
use crate::worker;

/// The requests in flight, of all strategies, threads and sessions of one server.
pub(crate) struct InFlight {
    pub(crate) control: Arc<Control>,
    pub(crate) counters: Counters,
    pub(crate) permits: Permits,
    pub(crate) connections: Connections,
    active: AtomicUsize,
    /// The process whose requests these are.
    owner: u32,
    /// How many requests have been refused; of this server, unlike those of `counters`.
    refused: AtomicUsize,
    session: Mutex<Stopped>,
}

/// How a session has been stopped.
#[derive(Default)]
struct Stopped {
    number: Option<u64>,
    /// When it was asked to stop, and how many requests had been refused by then.
    since: Option<(Instant, usize)>,
}

impl InFlight {
    pub(crate) fn new(control: Arc<Control>, counters: Counters, permits: Permits) -> Self {
        Self {
            control,
            counters,
            permits,
            connections: Connections::default(),
            active: AtomicUsize::new(0),
            owner: process::id(),
            refused: AtomicUsize::new(0),
            session: Mutex::default(),
        }
    }

    /// Whether this is no copy in a child that the application has forked, which has none of the
    /// threads that would give back what is in flight.
    pub(crate) fn is_ours(&self) -> bool {
        self.owner == process::id()
    }

    /// Session `number` begins, or goes on with the next call of `handle_request`.
    pub(crate) fn begin(&self, number: u64) {
        let mut session = self.session.lock();
        if session.number != Some(number) {
            *session = Stopped { number: Some(number), since: None };
            self.connections.begin();
        }
    }

    /// Session `number` has been asked to stop; whoever sees it first says so. Returns when that
    /// was.
    pub(crate) fn stop(&self, number: u64) -> Instant {
        let mut session = self.session.lock();
        let now = (Instant::now(), self.refused.load(SeqCst));
        // Whoever still pulls from an earlier one says nothing of this.
        let own = session.number == Some(number);
        if own { session.since.get_or_insert(now).0 } else { now.0 }
    }

    /// When the session was asked to stop, and how many requests have been refused since.
    pub(crate) fn stopped(&self) -> Option<(Instant, usize)> {
        let since = self.session.lock().since;
        since.map(|(at, before)| (at, self.refused.load(SeqCst) - before))
    }

    /// How many requests are in flight in this process, or in children of it.
    pub(crate) fn active(&self) -> usize {
        self.active.load(SeqCst)
    }

    /// What rang was for one who waits for a permit, if there is one.
    pub(crate) fn pass_on(&self) {
        if self.permits.is_wanted() {
            self.control.ring();
        }
    }

    /// Somebody is going to wait for a permit, and leaves meanwhile; as [`Permits::want`].
    pub(crate) fn want(self: &Arc<Self>) -> Option<Wanting> {
        self.permits.begin_to_want();
        let wanting = Wanting(Arc::clone(self));
        (!self.permits.is_left()).then_some(wanting)
    }

    /// Wakes the loop where it waits for a permit, and the end of the server where it waits for the
    /// last request.
    fn left(&self) {
        if self.permits.give_back() {
            self.control.ring();
        }
        self.active.fetch_sub(1, SeqCst);
        if self.control.is_closing() {
            self.control.ring();
        }
    }

    /// How many of the requests in flight run on this thread, and can't be waited for here: one,
    /// where a handler closes its own server.
    pub(crate) fn own(&self) -> usize {
        usize::from(ptr::eq(RUNNING.get(), self))
    }
}

/// Somebody waits for a permit, until this is dropped.
pub(crate) struct Wanting(Arc<InFlight>);

impl Drop for Wanting {
    fn drop(&mut self) {
        self.0.permits.end_to_want();
    }
}

thread_local! {
    /// What the request that runs on this thread is in flight of.
    static RUNNING: Cell<*const InFlight> = const { Cell::new(ptr::null()) };
}

/// A request runs on this thread, until this is dropped.
pub(crate) struct Here(Option<*const InFlight>);

impl Drop for Here {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            RUNNING.set(before);
        }
    }
}

/// What a request has been given for the time in which it is in flight, and gives back once, when
/// this is dropped, whoever drops it.
///
/// Strategies meet it where they hand a request to another process, which then has the request
/// while this process keeps the ticket: [`Job::hand_over`](crate::Job::hand_over). Of a server that
/// keeps nothing of its requests it is empty.
#[must_use = "what the request was given goes back when this is dropped"]
#[derive(Default)]
pub struct Ticket(Option<Box<Entry>>);

struct Entry {
    flight: Arc<InFlight>,
    /// Why the request is going to be turned away, where that is known already.
    refused: Option<Refusal>,
    accepted: bool,
    /// Its place among what can be listed.
    record: Option<usize>,
    /// Places in the tables of sources.
    sources: Vec<Box<dyn Entered>>,
}

impl Ticket {
    /// For a request that is about to be taken, to be turned away where there is a reason; the
    /// permit has been taken already.
    pub(crate) fn new(flight: &Arc<InFlight>, refused: Option<Refusal>) -> Self {
        flight.active.fetch_add(1, SeqCst);
        let (flight, accepted, sources) = (Arc::clone(flight), false, Vec::new());
        Self(Some(Box::new(Entry { flight, refused, accepted, record: None, sources })))
    }

    /// Why the request has to be turned away, if it has to.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.0.as_ref().and_then(|entry| entry.refused)
    }

    /// There is a request that it is for, and somebody who answers for its end.
    #[inline]
    pub(crate) fn accept(&mut self) {
        if let Some(entry) = &mut self.0 {
            entry.accepted = true;
            entry.flight.counters.note(Event::Accepted);
        }
    }

    /// Keeps what a table of sources has given for the request.
    pub(crate) fn keep(&mut self, source: Box<dyn Entered>) {
        if let Some(entry) = &mut self.0 {
            entry.sources.push(source);
        }
    }

    /// Has the request among those that a drain may cut, if it has a connection, and that can be
    /// listed, if anybody may.
    pub(crate) fn list(&mut self, connection: Option<Line>) -> Option<(Listed, Activity)> {
        let entry = self.0.as_mut()?;
        if connection.is_none() && entry.flight.permits.board().is_none() {
            return None;
        }
        let (listed, activity, record) = Listed::new(&entry.flight, connection);
        entry.record = record;
        Some((listed, activity))
    }

    /// What is kept of the request where it can be listed.
    fn record(&self) -> Option<(&Connections, usize)> {
        let entry = self.0.as_ref()?;
        Some((&entry.flight.connections, entry.record?))
    }

    /// Another process goes on with the request, of this number where it is known.
    pub(crate) fn move_to(&self, process: Option<u32>) {
        if let Some((connections, place)) = self.record() {
            connections.hand_over(place, process);
        }
    }

    /// Whether it is the one whose process is to be ended, known by this number. It is noted that it
    /// has been.
    pub(crate) fn is_to_be_ended(&self, id: u64) -> bool {
        self.record().is_some_and(|(connections, place)| connections.is_to_be_ended(place, id))
    }

    /// Whether it was cut, where it can be listed.
    pub(crate) fn is_cut(&self) -> bool {
        self.record().is_some_and(|(connections, place)| connections.is_cut(place))
    }

    /// The request begins to run on this thread.
    #[inline]
    pub(crate) fn here(&self) -> Here {
        let flight = self.0.as_ref().map(|entry| Arc::as_ptr(&entry.flight));
        Here(flight.map(|flight| RUNNING.replace(flight)))
    }

    /// Notes how the request ended, and gives back what it was given.
    #[inline]
    pub(crate) fn end(self, event: Event) {
        if self.0.is_some() {
            self.end_as(event);
        }
    }

    fn end_as(mut self, event: Event) {
        if let Some(entry) = &mut self.0 {
            if mem::take(&mut entry.accepted) {
                if let Event::Refused(_) = event {
                    entry.flight.refused.fetch_add(1, SeqCst);
                }
                entry.flight.counters.note(event);
                for source in &entry.sources {
                    // Their keys are the user's.
                    worker::quietly(|| source.ended(event));
                }
            }
        }
    }

    /// In a forked child, whose parent has the ticket: nothing is given back here, and no lock is
    /// touched.
    pub(crate) fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // In a copy that the application has forked it is not lost: the owner has it, and counts in
        // the same memory.
        if self.accepted && self.flight.is_ours() {
            self.flight.counters.note(Event::Failed(FailureKind::Lost));
        }
        // The keys of sources are the user's, and so is what dropping one does.
        worker::quietly(|| self.sources.clear());
        if let Some(place) = self.record {
            self.flight.connections.leave(place);
        }
        self.flight.left();
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", if self.0.is_some() { "kept" } else { "nothing" })
    }
}
