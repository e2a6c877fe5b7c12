//! A connection on its way through the stages, which it may leave and come back to.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use super::places::Token;
use crate::failure::Stage;
use crate::handler::Handler;
use crate::request::{Progress, RequestTooLong, Room, Selectable};
use crate::sys::{self, Interest, Selector};
use crate::worker::{Ending, Fault, Job, Place, Worker};

/// So many exchanges follow each other before others have their turn.
const EXCHANGES: u32 = 32;

pub(super) struct Conn<R> {
    place: Place<R>,
    pub(super) state: State,
    /// Where it waits, and what the selector tells of it.
    registered: Option<(Token, RawFd, Interest)>,
}

/// What is known of it.
pub(super) struct State {
    at: At,
    /// How many bytes of input there have to be before the handler is asked again.
    wanted: usize,
    /// Something may have come.
    stirred: bool,
    /// The peer has ended its side, which a read has yet to say.
    ends: bool,
    /// A read has said so.
    ended: bool,
    /// It waits for the peer to take something.
    sending: bool,
    /// The handler has had an exchange.
    begun: bool,
    /// It knows that the server takes no more requests.
    pub(super) leaving: bool,
}

/// Where it is.
#[derive(Clone, Copy)]
enum At {
    Opening,
    Exchanges,
    Delivery,
    End(Ending),
}

/// What a visit has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It waits for its peer.
    Waits,
    /// It could go on, and others have their turn before.
    Again,
    /// It is gone.
    Over,
}

/// What one step has come to.
enum Step {
    On,
    Wait,
    Over(Ending),
}

impl<R: Selectable> Conn<R> {
    pub(super) fn new(job: Job<R>) -> Self {
        let state = State {
            at: At::Opening,
            wanted: 0,
            stirred: true,
            ends: false,
            ended: false,
            sending: false,
            begun: false,
            leaving: false,
        };
        Self { place: Some(job), state, registered: None }
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.registered.map(|(token, ..)| token)
    }

    /// When the wait for its peer has to end.
    pub(super) fn until(&mut self) -> Option<Instant> {
        self.place.as_mut()?.parts().0.until()
    }

    /// Goes as far as there is no need to wait.
    pub(super) fn advance<H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        room: &mut Room,
        selector: &Selector,
    ) -> Outcome {
        let mut exchanges = 0;
        loop {
            let Some(job) = &mut self.place else { return Outcome::Over };
            let (request, ticket) = job.parts();
            let here = ticket.here();
            let step = match self.state.at {
                At::Opening => self.state.open(worker, request, room),
                At::Exchanges if exchanges == EXCHANGES => return Outcome::Again,
                At::Exchanges => {
                    exchanges += 1;
                    self.state.exchange(worker, request, room)
                }
                At::Delivery => self.state.deliver(worker, request, room),
                At::End(ending) => self.state.end(request, room, ending),
            };
            drop(here);
            match step {
                Step::On => {}
                Step::Wait => return Outcome::Waits,
                Step::Over(ending) => {
                    self.leave(worker, selector, ending);
                    return Outcome::Over;
                }
            }
        }
    }

    /// Has the selector tell of it; where it has no place yet, in the one that `enter` gives.
    pub(super) fn register(
        &mut self,
        selector: &Selector,
        enter: impl FnOnce() -> Token,
    ) -> io::Result<()> {
        let Some(connection) = self.place.as_ref().and_then(|job| job.connection()) else {
            return Err(io::Error::other("a request without a connection can't wait in a table"));
        };
        let wanted = if self.state.sending { Interest::ComingAndGoing } else { Interest::Coming };
        match &mut self.registered {
            None => {
                let token = enter();
                self.registered = Some((token, connection.as_raw_fd(), wanted));
                selector.add(connection, wanted, token.number())
            }
            // There is no need to be told less.
            Some((_, _, interest)) if *interest == wanted || !self.state.sending => Ok(()),
            Some((token, _, interest)) => {
                *interest = wanted;
                selector.change(connection, wanted, token.number())
            }
        }
    }

    /// Ends it where it can't wait.
    pub(super) fn give_up<H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        selector: &Selector,
        error: io::Error,
    ) {
        let Some(job) = &mut self.place else { return };
        let fault = Fault::new(Stage::Handle, error);
        let request = job.parts().0;
        let failed = match self.state.at {
            At::Opening | At::Delivery => Err(fault),
            At::Exchanges => worker.conclude(request, Err(fault)),
            At::End(ending) => return self.leave(worker, selector, ending),
        };
        let ending = failed.map_or_else(|fault| worker.fail(request, fault), |()| Ending::Finished);
        worker.quietly(|| request.shutdown_request());
        self.leave(worker, selector, ending);
    }

    /// Waits for its peer where it is: nobody comes back to the table.
    pub(super) fn wait_here(&mut self) {
        let until = self.until();
        let Some(connection) = self.place.as_ref().and_then(|job| job.connection()) else { return };
        let flags = if self.state.sending { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        // Where this fails, the next look says why.
        let _ = sys::poll(&mut [PollFd::new(connection, flags)], until);
        self.state.stir(false);
        self.state.leaving = true;
    }

    fn leave<H: Handler<R>>(&mut self, worker: &Worker<H>, selector: &Selector, ending: Ending) {
        let given_up = self.place.as_ref().is_some_and(|job| job.connection().is_none());
        if let (true, Some((_, fd, _))) = (given_up, self.registered) {
            selector.remove(fd);
        }
        // What there was to be said to the peer has been.
        let ticket = worker.leave(&mut self.place, |_| ());
        worker.ended(ticket, ending);
    }
}

impl State {
    /// Something has happened.
    pub(super) fn stir(&mut self, ends: bool) {
        self.stirred = true;
        self.ends |= ends;
    }

    /// What there is to be done without waiting, and what is waited for afterwards.
    fn look<R: Selectable>(&mut self, request: &mut R, room: &mut Room) -> io::Result<Progress> {
        // Until a read has said that this is the end, there may be more.
        room.stirred = (self.stirred || self.ends) && !self.ended;
        let progress = request.advance(room);
        self.sending = matches!(progress, Ok(Progress::Sending));
        self.stirred = room.stirred;
        progress
    }

    fn open<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        room: &mut Room,
    ) -> Step {
        match self.look(request, room) {
            Ok(progress) => self.ended |= progress == Progress::Ended,
            Err(error) => {
                return self.failed(worker, request, Fault::new(Stage::Establish, error));
            }
        }
        match worker.open(request) {
            Ok(()) => self.go(At::Exchanges),
            Err(fault) if fault.is_early() => {
                // It may have said something that the peer does not take at once.
                room.stirred = false;
                self.sending = matches!(request.advance(room), Ok(Progress::Sending));
                Step::Wait
            }
            Err(fault) => self.failed(worker, request, fault),
        }
    }

    fn exchange<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        room: &mut Room,
    ) -> Step {
        match self.look(request, room) {
            Ok(Progress::Sending) => return Step::Wait,
            Ok(Progress::Receiving) => {}
            Ok(Progress::Ended) => self.ended = true,
            Err(error) => {
                let fault = Fault::new(Stage::Deliver, error);
                return self.conclude(worker, request, Err(fault));
            }
        }
        match self.missing(worker, request, room) {
            Ok(0) => {}
            // It is idle, and there is not going to be another exchange.
            Ok(_) if self.leaving && self.begun && request.input().is_empty() => {
                return self.conclude(worker, request, Ok(()));
            }
            Ok(_) => return Step::Wait,
            Err(fault) => return self.conclude(worker, request, Err(fault)),
        }
        (self.wanted, self.begun) = (0, true);
        match worker.exchange(request) {
            Ok(true) => Step::On,
            Ok(false) => self.conclude(worker, request, Ok(())),
            Err(fault) => self.conclude(worker, request, Err(fault)),
        }
    }

    /// How many bytes are missing from a whole request.
    fn missing<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &R,
        room: &Room,
    ) -> Result<usize, Fault> {
        let there = request.input().len();
        if self.ended {
            return Ok(0);
        }
        if there < self.wanted {
            return Ok(self.wanted - there);
        }
        let missing = worker.missing(request.input())?;
        self.wanted = there.saturating_add(missing);
        if missing > 0 && there >= room.input {
            let too_long = RequestTooLong { max: room.input };
            return Err(Fault::new(Stage::Handle, too_long.into()));
        }
        Ok(missing)
    }

    fn deliver<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        room: &mut Room,
    ) -> Step {
        room.stirred = false;
        let progress = request.advance(room);
        self.sending = matches!(progress, Ok(Progress::Sending));
        match progress {
            Ok(Progress::Sending) => Step::Wait,
            Ok(Progress::Receiving | Progress::Ended) => {
                self.shut_down(worker, request, Ending::Finished)
            }
            Err(error) => self.failed(worker, request, Fault::new(Stage::Deliver, error)),
        }
    }

    fn end<R: Selectable>(&mut self, request: &mut R, room: &mut Room, ending: Ending) -> Step {
        room.stirred = true;
        let progress = request.advance(room);
        self.sending = matches!(progress, Ok(Progress::Sending));
        match progress {
            Ok(Progress::Sending | Progress::Receiving) => Step::Wait,
            Ok(Progress::Ended) | Err(_) => Step::Over(ending),
        }
    }

    /// After the last exchange.
    fn conclude<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        handled: Result<(), Fault>,
    ) -> Step {
        match worker.conclude(request, handled) {
            Ok(()) => self.go(At::Delivery),
            Err(fault) => self.failed(worker, request, fault),
        }
    }

    fn failed<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        fault: Fault,
    ) -> Step {
        let ending = worker.fail(request, fault);
        self.shut_down(worker, request, ending)
    }

    fn shut_down<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        ending: Ending,
    ) -> Step {
        worker.quietly(|| request.shutdown_request());
        self.go(At::End(ending))
    }

    fn go(&mut self, at: At) -> Step {
        self.at = at;
        Step::On
    }
}
