//! What the strategies with a process for each request share: the loop, the limit, what a child does
//! and ends with, and how all of them are brought to their end.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::drain::{Closing, Due};
use crate::failure::{self, FailureKind};
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::request::Request;
use crate::session::{Look, Session};
use crate::sys::{Exit, ForkRefused};
use crate::transport::Transport;
use crate::worker::{Ending, Job, Place, Worker, contain};

/// How many children there may be at a time unless something else is said: Python's number.
pub(super) const MOST: usize = 40;

/// How often children are looked after where the system has no descriptor for their end.
pub(super) const LOOK_AFTER: Duration = Duration::from_millis(10);

/// The children of a strategy, and where they come from.
pub(super) trait Children {
    /// How many there may be at a time.
    fn most(&self) -> usize;

    /// How many have not been reaped.
    fn running(&self) -> usize;

    /// Reaps all that have ended, and says how each did. An error is the end of the strategy.
    fn reap(&mut self, ended: impl FnMut(Ticket, Ending)) -> io::Result<()>;

    /// Reaps what can be had for a request's share of the work: called with each.
    fn reap_some(&mut self, ended: impl FnMut(Ticket, Ending)) -> io::Result<()>;

    /// What to wait for beside a request.
    fn ends(&mut self) -> Ends<'_>;

    /// Sends SIGTERM to the one that is meant, if it has not been reaped.
    fn cut(&mut self, is_meant: impl Fn(&Ticket) -> bool) -> io::Result<()>;

    /// Sends a signal to all.
    fn signal(&mut self, signal: Signal) -> io::Result<()>;
}

/// What tells of children that end.
pub(super) struct Ends<'a> {
    pub(super) watch: Vec<BorrowedFd<'a>>,
    /// Where the descriptors do not tell of all.
    pub(super) look_after: Option<Duration>,
}

/// Serves until the session is over. Of each request, `start` is to give what it is not done with
/// itself to a child, and to leave its place empty; an error of it is the end of the strategy: what
/// goes wrong with one request, its handler has been told.
pub(super) fn serve<T, H, C: Children>(
    children: &mut C,
    session: &Session<T, H>,
    mut start: impl FnMut(&mut C, &mut Place<T::Request>) -> io::Result<()>,
) -> io::Result<()>
where
    T: Transport,
    H: Handler<T::Request>,
{
    let ended = |ticket, ending| session.ended(ticket, ending);
    let mut place = None;
    loop {
        for id in session.cuts() {
            children.cut(|ticket| ticket.is_to_be_ended(id))?;
        }
        if children.running() >= children.most() {
            if !wait_for_room(children, session)? {
                return Ok(());
            }
            continue;
        }
        if session.is_full() {
            // What has ended is not to be the reason to turn a request away.
            children.reap(ended)?;
        }
        let look = match session.look(&mut place) {
            Ok(look) => look,
            Err(error) => {
                // Where there is no descriptor for a request, children that have ended hold some.
                children.reap(ended)?;
                return Err(error);
            }
        };
        match look {
            Look::Request => {
                // Here, and not after the start: the child that has just begun has not ended.
                children.reap_some(ended)?;
                start(children, &mut place)?;
            }
            Look::Idle => {
                children.reap(ended)?;
                let Ends { watch, look_after } = children.ends();
                // A permit may be a child's whose end nothing else tells of.
                if look_after.is_some() && session.is_shut() {
                    session.pause(&watch, look_after)?;
                } else {
                    session.wait(&watch)?;
                }
            }
            Look::End => return Ok(()),
        }
    }
}

/// Waits until a child ends; returns whether the session goes on.
fn wait_for_room<T, H>(children: &mut impl Children, session: &Session<T, H>) -> io::Result<bool>
where
    T: Transport,
    H: Handler<T::Request>,
{
    children.reap(|ticket, ending| session.ended(ticket, ending))?;
    if children.running() < children.most() {
        return Ok(true);
    }
    let Ends { watch, look_after } = children.ends();
    session.pause(&watch, look_after)
}

/// Waits for all; ends them by SIGTERM when that is due, and then by SIGKILL.
pub(super) fn close<R, H: Handler<R>>(
    children: &mut impl Children,
    closing: &Closing<H>,
) -> io::Result<()> {
    let all = children.running();
    let (mut due, mut cut) = (Due::Wait, 0);
    while children.running() > 0 {
        children.reap(|ticket, ending| closing.ended::<R>(ticket, ending))?;
        let running = children.running();
        if running == 0 {
            break;
        }
        if closing.due() > due {
            due = closing.due();
            if cut == 0 {
                cut = running;
            }
            children.signal(if due == Due::Cut { Signal::SIGTERM } else { Signal::SIGKILL })?;
        }
        let Ends { watch, look_after } = children.ends();
        let at = look_after.and_then(|time| Instant::now().checked_add(time));
        closing.wait_until(&watch, at)?;
    }
    closing.report(all - cut, cut, 0);
    Ok(())
}

/// Whether there was no fork because of the threads that there are.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ForkRefused>())
}

/// A process id as `std` has it.
pub(super) fn number(pid: Pid) -> u32 {
    pid.as_raw().unsigned_abs()
}

/// `max_children`, if it is a number that anything can be served with.
pub(super) fn at_least_one(most: usize) -> io::Result<usize> {
    if most == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "max_children of 0 would never handle a request; it has to be at least 1",
        ));
    }
    Ok(most)
}

/// What a child is for: the request in `place`, which `finish` brings to its end. Returns what the
/// child ends with.
#[inline]
pub(super) fn handle<R: Request, H: Handler<R>>(
    worker: &Worker<H>,
    place: &mut Place<R>,
    finish: impl FnOnce(&Worker<H>, &mut Place<R>) -> Option<(Ending, Ticket)>,
) -> i32 {
    // Before anything can panic.
    if let Some(job) = place {
        job.enter_child();
    }
    worker.handler().child_init();
    match finish(worker, place) {
        Some((Ending::Failed(kind), _)) => code_of(kind),
        _ => 0,
    }
}

/// The same of a request that `make` makes in the child.
pub(super) fn make_and_handle<R: Request, H: Handler<R>>(
    worker: &Worker<H>,
    make: impl FnOnce() -> io::Result<R>,
    finish: impl FnOnce(&Worker<H>, &mut Place<R>) -> Option<(Ending, Ticket)>,
) -> i32 {
    match contain(make) {
        Ok(Ok(request)) => handle(worker, &mut Some(Job::new(request, Ticket::default())), finish),
        Ok(Err(error)) => {
            failure::complain(format_args!("a request could not be unpacked: {error}"));
            FAILED
        }
        Err(_) => PANICKED,
    }
}

/// What a child ends with whose request failed by an error, or could not be made.
pub(super) const FAILED: i32 = 1;
const PEER_GONE: i32 = 3;
const TIMED_OUT: i32 = 4;
const HANDSHAKE: i32 = 5;
const DENIED: i32 = 6;
/// What Rust's own programs end with.
const PANICKED: i32 = 101;

/// The status that a child ends with whose request has failed.
#[cold]
fn code_of(kind: FailureKind) -> i32 {
    match kind {
        FailureKind::PeerGone => PEER_GONE,
        FailureKind::TimedOut => TIMED_OUT,
        FailureKind::Handshake => HANDSHAKE,
        FailureKind::Denied => DENIED,
        FailureKind::Panic => PANICKED,
        _ => FAILED,
    }
}

/// What the end of a child says.
pub(super) fn ending_of(exit: Exit) -> Ending {
    match exit {
        Exit::Code(0) => Ending::Finished,
        Exit::Code(PEER_GONE) => Ending::Failed(FailureKind::PeerGone),
        Exit::Code(TIMED_OUT) => Ending::Failed(FailureKind::TimedOut),
        Exit::Code(DENIED) => Ending::Failed(FailureKind::Denied),
        Exit::Code(HANDSHAKE) => Ending::Failed(FailureKind::Handshake),
        Exit::Code(PANICKED) => Ending::Failed(FailureKind::Panic),
        Exit::Code(_) => Ending::Failed(FailureKind::Error),
        Exit::Signal(_) | Exit::Unknown => Ending::Failed(FailureKind::Lost),
    }
}
