//! What of the library's `worker` the end of a server needs.

use std::sync::Arc;

use crate::control::Control;
use crate::failure::FailureKind;
use crate::handler::Handler;
use crate::in_flight::Ticket;

pub(crate) struct Worker<H> {
    pub(crate) control: Arc<Control>,
    pub(crate) session: u64,
    pub(crate) handler: H,
}

pub(crate) enum Ending {
    Finished,
    Failed(FailureKind),
}

impl<H> Worker<H> {
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn with<G>(&self, handler: G) -> Worker<G> {
        let Self { control, session, .. } = self;
        Worker { control: Arc::clone(control), session: *session, handler }
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    pub(crate) fn reaped<R>(&self, ticket: Ticket, _ending: Ending)
    where
        H: Handler<R>,
    {
        drop(ticket);
    }
}

/// As the library's: user's code that may panic, which a model's does not.
pub(crate) fn quietly(run: impl FnOnce()) -> bool {
    run();
    false
}
