//! What stands between a request and the handler: limits, a stop that is announced, and
//! `verify_request`. Where nothing of it is asked for, nothing of it is done.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::{Outcome, Session};
use crate::admission::Entry;
use crate::drain::Timer;
use crate::event::{Event, Refusal};
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::request::Request;
use crate::transport::Transport;
use crate::worker::{Job, Rejected};

/// What a session remembers of its entrance.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// No request may be taken; whether until a certain time, and since when.
    shut: Cell<Option<Shut>>,
    /// Until when requests are taken although the server has been asked to stop.
    pub(super) announced: Cell<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Shut {
    since: Instant,
    until: Option<Instant>,
}

/// What a request that has not been taken yet may expect.
pub(super) enum Pass {
    In(Ticket),
    Away(Ticket, Refusal),
}

impl<T, H> Session<T, H> {
    /// Whether the announcement of a stop is over, or there is none.
    pub(super) fn is_announced(&self) -> bool {
        let (control, number) = (self.worker.control(), self.worker.session());
        if let Some(books) = &self.books {
            books.flight.stop();
        }
        if control.has_ended(number) {
            return true;
        }
        let now = Instant::now();
        let until = self.entrance.announced.get().or_else(|| {
            let drain = self.books.as_ref().and_then(|books| books.asked.drain).unwrap_or_default();
            now.checked_add(drain.announced())
        });
        self.entrance.announced.set(until);
        let over = until.is_some_and(|until| until <= now);
        if over {
            control.announced(number);
        }
        over
    }

    /// Has the end of requests on this thread seen to, where there is to be one.
    pub(super) fn set_timer(&self) {
        let Some(books) = &self.books else { return };
        self.timer.get_or_init(|| {
            let drain = books.asked.drain?;
            // Without a thread for it, a stop waits for the request, as without a drain.
            Timer::start(&books.flight, self.worker.session(), drain).ok()
        });
    }
}

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// Before a request is taken: what it is given for the way, or nothing, where none may be
    /// taken.
    #[inline]
    pub(super) fn enter(&self) -> Option<Pass> {
        match &self.books {
            None => Some(Pass::In(Ticket::default())),
            Some(_) => self.enter_by_the_books(),
        }
    }

    fn enter_by_the_books(&self) -> Option<Pass> {
        let books = self.books.as_ref()?;
        let shut = self.entrance.shut.get();
        let entry = match &books.asked.limits {
            None => Entry::Open(Ticket::new(&books.flight)),
            Some(limits) => limits.enter(&books.flight, shut.map(|shut| shut.since)),
        };
        let (pass, shut) = match entry {
            Entry::Open(ticket) => (Some(Pass::In(ticket)), None),
            Entry::Refuse(ticket, why) => (Some(Pass::Away(ticket, why)), shut),
            Entry::Shut(until) => {
                let since = shut.map_or_else(Instant::now, |shut| shut.since);
                (None, Some(Shut { since, until }))
            }
        };
        self.entrance.shut.set(shut);
        pass
    }

    /// Waits for a permit, where that is what is lacking; returns whether it was.
    pub(super) fn wait_to_enter(&self, watch: &[BorrowedFd<'_>]) -> io::Result<bool> {
        let (Some(books), Some(shut)) = (&self.books, self.entrance.shut.get()) else {
            return Ok(false);
        };
        let permits = &books.flight.permits;
        if let Some(_wanted) = permits.want() {
            self.waiting(watch, shut.until, |waiter| waiter.pause())?;
        } else if let Some(until) = shut.until {
            // There are permits, but no token for a while.
            self.waiting(watch, Some(until), |waiter| waiter.pause())?;
        }
        if permits.is_wanted() {
            self.worker.control().ring();
        }
        Ok(true)
    }

    /// When a request has been taken: the job, where it is let in.
    pub(super) fn admit(&self, request: T::Request, pass: Pass) -> Option<Job<T::Request>> {
        let (ticket, refused) = match pass {
            Pass::In(ticket) => (ticket, None),
            Pass::Away(ticket, why) => (ticket, Some(why)),
        };
        self.worker.tell(Event::Accepted);
        let (request, ticket) = match &self.books {
            None => (request, ticket),
            Some(_) => self.admit_by_the_books(request, ticket, refused)?,
        };
        match self.worker.verify(request, ticket) {
            Ok(job) => return Some(job),
            Err(Rejected::ByHandler) => self.settle(Outcome::Rejected),
            Err(Rejected::ByFailure) => self.settle(Outcome::Failed),
        }
        None
    }

    fn admit_by_the_books(
        &self,
        mut request: T::Request,
        mut ticket: Ticket,
        refused: Option<Refusal>,
    ) -> Option<(T::Request, Ticket)> {
        let books = self.books.as_ref()?;
        ticket.accept();
        if let Some(limits) = &books.asked.limits {
            let mut admitted = refused.map_or(Ok(()), Err);
            if admitted.is_ok() {
                // Where the key panics, nobody knows the source.
                admitted = Err(Refusal::Source);
                self.worker.quietly(|| admitted = limits.admit(&mut ticket, &request));
            }
            if let Err(why) = admitted {
                self.worker.turned_away(ticket, why, || limits.turn_away(request));
                self.settle(Outcome::Refused);
                return None;
            }
        }
        if books.asked.drain.is_some() {
            let activity = request.connection().and_then(|connection| ticket.enter(connection));
            if let Some(activity) = activity {
                request.watch(&activity);
            }
        }
        Some((request, ticket))
    }

    /// Counts and tells what is no request's.
    pub(super) fn note(&self, event: Event) {
        if let Some(books) = &self.books {
            books.flight.counters.note(event);
        }
        self.worker.tell(event);
    }
}
