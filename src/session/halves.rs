//! Requests whose first half is done on the thread that serves, and whose second may be another
//! process's.

use std::io;

use super::{Outcome, Session};
use crate::failure::Stage;
use crate::handler::{Begun, Handler, InHalves};
use crate::in_flight::Ticket;
use crate::request::Request;
use crate::transport::Transport;
use crate::worker::{Ending, Fault, Place, Worker, step};

impl<T: Transport, H: InHalves<T::Request>> Session<T, H> {
    /// Begins the request in `place`; what is to be done in a child, which gets it from there. Where
    /// that is nothing, it has been brought to its end, and the place is empty.
    pub(crate) fn begin_in(&self, place: &mut Place<T::Request>) -> Option<H::Rest> {
        let begun = {
            let (request, ticket) = place.as_mut()?.parts();
            let _here = ticket.here();
            begin(&self.worker, request)
        };
        let ended = match begun {
            Ok(Some(rest)) => return Some(rest),
            Ok(None) => Ok(()),
            Err(fault) => Err(fault),
        };
        self.end_in(place, |_| ended);
        None
    }
}

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// Ends a request that has been begun, and for whose second half there is no child.
    pub(crate) fn refuse_second_half(&self, place: &mut Place<T::Request>, error: io::Error) {
        let fault = Fault::new(Stage::Start, error);
        self.end_in(place, |request| self.worker.conclude(request, Err(fault)));
    }

    fn end_in(
        &self,
        place: &mut Place<T::Request>,
        run: impl FnOnce(&mut T::Request) -> Result<(), Fault>,
    ) {
        if let Some((ending, ticket)) = self.worker.end_unheard(place, run) {
            self.worker.ended(ticket, ending);
            self.settle_by(ending);
        }
    }

    /// Notes how a request has ended here.
    #[inline]
    pub(super) fn settle_by(&self, ending: Ending) -> Ending {
        if ending != Ending::Finished {
            self.settle(Outcome::Failed);
        }
        ending
    }
}

/// All up to the second half; after the last exchange without one, all that is left.
fn begin<R: Request, H: InHalves<R>>(
    worker: &Worker<H>,
    request: &mut R,
) -> Result<Option<H::Rest>, Fault> {
    step(Stage::Establish, || request.establish())?;
    worker.set_up(request)?;
    let handled = step(Stage::Handle, || {
        loop {
            let known = worker.is_stopping();
            match worker.handler().begin(request)? {
                Begun::InChild(rest) => return Ok(Some(rest)),
                Begun::Here(next) if worker.goes_on(request, next, known)? => {}
                Begun::Here(_) => return Ok(None),
            }
        }
    });
    if let Ok(Some(_)) = handled {
        return handled;
    }
    worker.conclude(request, handled.map(drop)).map(|()| None)
}

/// In the child: the second half, and whatever exchanges the connection has after it.
pub(crate) fn finish_in_child<R: Request, H: InHalves<R>>(
    worker: &Worker<H>,
    place: &mut Place<R>,
    rest: H::Rest,
) -> Option<(Ending, Ticket)> {
    worker.end_unheard(place, |request| {
        let handled = step(Stage::Handle, || {
            let mut known = worker.is_stopping();
            let mut next = worker.handler().finish_in_child(request, rest)?;
            while worker.goes_on(request, next, known)? {
                known = worker.is_stopping();
                next = worker.handler().both_halves(request)?;
            }
            Ok(())
        });
        worker.conclude(request, handled)
    })
}
