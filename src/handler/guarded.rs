//! Deadlines around a handler.

use std::io;

use super::Handler;
use crate::request::{Connection, Deadlines};

/// A handler whose connections are held to [`Deadlines`]; made by [`Deadlines::guard`].
///
/// Everything else is the handler's own: each hook is passed on.
#[derive(Debug, Clone, Copy)]
pub struct Guarded<H> {
    deadlines: Deadlines,
    handler: H,
}

impl<H> Guarded<H> {
    pub(crate) fn new(deadlines: Deadlines, handler: H) -> Self {
        Self { deadlines, handler }
    }

    /// The handler inside.
    pub fn get_ref(&self) -> &H {
        &self.handler
    }
}

impl<R: Connection, H: Handler<R>> Handler<R> for Guarded<H> {
    fn setup(&self, request: &mut R) -> io::Result<()> {
        request.set_deadlines(self.deadlines)?;
        self.handler.setup(request)
    }

    crate::forward_hooks!(R, self => self.handler;
        handle missing finish verify_request handle_error handle_timeout service_actions
        get_request_failed event panicked child_init);
}

super::forward_halves!(Guarded<H>, self => self.handler;);
