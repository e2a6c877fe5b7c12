//! Pulling from a session on other threads.

use std::fmt;
use std::sync::{Arc, Weak};

use super::trouble::Trouble;
use super::{Limits, Session};
use crate::worker::Worker;

/// The way for other threads to pull from a session: [`Session::puller`].
///
/// It does not keep the transport open, so a thread may hold on to one while it handles a request.
/// Only the thread that serves calls [`service_actions`](crate::Handler::service_actions) by the
/// clock.
pub struct Puller<T, H> {
    transport: Weak<T>,
    worker: Worker<H>,
    limits: Limits,
    trouble: Arc<Trouble>,
}

impl<T, H> Puller<T, H> {
    pub(super) fn new(session: &Session<T, H>) -> Self {
        Self {
            transport: Arc::downgrade(&session.transport),
            worker: session.worker.clone(),
            limits: session.limits,
            trouble: Arc::clone(&session.trouble),
        }
    }

    /// The session, for as long as the caller has something to pull; `None` where the server has
    /// closed its transport, or the session is for the one request of
    /// [`handle_request`](crate::Server::handle_request), which the thread that serves takes.
    #[must_use]
    pub fn session(&self) -> Option<Session<T, H>> {
        if self.limits.once {
            return None;
        }
        let limits = Limits { service_interval: None, ..self.limits };
        let session = Session::new(self.transport.upgrade()?, self.worker.clone(), limits);
        Some(Session { trouble: Arc::clone(&self.trouble), ..session })
    }
}

impl<T, H> Clone for Puller<T, H> {
    fn clone(&self) -> Self {
        Self {
            transport: Weak::clone(&self.transport),
            worker: self.worker.clone(),
            limits: self.limits,
            trouble: Arc::clone(&self.trouble),
        }
    }
}

impl<T, H> fmt::Debug for Puller<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").field("limits", &self.limits).finish_non_exhaustive()
    }
}
