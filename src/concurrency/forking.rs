//! A process for each request.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::process;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Concurrency;
use super::children::{self, Children, Ends, LOOK_AFTER, is_refusal, number};
use crate::drain::Closing;
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::session::Session;
use crate::sys::{self, AssumeForkSafe, Caught, Exit, Threads};
use crate::transport::{ForkRole, Transport};
use crate::worker::{self, Ending, Place, Worker};

/// So many children may wait to be reaped until there is time.
const UNREAPED: usize = 8;

/// Each request runs in a process of its own: Python's `ForkingMixIn`.
///
/// Use it from a process with one thread, and call [`serve_forever`](crate::Server::serve_forever)
/// on that. The number of threads is looked at before each fork; with more than one, the request
/// is closed and [`handle_error`](Handler::handle_error) gets a
/// [`ForkRefused`](crate::ForkRefused). It can be looked at on Linux only; elsewhere every request
/// is refused. A process with threads has [`ForkServer`](crate::ForkServer), or a
/// [promise](Self::assume_fork_safe) to make.
///
/// # What a child is
///
/// A copy of the process in which the handler's changes to memory stay. It handles its one request,
/// flushes `std::io::stdout`, and ends in `_exit(2)`, with a status that tells how:
///
/// | status | the request |
/// | --- | --- |
/// | 0 | was handled |
/// | 1 | failed by an error |
/// | 3 | failed because its peer was gone |
/// | 4 | failed by a timeout |
/// | 101 | panicked |
///
/// It never returns into the caller of `serve_forever`, runs no destructor of the parent's values
/// and no `atexit` function.
///
/// * Descriptors: it has let go of the listening sockets of all servers of the process, and of what
///   the server has for its other children. Sockets for datagrams it has, as it needs one for its
///   reply, and the wake-up, so that a stop from its handler reaches the server. Those of the
///   application are all there.
/// * Signals: those that the process handles when a session begins do in a child what they do by
///   default, so that a SIGTERM ends the child and a stop handler stops nothing. Ignored signals
///   stay ignored, the mask is the parent's, and the handlers of SIGSEGV and SIGBUS stay, which the
///   standard library has for stacks that overflow. A terminal sends its ^C to the children too.
/// * Random numbers: each child's new `HashMap`s have other seeds than its siblings'. All other
///   generators that the parent has seeded repeat in all children, unless
///   [`child_init`](Handler::child_init) seeds them anew.
/// * Locks: a handler must not touch `parking_lot` locks that threads of the parent have ever waited
///   for; with one thread there are none.
///
/// # Reaping
///
/// Only children of this server are waited for, each by its own process id, so a
/// `std::process::Child` keeps its status. They are reaped as soon as they end where the server has
/// nothing else to do (Linux 5.3: `pidfd_open(2)`). Under load the oldest is reaped with each
/// request, and now and then all that have ended: some are zombies for a while.
#[derive(Debug)]
#[doc(alias = "ForkingMixIn")]
pub struct Forking {
    max_children: usize,
    block_on_close: bool,
    children: VecDeque<Child>,
    /// The process whose children these are.
    owner: u32,
    /// With so many children, all are looked at, and not only the oldest.
    look_at_all: usize,
    threads: Threads,
    caught: Caught,
    /// The session that they were looked at for.
    looked: Option<u64>,
}

#[derive(Debug)]
struct Child {
    pid: Pid,
    ticket: Ticket,
    /// Readable when the child ends; opened when there is time to wait for it.
    end: Option<OwnedFd>,
}

impl Forking {
    /// At most 40 children at a time, waited for at close.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_children: children::MOST,
            block_on_close: true,
            // From the start, where it is likely to lie beside what the parent writes anyway: the
            // first write to a page after a fork is a copy of the page.
            children: VecDeque::with_capacity(2 * UNREAPED),
            owner: process::id(),
            look_at_all: UNREAPED,
            threads: Threads::LikelyOne,
            caught: Caught::default(),
            looked: None,
        }
    }

    /// How many children there may be at a time. While there are as many, no request is taken;
    /// they wait in the kernel's queue, and a stop is heard as always.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn max_children(mut self, most: usize) -> io::Result<Self> {
        self.max_children = children::at_least_one(most)?;
        Ok(self)
    }

    /// Whether closing the server waits for the children; it does by default. Otherwise they go
    /// on, and are zombies from their end to that of this process.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// Forks without a look at the number of threads, by a promise that only `unsafe` code can
    /// make; see [`AssumeForkSafe`].
    #[must_use]
    pub fn assume_fork_safe(mut self, promise: AssumeForkSafe) -> Self {
        self.threads = Threads::Assumed(promise);
        self
    }

    /// The process ids of the children that have not been reaped: Python's `active_children`.
    pub fn active_children(&self) -> impl Iterator<Item = u32> + '_ {
        self.children.iter().map(|child| number(child.pid))
    }

    /// Before it serves: looks at the signals once for each session.
    pub(super) fn begin<T, H>(&mut self, session: &Session<T, H>) {
        self.disown();
        let number = session.worker().session();
        if self.looked != Some(number) {
            (self.looked, self.caught) = (Some(number), Caught::now());
        }
    }

    /// Gives the request in `place` to a child that runs `body`. Where there is an error, the request
    /// is still there.
    #[inline]
    pub(super) fn start<T: Transport, H: Handler<T::Request>>(
        &mut self,
        session: &Session<T, H>,
        place: &mut Place<T::Request>,
        body: impl FnOnce(&Worker<H>, &mut Place<T::Request>) -> i32,
    ) -> io::Result<()> {
        let (threads, caught) = (self.threads, self.caught);
        let started = session.fork(threads, caught, |worker, child| {
            self.leave_siblings();
            worker.quietly(|| session.transport().after_fork(child));
            body(worker, place)
        });
        self.learn(&started);
        let pid = started?;
        // The connection is the child's now: it must not be shut down here.
        let ticket = worker::hand_over(place, Some(number(pid)));
        self.children.push_back(Child { pid, ticket, end: None });
        Ok(())
    }

    /// Forgets the children of a process that the application has forked this one from: here, they
    /// can't be waited for, and their numbers may come to be those of others.
    fn disown(&mut self) {
        let own = process::id();
        if mem::replace(&mut self.owner, own) != own {
            self.children.clear();
        }
    }

    /// A refused fork makes it likely that the next is refused too.
    fn learn(&mut self, started: &io::Result<Pid>) {
        if !matches!(self.threads, Threads::Assumed(_)) {
            let refused = started.as_ref().is_err_and(is_refusal);
            self.threads = if refused { Threads::LikelyMore } else { Threads::LikelyOne };
        }
    }

    /// In a child: its siblings' ends are not its to see, and their tickets are its parent's. These
    /// stay where they are, as nothing is dropped at the end of a child.
    fn leave_siblings(&mut self) {
        // What is not written is not copied.
        for child in self.children.iter_mut().filter(|child| child.end.is_some()) {
            child.end = None;
        }
    }
}

impl Default for Forking {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Forking {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.begin(session);
        children::serve(self, session, |forking, place| {
            let started = forking.start(session, place, |worker, place| {
                children::handle(worker, place, Worker::finish_unheard)
            });
            if let Err(error) = started {
                session.refuse_in(place, error);
            }
            Ok(())
        })
    }

    fn prepare(&mut self, session: &Session<T, H>) -> io::Result<()> {
        session.transport().check_fork(ForkRole::Handles)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.disown();
        if !self.block_on_close {
            closing.report(0, 0, self.children.len());
            return Ok(());
        }
        children::close::<T::Request, H>(self, closing)
    }
}

impl Children for Forking {
    fn most(&self) -> usize {
        self.max_children
    }

    fn running(&self) -> usize {
        self.children.len()
    }

    /// Reaps the oldest child if it has ended, and where many are left, as many as have. So a
    /// steady load costs one call a request. Behind one that lasts, the others are looked at
    /// whenever there are twice as many as the last time.
    fn reap_some(&mut self, mut ended: impl FnMut(Ticket, Ending)) -> io::Result<()> {
        while let Some(ending) = self.children.front().and_then(Child::ending) {
            if let Some(child) = self.children.pop_front() {
                ended(child.ticket, ending);
            }
            if self.children.len() <= UNREAPED {
                return Ok(());
            }
        }
        if self.children.len() > self.look_at_all {
            self.reap(ended)?;
            self.look_at_all = UNREAPED.max(2 * self.children.len());
        }
        Ok(())
    }

    fn reap(&mut self, mut ended: impl FnMut(Ticket, Ending)) -> io::Result<()> {
        self.children.retain_mut(|child| match child.ending() {
            None => true,
            Some(ending) => {
                ended(mem::take(&mut child.ticket), ending);
                false
            }
        });
        Ok(())
    }

    fn ends(&mut self) -> Ends<'_> {
        for child in &mut self.children {
            // Without it, the child is reaped when the next request comes.
            child.end = child.end.take().or_else(|| sys::watch_process(child.pid).ok());
        }
        let watch: Vec<_> =
            self.children.iter().filter_map(|child| child.end.as_ref().map(AsFd::as_fd)).collect();
        // A child whose end no descriptor tells of is looked after from time to time.
        let look_after = (watch.len() < self.children.len()).then_some(LOOK_AFTER);
        Ends { watch, look_after }
    }

    fn cut(&mut self, is_meant: impl Fn(&Ticket) -> bool) -> io::Result<()> {
        if let Some(child) = self.children.iter().find(|child| is_meant(&child.ticket)) {
            let _ = kill(child.pid, Signal::SIGTERM);
        }
        Ok(())
    }

    /// Their numbers are theirs until they are reaped.
    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        for child in &self.children {
            // One that somebody else has waited for is not there.
            let _ = kill(child.pid, signal);
        }
        Ok(())
    }
}

impl Child {
    /// How the child has ended, if it has; it is reaped then.
    fn ending(&self) -> Option<Ending> {
        match sys::reap(Some(self.pid), false) {
            Ok(ended) => ended.map(|(_, exit)| children::ending_of(exit)),
            // One that can't be waited for is none.
            Err(_) => Some(children::ending_of(Exit::Unknown)),
        }
    }
}
