//! Where new connections come from: the session outside.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use super::table::LISTENER;
use crate::handler::Handler;
use crate::in_flight::Wanting;
use crate::session::{Session, Taken};
use crate::sys::{Interest, Selector};
use crate::transport::Transport;
use crate::worker::Job;

/// After so many requests of which none was looked for in vain, the next is looked for at once. A look
/// that finds nothing is dear, as accept(2) makes a socket before it looks; but so is the wait for
/// each of many.
const BUSY: u32 = 8;

/// The session outside, and what the selector tells of its listener.
pub(super) struct Entrance<T, H> {
    session: Session<T, H>,
    interest: Interest,
    over: bool,
    /// How many requests have been taken since the last look that found none.
    in_a_row: u32,
    /// While it is there, a permit that is given back rings.
    wanting: Option<Wanting>,
}

impl<T: Transport + AsFd, H: Handler<T::Request>> Entrance<T, H> {
    pub(super) fn new(session: Session<T, H>, selector: &Selector) -> io::Result<Self> {
        let interest = Interest::Readable;
        selector.add(session.transport(), interest, LISTENER)?;
        Ok(Self { session, interest, over: false, in_a_row: 0, wanting: None })
    }

    /// Takes a request if there is one.
    pub(super) fn take_next(
        &mut self,
        selector: &Selector,
        interest: Interest,
    ) -> io::Result<Option<Job<T::Request>>> {
        let taken = self.session.take_next();
        if self.interest == Interest::ReadableOnce {
            self.interest = Interest::None;
        }
        match taken? {
            Taken::Request(job) => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                if !self.is_busy() {
                    self.listen(selector, interest)?;
                }
                Ok(Some(job))
            }
            Taken::Idle => {
                self.in_a_row = 0;
                self.listen(selector, interest).map(|()| None)
            }
            Taken::End => {
                self.over = true;
                Ok(None)
            }
        }
    }

    /// Whether there is to be another look although nothing has told of a request.
    pub(super) fn is_busy(&self) -> bool {
        self.in_a_row >= BUSY
    }

    /// Whether no more requests are taken.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    fn listen(&mut self, selector: &Selector, interest: Interest) -> io::Result<()> {
        if self.interest != interest {
            selector.change(self.session.transport(), interest, LISTENER)?;
            self.interest = interest;
        }
        Ok(())
    }

    /// Before a wait: until when; and whether requests are waited for.
    pub(super) fn before_wait(
        &mut self,
        selector: &Selector,
        interest: Interest,
    ) -> io::Result<Option<Instant>> {
        let pending = self.session.before_wait();
        self.wanting = pending.wanting;
        self.listen(selector, if pending.shut { Interest::None } else { interest })?;
        Ok(pending.until)
    }

    /// After it, in which the bell was `heard`: whether no more requests are taken.
    pub(super) fn after_wait(&self, heard: bool) -> bool {
        self.session.after_wait(heard)
    }

    /// Has nothing more told of it.
    pub(super) fn close(self, selector: &Selector) {
        selector.remove(self.session.transport().as_fd().as_raw_fd());
        selector.remove(self.session.bell().as_raw_fd());
    }
}
