//! What the loop does about errors of getting requests, so that they neither end it nor make it
//! spin.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::reaction::Reaction;
use super::trouble::BACK_OFF;
use super::{Look, Session, after};
use crate::event::Event;
use crate::handler::Handler;
use crate::transport::Transport;

/// So many errors in a row that belong to one request each are no coincidence.
const ERRORS_IN_A_ROW: u32 = 64;
/// Nor are so many waits in a row that were over within `HASTE`, and for no request.
const HASTY_WAITS: u32 = 1000;
const HASTE: Duration = Duration::from_millis(1);
/// So many of them are made up for by one that lasted: on a busy machine, some of any that spins do.
const MADE_UP_FOR: u32 = 10;

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// There was this error instead of a request: what the look has come to, or nothing, where
    /// there is to be another.
    pub(super) fn without(&self, error: io::Error) -> io::Result<Option<Look>> {
        // Where it is over, the transport may have been let go of meanwhile.
        if self.is_over() {
            return Ok(Some(Look::End));
        }
        if Reaction::to(&error) == Reaction::Wait {
            self.nothing_there();
            return Ok(Some(self.idle()));
        }
        // After a pause the strategy has its turn: what it frees may be what is lacking.
        if self.react(error)? == Reaction::BackOff {
            self.ask_again.set(true);
            return Ok(Some(Look::Idle));
        }
        Ok(self.is_late().then_some(Look::End))
    }

    /// The queue is empty: the errors are over, but for those of waiting, and if a wait has just
    /// ended for no request, it may have been for a bell that a transport polls and does not silence.
    fn nothing_there(&self) {
        if !self.wait_failed.get() {
            self.trouble.clear();
        }
        if self.waited.take() {
            self.worker.control().hush(self.worker.session());
            if let Some(books) = &self.books {
                books.flight.pass_on();
            }
        } else if self.transport().is_level_triggered() {
            self.patience.in_vain();
        }
    }

    /// A source that is always ready and never has anything (a handler has shut the socket of its
    /// datagrams down, say) must not make the loop spin.
    pub(super) fn slow_down(&self, begun: Instant) -> io::Result<()> {
        let before = self.hasty.get();
        let hasty = if begun.elapsed() < HASTE {
            before.saturating_add(1)
        } else {
            before.saturating_sub(MADE_UP_FOR)
        };
        self.hasty.set(hasty);
        if hasty < HASTY_WAITS {
            return Ok(());
        }
        self.waiting(&[], after(BACK_OFF.0), |waiter| waiter.pause())
    }

    /// Does what an error asks for, and says what that was.
    pub(super) fn react(&self, error: io::Error) -> io::Result<Reaction> {
        // No error at all: a signal, or a transport that has passed over many of its own requests.
        if error.kind() == ErrorKind::Interrupted {
            return Ok(Reaction::Retry);
        }
        self.note(Event::AcceptFailed);
        let reaction = match Reaction::to(&error) {
            Reaction::Retry if self.trouble.count() >= ERRORS_IN_A_ROW => Reaction::BackOff,
            reaction => reaction,
        };
        match reaction {
            Reaction::BackOff if self.scope.once => return Err(error),
            Reaction::BackOff => self.pause_for(&error)?,
            Reaction::End => {
                self.end_for_all();
                return Err(error);
            }
            Reaction::Wait | Reaction::Retry => {}
        }
        Ok(reaction)
    }

    /// Others that pull from a transport that is at its end would wait for ever. There is nothing to
    /// announce, and nobody is in a hurry.
    pub(crate) fn end_for_all(&self) {
        if !self.scope.once {
            self.worker.control().conclude(self.worker.session());
        }
    }

    /// The same for a strategy that can take no request for now. Returns whether the session goes on.
    pub(crate) fn back_off(&self, error: &io::Error) -> io::Result<bool> {
        self.pause_for(error)?;
        Ok(!self.is_over())
    }

    /// There is this error, and a pause is needed: how long the next of them is. At the first, the
    /// handler is told.
    pub(crate) fn next_pause(&self, error: &io::Error) -> Duration {
        let pause = self.trouble.next_pause();
        if pause == BACK_OFF.0 && self.trouble.is_news() {
            self.worker.quietly(|| self.worker.handler().get_request_failed(error));
        }
        pause
    }

    /// What needed pauses is over.
    pub(crate) fn recovered(&self) {
        self.trouble.clear();
    }

    /// Waits for the next of the lengthening pauses, or for the stop.
    fn pause_for(&self, error: &io::Error) -> io::Result<()> {
        let until = Instant::now() + self.next_pause(error);
        if self.beside {
            self.rest.set(Some(until));
            return Ok(());
        }
        while !self.is_over() && Instant::now() < until {
            self.waiting(&[], Some(until), |waiter| waiter.pause())?;
        }
        Ok(())
    }
}
