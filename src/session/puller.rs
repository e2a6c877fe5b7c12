//! Pulling from a session on other threads.

use std::fmt;
use std::sync::{Arc, Weak};

use super::trouble::Trouble;
use super::{Books, Scope, Session};
use crate::worker::Worker;

/// The way for other threads to pull from a session: [`Session::puller`].
///
/// It does not keep the transport open, so a thread may hold on to one while it handles a request.
/// Only the thread that serves calls [`service_actions`](crate::Handler::service_actions) by the
/// clock.
pub struct Puller<T, H> {
    transport: Weak<T>,
    worker: Worker<H>,
    books: Option<Arc<Books<T>>>,
    scope: Scope,
    trouble: Arc<Trouble>,
}

impl<T, H> Puller<T, H> {
    pub(super) fn new(session: &Session<T, H>) -> Self {
        Self {
            transport: Arc::downgrade(&session.transport),
            worker: session.worker.clone(),
            books: session.books.clone(),
            scope: session.scope,
            trouble: Arc::clone(&session.trouble),
        }
    }

    /// The session, for as long as the caller has something to pull; `None` where the server has
    /// closed its transport, or the session is for the one request of
    /// [`handle_request`](crate::Server::handle_request), which the thread that serves takes.
    #[must_use]
    pub fn session(&self) -> Option<Session<T, H>> {
        if self.scope.once {
            return None;
        }
        let scope = Scope { service_interval: None, ..self.scope };
        let (worker, books) = (self.worker.clone(), self.books.clone());
        let session = Session::new(self.transport.upgrade()?, worker, books, scope);
        Some(Session { trouble: Arc::clone(&self.trouble), ..session })
    }
}

impl<T, H> Clone for Puller<T, H> {
    fn clone(&self) -> Self {
        Self {
            transport: Weak::clone(&self.transport),
            worker: self.worker.clone(),
            books: self.books.clone(),
            scope: self.scope,
            trouble: Arc::clone(&self.trouble),
        }
    }
}

impl<T, H> fmt::Debug for Puller<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").field("scope", &self.scope).finish_non_exhaustive()
    }
}
