//! A connection on its way through the stages, which it may leave and come back to.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use super::places::Token;
use crate::failure::Stage;
use crate::handler::Handler;
use crate::request::{Behind, Progress, RequestTooLong, Room, Selectable};
use crate::sys::{self, Interest, Selector};
use crate::worker::{Ending, Fault, Job, Place, Worker, step};

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
    behind: Behind,
    /// A read has said that this is the end.
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
    /// Whether its second stage has had to wait.
    Opening {
        waited: bool,
    },
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
        Self { place: Some(job), state: State::new(), registered: None }
    }

    /// For those who care for its place alone.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self { place: None, state: State::new(), registered: None }
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.registered.map(|(token, ..)| token)
    }

    /// When the wait for its peer has to end.
    pub(super) fn until<H: Handler<R>>(&mut self, worker: &Worker<H>) -> Option<Instant> {
        let request = self.place.as_mut()?.parts().0;
        let mut until = None;
        worker.quietly(|| until = request.until());
        until
    }

    fn connection<H: Handler<R>>(&self, worker: &Worker<H>) -> Option<BorrowedFd<'_>> {
        let job = self.place.as_ref()?;
        let mut connection = None;
        worker.quietly(|| connection = job.connection());
        connection
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
                At::Opening { waited } => self.state.open(worker, request, room, waited),
                At::Exchanges if exchanges == EXCHANGES => return Outcome::Again,
                At::Exchanges => {
                    exchanges += 1;
                    self.state.exchange(worker, request, room)
                }
                At::Delivery => self.state.deliver(worker, request, room),
                At::End(ending) => self.state.end(worker, request, room, ending),
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
    pub(super) fn register<H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        selector: &Selector,
        enter: impl FnOnce() -> Token,
    ) -> io::Result<Token> {
        let wanted = if self.state.sending { Interest::ComingAndGoing } else { Interest::Coming };
        let registered = match self.registered {
            // There is no need to be told less.
            Some((token, _, Interest::ComingAndGoing)) => return Ok(token),
            Some((token, _, interest)) if interest == wanted => return Ok(token),
            registered => registered,
        };
        let Some(connection) = self.connection(worker) else {
            return Err(unable_to_wait());
        };
        let token = registered.map_or_else(enter, |(token, ..)| token);
        let told = match registered {
            None => selector.add(connection, wanted, token.number()),
            Some(_) => selector.change(connection, wanted, token.number()),
        };
        self.registered = Some((token, connection.as_raw_fd(), wanted));
        told.map(|()| token)
    }

    /// Ends it where it can't wait, or not be worked at.
    pub(super) fn give_up<H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        selector: &Selector,
        room: &mut Room,
        fault: Fault,
    ) {
        let Some(job) = &mut self.place else { return };
        let (request, state) = (job.parts().0, &mut self.state);
        match state.at {
            At::Opening { .. } | At::Delivery => _ = state.failed(worker, request, fault),
            At::Exchanges => _ = state.conclude(worker, request, Err(fault)),
            At::End(_) => {}
        }
        if let At::End(ending) = state.at {
            // What its end has to say without waiting.
            let _ = state.end(worker, request, room, ending);
            self.leave(worker, selector, ending);
        }
    }

    /// Waits for its peer where it is: nobody comes back to the table. Whether it can. One that has
    /// not known that the server leaves has something else to do.
    pub(super) fn wait_here<H: Handler<R>>(&mut self, worker: &Worker<H>) -> bool {
        if !mem::replace(&mut self.state.leaving, true) {
            return true;
        }
        let until = self.until(worker);
        let Some(connection) = self.connection(worker) else { return false };
        let flags = if self.state.sending { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        // Where this fails, the next look says why.
        let _ = sys::poll(&mut [PollFd::new(connection, flags)], until);
        self.state.stir(Behind::Nothing);
        true
    }

    fn leave<H: Handler<R>>(&mut self, worker: &Worker<H>, selector: &Selector, ending: Ending) {
        if let Some((_, fd, _)) = self.registered {
            // It has been given up to somebody who keeps it open.
            if self.connection(worker).is_none() {
                selector.remove(fd);
            }
        }
        // What there was to be said to the peer has been.
        let ticket = worker.leave(&mut self.place, |_| ());
        worker.ended(ticket, ending);
    }
}

impl State {
    fn new() -> Self {
        Self {
            at: At::Opening { waited: false },
            wanted: 0,
            stirred: true,
            behind: Behind::Nothing,
            ended: false,
            sending: false,
            begun: false,
            leaving: false,
        }
    }

    /// Something has happened.
    pub(super) fn stir(&mut self, behind: Behind) {
        self.stirred = true;
        self.behind = self.behind.max(behind);
    }

    /// What there is to be done without waiting, and what is waited for afterwards.
    fn look<R: Selectable>(
        &mut self,
        request: &mut R,
        room: &mut Room,
        stage: Stage,
    ) -> Result<Progress, Fault> {
        (room.stirred, room.behind) = (self.stirred && !self.ended, self.behind);
        let progress = step(stage, || request.advance(room));
        self.sending = matches!(progress, Ok(Progress::Sending));
        self.ended |= matches!(progress, Ok(Progress::Ended));
        self.stirred = room.stirred;
        progress
    }

    fn open<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        room: &mut Room,
        waited: bool,
    ) -> Step {
        let established = self.establish(request, room, waited);
        // What that has said leaves, and from now on there may be reads that wait.
        let said = self.leave_word(request, room);
        match (established, said) {
            (Some(Err(fault)), _) | (_, Err(fault)) => self.failed(worker, request, fault),
            (None, Ok(())) => Step::Wait,
            (Some(Ok(())), Ok(())) => match worker.set_up(request) {
                Ok(()) => self.go(At::Exchanges),
                Err(fault) => self.failed(worker, request, fault),
            },
        }
    }

    /// The request's second stage; none, where it has to wait for the peer.
    fn establish<R: Selectable>(
        &mut self,
        request: &mut R,
        room: &mut Room,
        waited: bool,
    ) -> Option<Result<(), Fault>> {
        // Nothing is read before the second stage, but what that waits for.
        let stirred = !waited && mem::take(&mut self.stirred);
        room.opening = true;
        let looked = self.look(request, room, Stage::Establish);
        self.stirred |= stirred;
        match looked {
            Ok(Progress::Sending) => return None,
            Ok(Progress::Receiving | Progress::Ended) => {}
            Err(fault) => return Some(Err(fault)),
        }
        let established = step(Stage::Establish, || request.establish());
        if established.as_ref().is_err_and(Fault::is_early) {
            self.at = At::Opening { waited: true };
            return None;
        }
        Some(established)
    }

    fn leave_word<R: Selectable>(&mut self, request: &mut R, room: &mut Room) -> Result<(), Fault> {
        (room.stirred, room.opening) = (false, false);
        let progress = step(Stage::Establish, || request.advance(room))?;
        self.sending = progress == Progress::Sending;
        Ok(())
    }

    fn exchange<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        room: &mut Room,
    ) -> Step {
        match self.look(request, room, Stage::Deliver) {
            Ok(Progress::Sending) => return Step::Wait,
            Ok(Progress::Receiving | Progress::Ended) => {}
            Err(fault) => return self.conclude(worker, request, Err(fault)),
        }
        match self.missing(worker, request, room) {
            Ok(0) => {}
            // It is idle, and there is not going to be another exchange.
            Ok(_) if self.leaving && self.begun && has_no_input(worker, request) => {
                return self.conclude(worker, request, Ok(()));
            }
            Ok(_) => return Step::Wait,
            Err(fault) => return self.conclude(worker, request, Err(fault)),
        }
        (self.wanted, self.begun) = (0, true);
        match worker.exchange(request) {
            Ok(true) => {
                // A timeout is no end for good, and another read says so where it was.
                if self.ended && has_no_input(worker, request) {
                    (self.ended, self.stirred) = (false, true);
                }
                Step::On
            }
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
        if self.ended {
            return Ok(0);
        }
        let (there, missing) = step(Stage::Handle, || {
            let input = request.input();
            // It has been asked, and answered.
            let known = self.wanted.saturating_sub(input.len());
            let missing = if known > 0 { known } else { worker.handler().missing(input) };
            Ok((input.len(), missing))
        })?;
        self.wanted = there.saturating_add(missing);
        if missing > 0 && self.wanted > room.input {
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
        // Nobody reads any more.
        self.stirred = false;
        match self.look(request, room, Stage::Deliver) {
            Ok(Progress::Sending) => Step::Wait,
            Ok(Progress::Receiving | Progress::Ended) => {
                self.shut_down(worker, request, Ending::Finished)
            }
            Err(fault) => self.failed(worker, request, fault),
        }
    }

    fn end<R: Selectable, H: Handler<R>>(
        &mut self,
        worker: &Worker<H>,
        request: &mut R,
        room: &mut Room,
        ending: Ending,
    ) -> Step {
        room.stirred = true;
        // There is nobody left who could be told of an error; a panic is told of.
        let mut progress = Progress::Ended;
        worker.quietly(|| progress = request.advance(room).unwrap_or(Progress::Ended));
        self.sending = progress == Progress::Sending;
        if progress == Progress::Ended { Step::Over(ending) } else { Step::Wait }
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

pub(super) fn unable_to_wait() -> io::Error {
    io::Error::other("a request without a connection can't wait in a table")
}

fn has_no_input<R: Selectable, H: Handler<R>>(worker: &Worker<H>, request: &R) -> bool {
    let mut empty = true;
    worker.quietly(|| empty = request.input().is_empty());
    empty
}
