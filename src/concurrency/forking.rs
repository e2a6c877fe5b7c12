//! A process for each request.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Concurrency;
use crate::drain::Closing;
use crate::failure::FailureKind;
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::session::{Session, Taken};
use crate::sys::{self, ForkRefused};
use crate::transport::Transport;
use crate::worker::{Ending, Job};

/// So many children may wait to be reaped until there is time.
const UNREAPED: usize = 8;
/// How often children are looked after where the system has no descriptor for their end.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// Each request runs in a process of its own: Python's `ForkingMixIn`.
///
/// Use it from a process with one thread, and call [`serve_forever`](crate::Server::serve_forever)
/// on that. The number of threads is looked at before each fork; with more than one, the request
/// is closed and [`handle_error`](Handler::handle_error) gets a
/// [`ForkRefused`]. It can be looked at on Linux only; elsewhere every request
/// is refused.
///
/// # What a child is
///
/// A copy of the process in which the handler's changes to memory stay. Over streams it has let go
/// of the listening socket (over datagrams it needs the socket for its reply); it handles its one
/// request, flushes `std::io::stdout`, and ends in `_exit(2)`: with the status 0 where the request
/// was handled, 1 where it failed, 101 where it panicked. It never returns into the caller of
/// `serve_forever`, runs no destructor of the parent's values and no `atexit` function. Random
/// number generators that the parent has seeded repeat in all children, those of `HashMap`
/// included. A child has the parent's signal handlers too, and a stop that it posts is the
/// server's: where the program stops on SIGTERM, a SIGTERM to a child stops the server, unless the
/// handler's `setup` resets the signal. A handler must not touch `parking_lot` locks that threads
/// of the parent have ever waited for; with one thread there are none.
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
    /// With so many children, all are looked at, and not only the oldest.
    look_at_all: usize,
    /// The last fork was refused, as the next is likely to be.
    refused: bool,
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
            max_children: 40,
            block_on_close: true,
            children: VecDeque::new(),
            look_at_all: UNREAPED,
            refused: false,
        }
    }

    /// How many children there may be at a time. While there are as many, no request is taken;
    /// they wait in the kernel's queue, and a stop is heard as always.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn max_children(mut self, most: usize) -> io::Result<Self> {
        if most == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "max_children of 0 would never handle a request; it has to be at least 1",
            ));
        }
        self.max_children = most;
        Ok(self)
    }

    /// Whether closing the server waits for the children; it does by default. Otherwise they go
    /// on, and are zombies from their end to that of this process.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// The process ids of the children that have not been reaped: Python's `active_children`.
    pub fn active_children(&self) -> impl Iterator<Item = u32> + '_ {
        self.children.iter().map(|child| child.pid.as_raw().unsigned_abs())
    }

    fn start<T: Transport, H: Handler<T::Request>>(
        &mut self,
        session: &Session<T, H>,
        job: Job<T::Request>,
    ) {
        let mut job = Some(job);
        let worker = session.worker().in_child();
        let started = session.fork(!self.refused, |child| {
            worker.quietly(|| session.transport().after_fork(child));
            worker.handler().child_init();
            match job.take().map(|job| worker.finish_request(job)) {
                Some(ending) => code_of(ending),
                None => 0,
            }
        });
        self.refused = started.as_ref().is_err_and(is_refusal);
        match (started, job) {
            (Ok(pid), Some(job)) => {
                // The connection is the child's now: it must not be shut down here.
                let ticket = job.hand_over();
                self.children.push_back(Child { pid, ticket, end: None });
            }
            (Err(error), Some(job)) => session.refuse_request(job, error),
            // Only a child takes the job out, and it does not come here.
            (_, None) => {}
        }
    }

    /// Waits until a child ends; returns whether the session goes on.
    fn wait_for_room<T: Transport, H: Handler<T::Request>>(
        &mut self,
        session: &Session<T, H>,
    ) -> io::Result<bool> {
        self.reap_all(session);
        if self.children.len() < self.max_children {
            return Ok(true);
        }
        let all = self.children.len();
        let ends = self.ends();
        // A child whose end no descriptor tells of is looked after from time to time.
        let at_most = (ends.len() < all).then_some(LOOK_AFTER);
        session.pause(&ends, at_most)
    }

    /// Reaps the oldest child if it has ended, and where many are left, as many as have. So a
    /// steady load costs one call a request. Behind one that lasts, the others are looked at
    /// whenever there are twice as many as the last time.
    fn reap_oldest<T: Transport, H: Handler<T::Request>>(&mut self, session: &Session<T, H>) {
        while let Some(ending) = self.children.front().and_then(Child::ending) {
            if let Some(child) = self.children.pop_front() {
                session.ended(child.ticket, ending);
            }
            if self.children.len() <= UNREAPED {
                return;
            }
        }
        if self.children.len() > self.look_at_all {
            self.reap_all(session);
            self.look_at_all = UNREAPED.max(2 * self.children.len());
        }
    }

    fn reap_all<T: Transport, H: Handler<T::Request>>(&mut self, session: &Session<T, H>) {
        self.reap(|ticket, ending| session.ended(ticket, ending));
    }

    /// Reaps all that have ended.
    fn reap(&mut self, mut ended: impl FnMut(Ticket, Ending)) {
        self.children.retain_mut(|child| match child.ending() {
            None => true,
            Some(ending) => {
                ended(mem::take(&mut child.ticket), ending);
                false
            }
        });
    }

    /// What to wait for beside a request: the ends of the children.
    fn ends(&mut self) -> Vec<BorrowedFd<'_>> {
        for child in &mut self.children {
            // Without it, the child is reaped when the next request comes.
            child.end = child.end.take().or_else(|| sys::watch_child(child.pid).ok());
        }
        self.children.iter().filter_map(|child| child.end.as_ref().map(AsFd::as_fd)).collect()
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ForkRefused>())
}

impl Default for Forking {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Forking {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        loop {
            if self.children.len() >= self.max_children {
                if !self.wait_for_room(session)? {
                    return Ok(());
                }
                continue;
            }
            // Where there is no descriptor for a request, the children that have ended hold some.
            match session.try_next().inspect_err(|_| self.reap_all(session))? {
                Taken::Request(job) => {
                    // Here, and not after the fork: the child that has just begun has not ended.
                    self.reap_oldest(session);
                    self.start(session, job);
                }
                Taken::Idle => {
                    self.reap_all(session);
                    session.wait(&self.ends())?;
                }
                Taken::End => return Ok(()),
            }
        }
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        if !self.block_on_close {
            closing.report(0, 0, self.children.len());
            return Ok(());
        }
        closing.report(self.children.len(), 0, 0);
        while let Some(child) = self.children.pop_front() {
            let ending = child.wait()?;
            closing.ended(child.ticket, ending);
        }
        Ok(())
    }
}

impl Child {
    /// How the child has ended, if it has; it is reaped then.
    fn ending(&self) -> Option<Ending> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => None,
            other => Some(ending_of(other)),
        }
    }

    fn wait(&self) -> io::Result<Ending> {
        loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                other => return Ok(ending_of(other)),
            }
        }
    }
}

/// What the status of a child says. One that somebody else has waited for (ECHILD), and one whose
/// signal nix does not know (EINVAL), have ended too.
fn ending_of(status: nix::Result<WaitStatus>) -> Ending {
    match status {
        Ok(WaitStatus::Exited(_, 0)) => Ending::Finished,
        Ok(WaitStatus::Exited(_, PEER_GONE)) => Ending::Failed(FailureKind::PeerGone),
        Ok(WaitStatus::Exited(_, TIMED_OUT)) => Ending::Failed(FailureKind::TimedOut),
        Ok(WaitStatus::Exited(_, PANICKED)) => Ending::Failed(FailureKind::Panic),
        Ok(WaitStatus::Exited(_, _)) => Ending::Failed(FailureKind::Error),
        _ => Ending::Failed(FailureKind::Lost),
    }
}

const PEER_GONE: i32 = 3;
const TIMED_OUT: i32 = 4;
/// What Rust's own programs end with.
const PANICKED: i32 = 101;

/// The status that a child ends with.
fn code_of(ending: Ending) -> i32 {
    match ending {
        Ending::Finished => 0,
        Ending::Failed(FailureKind::PeerGone) => PEER_GONE,
        Ending::Failed(FailureKind::TimedOut) => TIMED_OUT,
        Ending::Failed(FailureKind::Panic) => PANICKED,
        Ending::Failed(_) => 1,
    }
}
