//! Pulling from a session on other threads.

use std::fmt;
use std::sync::{Arc, Weak};

use super::trouble::Trouble;
use super::{Books, Quota, Scope, Session};
use crate::sys::{Turn, Turns};
use crate::worker::Worker;

/// The way for other threads to pull from a session: [`Session::puller`].
///
/// It does not keep the transport open, so a thread may hold on to one while it handles a request.
/// Of the threads that wait for a request one is woken for each where the system can do so (epoll(7)
/// of Linux), and the transport waits with [`Waiter::readable`](crate::Waiter::readable).
/// Only the thread that serves calls [`service_actions`](crate::Handler::service_actions) by the
/// clock.
pub struct Puller<T, H> {
    transport: Weak<T>,
    worker: Worker<H>,
    books: Option<Arc<Books<T>>>,
    scope: Scope,
    trouble: Arc<Trouble>,
    turns: Option<Arc<Turns>>,
    quota: Option<Arc<Quota>>,
}

impl<T, H> Puller<T, H> {
    pub(super) fn new(session: &Session<T, H>) -> Self {
        Self {
            transport: session.transport.as_ref().map_or_else(Weak::new, Arc::downgrade),
            worker: session.worker.clone(),
            books: session.books.clone(),
            scope: session.scope,
            trouble: Arc::clone(&session.trouble),
            turns: session.turns(),
            quota: session.quota.clone(),
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
        let turn = self.turns.as_ref().map(Turn::new);
        let (trouble, quota) = (Arc::clone(&self.trouble), self.quota.clone());
        Some(Session { trouble, turn, quota, ..session })
    }
}

/// For a thread that pulls for long, and must not keep the transport open while it handles a
/// request.
impl<T, H> Session<T, H> {
    /// Has pullers wait in turns. Where they can't, all that wait are woken for each request.
    fn turns(&self) -> Option<Arc<Turns>> {
        let turns = self.turns.get_or_init(|| {
            let turns = Turns::new(self.worker.control().bell()).ok()?;
            Some(Arc::new(turns))
        });
        turns.clone()
    }

    /// Does without the transport from now on.
    pub(crate) fn let_go(&mut self) {
        self.transport = None;
    }

    /// Has the transport again, where the server has not closed it.
    pub(crate) fn hold(&mut self, puller: &Puller<T, H>) -> bool {
        self.transport = puller.transport.upgrade();
        self.transport.is_some()
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
            turns: self.turns.clone(),
            quota: self.quota.clone(),
        }
    }
}

impl<T, H> fmt::Debug for Puller<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").field("scope", &self.scope).finish_non_exhaustive()
    }
}
