//! What a server keeps of its requests from their acceptance to their end, where it has been asked
//! to: permits, counts, and the connections that a drain may have to cut.

mod connections;
mod permits;

pub use connections::Activity;
pub(crate) use connections::{Connections, Listed};
pub(crate) use permits::Permits;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;

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
    /// When the session was asked to stop, and how many requests had been refused by then.
    stopped: Mutex<Option<(Instant, u64)>>,
}

impl InFlight {
    pub(crate) fn new(control: Arc<Control>, counters: Counters, permits: Permits) -> Self {
        Self {
            control,
            counters,
            permits,
            connections: Connections::default(),
            active: AtomicUsize::new(0),
            stopped: Mutex::default(),
        }
    }

    /// A session begins.
    pub(crate) fn begin(&self) {
        *self.stopped.lock() = None;
        self.connections.begin();
    }

    /// The session has been asked to stop; whoever sees it first says so.
    pub(crate) fn stop(&self) {
        self.stopped.lock().get_or_insert_with(|| (Instant::now(), self.counters.refused()));
    }

    pub(crate) fn stopped(&self) -> Option<(Instant, u64)> {
        *self.stopped.lock()
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

thread_local! {
    /// What the request that runs on this thread is in flight of.
    static RUNNING: Cell<*const InFlight> = const { Cell::new(ptr::null()) };
}

/// A request runs on this thread, until this is dropped.
pub(crate) struct Here(Option<*const InFlight>);

impl Drop for Here {
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
    /// Places in the tables of sources.
    sources: Vec<Box<dyn Any + Send + Sync>>,
}

impl Ticket {
    /// For a request that is about to be taken, to be turned away where there is a reason; the
    /// permit has been taken already.
    pub(crate) fn new(flight: &Arc<InFlight>, refused: Option<Refusal>) -> Self {
        flight.active.fetch_add(1, SeqCst);
        let (flight, accepted, sources) = (Arc::clone(flight), false, Vec::new());
        Self(Some(Box::new(Entry { flight, refused, accepted, sources })))
    }

    /// Why the request has to be turned away, if it has to.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.0.as_ref().and_then(|entry| entry.refused)
    }

    /// There is a request that it is for, and somebody who answers for its end.
    pub(crate) fn accept(&mut self) {
        if let Some(entry) = &mut self.0 {
            entry.accepted = true;
            entry.flight.counters.note(Event::Accepted);
        }
    }

    /// Keeps what a table of sources has given for the request.
    pub(crate) fn keep(&mut self, source: Box<dyn Any + Send + Sync>) {
        if let Some(entry) = &mut self.0 {
            entry.sources.push(source);
        }
    }

    /// Has the connection among those that a drain may cut.
    pub(crate) fn list(&self, connection: BorrowedFd<'_>) -> Option<(Listed, Activity)> {
        Some(Listed::new(&self.0.as_ref()?.flight, connection))
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
                entry.flight.counters.note(event);
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
        if self.accepted {
            self.flight.counters.note(Event::Failed(FailureKind::Lost));
        }
        // The keys of sources are the user's, and so is what dropping one does.
        worker::quietly(|| self.sources.clear());
        self.flight.left();
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", if self.0.is_some() { "kept" } else { "nothing" })
    }
}
