//! Taking requests beside other work: for a strategy that waits for more than requests, and must not
//! wait here.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use super::{Session, Taken};
use crate::handler::Handler;
use crate::in_flight::Wanting;
use crate::transport::Transport;

/// What a wait for the next request is like.
pub(crate) struct Pending {
    /// When the clock has to be minded, or a request may be got again.
    pub(crate) until: Option<Instant>,
    /// Why none may be got before, where none may.
    pub(crate) shut: bool,
    /// While this is there, the bell rings for a permit.
    pub(crate) wanting: Option<Wanting>,
}

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// The same session for one who never waits in it.
    pub(crate) fn beside(&self) -> Option<Self> {
        let (worker, books) = (self.worker.clone(), self.books.clone());
        let transport = Some(Arc::clone(self.transport.as_ref()?));
        let session = Self::new(transport, worker, books, self.scope);
        Some(Self { trouble: Arc::clone(&self.trouble), beside: true, ..session })
    }

    /// The wake-up: of a stop, or of a permit that is wanted.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.worker.control().bell()
    }

    /// Has the end of requests seen to, which nobody here waits for.
    pub(crate) fn attend_to_the_end(&self) {
        self.set_timer();
    }

    /// As [`try_next`](Self::try_next), when there may be one.
    pub(crate) fn take_next(&self) -> io::Result<Taken<T::Request>> {
        if !self.is_over() && self.rest.get().is_some_and(|until| until > Instant::now()) {
            return Ok(Taken::Idle);
        }
        self.rest.set(None);
        self.ask_again.set(false);
        self.waited.set(true);
        self.try_next()
    }

    /// Before a wait elsewhere.
    pub(crate) fn before_wait(&self) -> Pending {
        self.service_taken();
        let now = Instant::now();
        // What has passed is no reason any more.
        let to_come = |at: &Instant| *at > now;
        let shut = self.entrance.shut_until().filter(|at| at.as_ref().is_none_or(to_come));
        let rest = self.rest.get().filter(to_come);
        let wanting = match (&self.books, shut) {
            (Some(books), Some(_)) => books.flight.want(),
            _ => None,
        };
        let reasons = [self.next_service.get(), self.entrance.announced.get(), rest];
        let until = reasons.into_iter().flatten().chain(shut.flatten()).min();
        let shut = wanting.is_some() || shut.flatten().is_some() || rest.is_some();
        Pending { until, shut, wanting }
    }

    /// After it, in which the bell was `heard`: whether the session is over.
    pub(crate) fn after_wait(&self, heard: bool) -> bool {
        if heard {
            self.worker.control().hush(self.worker.session());
        }
        if let Some(books) = &self.books {
            books.flight.pass_on();
        }
        self.service_by_clock();
        self.is_over()
    }
}
