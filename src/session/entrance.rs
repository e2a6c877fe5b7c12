//! What stands between a request and the handler: limits, a stop that is announced, and
//! `verify_request`. Where nothing of it is asked for, nothing of it is done.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::Books;
use super::{Outcome, Session};
use crate::admission;
use crate::drain::Timer;
use crate::event::{Event, Refusal};
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::request::Request;
use crate::transport::Transport;
use crate::worker::{Job, Place, Turned};

/// What a session remembers of its entrance.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// No request may be taken; whether until a certain time, and since when.
    shut: Cell<Option<Shut>>,
    /// Until when requests are taken although the server has been asked to stop.
    pub(super) announced: Cell<Option<Instant>>,
}

impl Entrance {
    /// Whether no request may be taken, and whether until a certain time.
    pub(super) fn shut_until(&self) -> Option<Option<Instant>> {
        self.shut.get().map(|shut| shut.until)
    }
}

#[derive(Debug, Clone, Copy)]
struct Shut {
    /// Since when the first request waits for want of a permit or a token; nobody waits for that
    /// while no request is to be taken at all.
    since: Option<Instant>,
    until: Option<Instant>,
}

/// No request is to be taken.
const SUSPENDED: Shut = Shut { since: None, until: None };

impl<T, H> Session<T, H> {
    /// Whether the announcement of a stop is over, or there is none.
    #[cold]
    pub(super) fn is_announced(&self) -> bool {
        let (control, number) = (self.worker.control(), self.worker.session());
        let Some(books) = &self.books else { return true };
        let since = books.flight.stop(number);
        if control.has_ended(number) {
            return true;
        }
        let until = since.checked_add(books.asked.drain.unwrap_or_default().announced());
        self.entrance.announced.set(until);
        let over = until.is_some_and(|until| until <= Instant::now());
        if over {
            control.conclude(number);
        }
        over
    }

    /// Whether it is not a request that is lacking, but a permit, or a token.
    pub(crate) fn is_shut(&self) -> bool {
        self.entrance.shut.get().is_some()
    }

    /// Whether no permit is left.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.books.as_ref().is_some_and(|books| !books.flight.permits.is_left())
    }

    /// Has the end of requests on this thread seen to, where there is to be one.
    #[inline]
    pub(super) fn set_timer(&self) {
        if let Some(books) = &self.books {
            self.timer.get_or_init(|| {
                let drain = books.asked.drain?;
                // Without a thread for it, a stop waits for the request, as without a drain.
                Timer::start(&books.flight, self.worker.session(), drain).ok()
            });
        }
    }
}

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// Before a request is taken: what it is given for the way, or nothing, where none may be
    /// taken.
    #[inline]
    pub(super) fn enter(&self) -> Option<Ticket> {
        match &self.books {
            None => Some(Ticket::default()),
            Some(books) => self.enter_by(books),
        }
    }

    fn enter_by(&self, books: &Books<T>) -> Option<Ticket> {
        let shut = &self.entrance.shut;
        if books.flight.permits.is_suspended() {
            shut.set(Some(SUSPENDED));
            return None;
        }
        let since = shut.get().and_then(|shut| shut.since);
        match books.enter(since) {
            Ok(ticket) => {
                // The next one to be refused waits no longer than the first has.
                if ticket.refused().is_none() {
                    shut.set(None);
                }
                Some(ticket)
            }
            // The time for which the first request is left begins when there is one.
            Err(_) if books.is_patient() && since.is_none() && !self.waited.get() => {
                shut.set(None);
                None
            }
            Err(admission::Shut(until)) => {
                let since = since.unwrap_or_else(Instant::now);
                shut.set(Some(Shut { since: Some(since), until }));
                None
            }
        }
    }

    /// No request was there for the ticket.
    pub(super) fn give_back(&self, ticket: Ticket) {
        let Some(books) = &self.books else { return };
        let Some(limits) = &books.asked.limits else { return };
        match ticket.refused() {
            None => limits.not_taken(&books.flight),
            // Nobody waits any longer.
            Some(_) => self.entrance.shut.set(None),
        }
        drop(ticket);
    }

    /// Waits for a permit, where that is what is lacking; returns whether it was.
    pub(super) fn wait_to_enter(&self, watch: &[BorrowedFd<'_>]) -> io::Result<bool> {
        let (Some(books), Some(shut)) = (&self.books, self.entrance.shut.get()) else {
            return Ok(false);
        };
        let wanted = books.flight.permits.want();
        // There may be permits, but no token for a while.
        if wanted.is_some() || shut.until.is_some() {
            self.waiting(watch, shut.until, |waiter| {
                let _until_it_is_over = wanted;
                waiter.pause()
            })?;
        }
        Ok(true)
    }

    /// When a request has been taken: whether it is let in.
    #[inline]
    pub(super) fn admit(&self, place: &mut Place<T::Request>) -> Result<(), Turned> {
        let Some(job) = place else { return Ok(()) };
        job.parts().1.accept();
        self.worker.tell(Event::Accepted);
        if let Some(books) = &self.books {
            self.admit_by(books, job)?;
        }
        self.worker.verify(job)
    }

    fn admit_by(&self, books: &Books<T>, job: &mut Job<T::Request>) -> Result<(), Turned> {
        if let Some(limits) = &books.asked.limits {
            let (request, ticket) = job.parts();
            // Where the key panics, nobody knows the source.
            let mut admitted = Err(Refusal::Source);
            self.worker.quietly(|| admitted = limits.admit(&books.flight, ticket, request));
            admitted.map_err(Turned::Away)?;
        }
        if books.asked.drain.is_some() || books.asked.live.is_some() {
            self.worker.quietly(|| job.list());
        }
        Ok(())
    }

    /// Ends a request that is not let in.
    #[cold]
    pub(super) fn turn(&self, place: &mut Place<T::Request>, turned: Turned) {
        let limits = self.books.as_ref().and_then(|books| books.asked.limits.as_ref());
        match (turned, limits) {
            (Turned::Failed(fault), _) => {
                self.worker.failed(place, fault);
                self.settle(Outcome::Failed);
            }
            (Turned::Away(why), Some(limits)) if why != Refusal::Rejected => {
                self.worker.turn_away(place, why, |request| limits.turn_away(request));
                self.settle(Outcome::Refused);
            }
            (Turned::Away(why), _) => {
                self.worker.turn_away(place, why, Request::shutdown_request);
                self.settle(Outcome::Rejected);
            }
        }
    }

    /// Counts and tells what is no request's.
    pub(super) fn note(&self, event: Event) {
        if let Some(books) = &self.books {
            books.flight.counters.note(event);
        }
        self.worker.tell(event);
    }
}
