//! Deadlines around a handler.

use std::io;

use super::{Handler, Next};
use crate::failure::Failure;
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

    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.handler.handle(request)
    }

    fn finish(&self, request: &mut R) -> io::Result<()> {
        self.handler.finish(request)
    }

    fn verify_request(&self, request: &R) -> io::Result<bool> {
        self.handler.verify_request(request)
    }

    fn handle_error(&self, request: &mut R, failure: &Failure) {
        self.handler.handle_error(request, failure);
    }

    fn handle_timeout(&self) {
        self.handler.handle_timeout();
    }

    fn service_actions(&self) {
        self.handler.service_actions();
    }

    fn get_request_failed(&self, error: &io::Error) {
        self.handler.get_request_failed(error);
    }
}
