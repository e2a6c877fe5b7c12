//! A session that several processes serve, each a worker that was forked for it.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nix::unistd::Pid;

use super::Session;
use crate::control::Waiter;
use crate::counters::Counters;
use crate::drain::Closing;
use crate::handler::Handler;
use crate::live::Board;
use crate::sys::{self, Caught, ForkedChild, Queue, Threads};
use crate::transport::Transport;

/// What a process has of a session, where others take requests of the same transport.
pub(crate) struct Share {
    take: Box<dyn Fn() + Send + Sync>,
    /// Its place among those that wait. Where there can be none, all are woken for each request.
    queue: Option<Queue>,
}

impl Share {
    /// `take` is called once for each request that the session, or one who pulls from it, has taken.
    pub(crate) fn new(bell: BorrowedFd<'_>, take: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { take: Box::new(take), queue: Queue::new(bell).ok() })
    }

    #[inline]
    pub(super) fn take(&self) {
        (self.take)();
    }
}

impl<T, H> Session<T, H> {
    /// The place of this process among those that wait.
    pub(super) fn queue(&self) -> Option<&Queue> {
        self.share.as_ref()?.queue.as_ref()
    }

    /// The same for a child that is to serve in its own right: it keeps the listening sockets, and
    /// its stops are its parent's too.
    pub(crate) fn fork_worker(
        &self,
        body: impl FnOnce(&ForkedChild<'_>) -> i32,
    ) -> io::Result<Pid> {
        let (control, caught) = (self.worker.control(), Caught::now());
        sys::fork(control.bell(), Threads::LikelyOne, caught, |child| {
            caught.leave_to_parent();
            control.supervise();
            body(child)
        })
    }

    /// The same session as a process sees it that serves for the one it was forked from: with books
    /// of its own, in which only the counters are shared.
    pub(crate) fn in_worker(&self, counters: Option<Counters>, share: Arc<Share>) -> Self {
        let (transport, worker) = (self.transport.clone(), self.worker.clone());
        let books = self.books.as_ref().zip(counters);
        let books = books.map(|(books, counters)| Arc::new(books.in_worker(counters)));
        if let Some(books) = &books {
            books.flight.begin(worker.session());
        }
        Self { share: Some(share), ..Self::new(transport, worker, books, self.scope) }
    }

    /// What the server counts with, if it counts.
    pub(crate) fn counters(&self) -> Option<&Counters> {
        self.books.as_ref().map(|books| &books.flight.counters)
    }

    /// The numbers of requests whose children somebody wants to be ended.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = u64> {
        let steered = self.books.as_ref().filter(|books| books.asked.live.is_some());
        steered.into_iter().flat_map(|books| books.flight.control.take_cuts())
    }

    /// How often something has been changed that those who serve may wait for.
    pub(crate) fn changes(&self) -> u64 {
        let board = self.books.as_ref().and_then(|books| books.flight.permits.board());
        board.map_or(0, Board::changes)
    }

    /// What comes after the session, for a process that was forked to serve it.
    pub(crate) fn closing(&self) -> Closing<H> {
        let flight = self.books.as_ref().map(|books| Arc::clone(&books.flight));
        let drain = self.books.as_ref().and_then(|books| books.asked.drain);
        Closing::new(self.worker.of_session(self.worker.control().number()), flight, drain)
    }
}

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// Whether it is not over.
    pub(crate) fn goes_on(&self) -> bool {
        !self.is_over()
    }

    /// What the transport waits at, where it is one of this crate's: its socket; or those of all, and
    /// what stands for them.
    fn sources(&self) -> Vec<RawFd> {
        let (sources, now) = (Mutex::default(), Some(Instant::now()));
        let waiter = Waiter::new(self.worker.control(), self.worker.session(), &[], now);
        self.worker.quietly(|| drop(self.transport().wait(&waiter.noting(&sources))));
        sources.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one socket that it waits at.
    pub(crate) fn source(&self) -> Option<RawFd> {
        <[RawFd; 1]>::try_from(self.sources()).ok().map(|[source]| source)
    }

    /// Those that listen.
    pub(crate) fn listeners(&self) -> Vec<RawFd> {
        let mut sources = self.sources();
        sources.retain(|fd| sys::is_listener(*fd));
        sources
    }
}
