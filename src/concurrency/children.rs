//! What the strategies with a process for each request share: the loop, the limit, and what a child
//! does and ends with.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::handler::Handler;
use crate::session::{Session, Taken};
use crate::transport::Transport;
use crate::worker::{Ending, Job, Worker};

/// How many children there may be at a time unless something else is said: Python's number.
pub(super) const MOST: usize = 40;

/// The children of a strategy, and where they come from.
pub(super) trait Children<T: Transport, H> {
    /// How many there may be at a time.
    fn most(&self) -> usize;

    /// How many have not been reaped.
    fn running(&self) -> usize;

    /// Reaps what can be had for a request's share of the work: called with each.
    fn reap_some(&mut self, session: &Session<T, H>) -> io::Result<()>;

    /// Reaps all that have ended.
    fn reap_all(&mut self, session: &Session<T, H>) -> io::Result<()>;

    /// What to wait for beside a request.
    fn ends(&mut self) -> Ends<'_>;

    /// Gives a request to a child of its own. An error is the end of the strategy: what goes wrong
    /// with one request, its handler has been told.
    fn start(&mut self, session: &Session<T, H>, job: Job<T::Request>) -> io::Result<()>;
}

/// What tells of children that end.
pub(super) struct Ends<'a> {
    pub(super) watch: Vec<BorrowedFd<'a>>,
    /// Where the descriptors do not tell of all.
    pub(super) look_after: Option<Duration>,
}

/// Serves until the session is over.
pub(super) fn serve<T, H>(
    children: &mut impl Children<T, H>,
    session: &Session<T, H>,
) -> io::Result<()>
where
    T: Transport,
    H: Handler<T::Request>,
{
    loop {
        if children.running() >= children.most() {
            if !wait_for_room(children, session)? {
                return Ok(());
            }
            continue;
        }
        let taken = match session.try_next() {
            Ok(taken) => taken,
            Err(error) => {
                // Where there is no descriptor for a request, children that have ended hold some.
                children.reap_all(session)?;
                return Err(error);
            }
        };
        match taken {
            Taken::Request(job) => {
                // Here, and not after the start: the child that has just begun has not ended.
                children.reap_some(session)?;
                children.start(session, job)?;
            }
            Taken::Idle => {
                children.reap_all(session)?;
                session.wait(&children.ends().watch)?;
            }
            Taken::End => return Ok(()),
        }
    }
}

/// Waits until a child ends; returns whether the session goes on.
fn wait_for_room<T, H>(
    children: &mut impl Children<T, H>,
    session: &Session<T, H>,
) -> io::Result<bool>
where
    T: Transport,
    H: Handler<T::Request>,
{
    children.reap_all(session)?;
    if children.running() < children.most() {
        return Ok(true);
    }
    let Ends { watch, look_after } = children.ends();
    session.pause(&watch, look_after)
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

/// What a child is for. Returns what it ends with.
pub(super) fn handle<R, H>(worker: &Worker<H>, job: Job<R>) -> i32
where
    R: crate::Request,
    H: Handler<R>,
{
    code_of(worker.finish_request(job))
}

/// What a child ends with that could not begin.
pub(super) const FAILED: i32 = 1;
/// What every Rust program ends with after a panic.
pub(super) const PANICKED: i32 = 101;

/// How a child tells its parent what became of its request.
fn code_of(ending: Ending) -> i32 {
    match ending {
        Ending::Finished => 0,
        Ending::Failed => FAILED,
        Ending::Panicked => PANICKED,
    }
}
