//! What waits to be taken, and what goes wrong when it is.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::Waiter;

/// The errors of `get_request` that a test has asked for, by its number.
pub(super) type Failures = BTreeMap<u64, io::Error>;

#[derive(Debug)]
pub(super) struct Queue<M> {
    state: Mutex<State<M>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<M> {
    waiting: VecDeque<M>,
    most: usize,
    /// How often something has been taken, or would have been.
    taken: u64,
    failures: Failures,
    /// How often those who wait have been told to look for something else.
    wakes: u64,
    closed: bool,
}

impl<M> Queue<M> {
    pub(super) fn new(most: usize, failures: Failures) -> Self {
        let (waiting, taken, wakes, closed) = (VecDeque::new(), 0, 0, false);
        let state = State { waiting, most, taken, failures, wakes, closed };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn push(&self, message: M) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if state.waiting.len() >= state.most {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.waiting.push_back(message);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes the first, where it is not to be an error. One that says `ConnectionAborted` takes it
    /// along, as accept(2) does; another leaves it where it is.
    pub(super) fn take(&self) -> io::Result<M> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.taken += 1;
        let number = state.taken;
        match state.failures.remove(&number) {
            Some(error) => {
                let lost = (error.kind() == ErrorKind::ConnectionAborted)
                    .then(|| state.waiting.pop_front());
                drop(state);
                drop(lost);
                Err(error)
            }
            None => state.waiting.pop_front().ok_or_else(|| ErrorKind::WouldBlock.into()),
        }
    }

    /// Waits until something is there, or the waiter has another reason to look.
    pub(super) fn wait(self: &Arc<Self>, waiter: &Waiter<'_>)
    where
        M: Send + 'static,
    {
        let seen = self.state.lock().wakes;
        let queue = Arc::clone(self);
        waiter.interruptible(move || queue.wake(), || self.doze(seen, waiter.deadline()));
    }

    /// Waits for the first, and takes it.
    pub(super) fn take_in_time(&self, until: Option<Instant>) -> io::Result<M> {
        let seen = self.state.lock().wakes;
        self.doze(seen, until);
        self.take()
    }

    fn doze(&self, seen: u64, until: Option<Instant>) {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && state.wakes == seen {
            match until {
                None => self.changed.wait(&mut state),
                Some(until) if self.changed.wait_until(&mut state, until).timed_out() => return,
                Some(_) => {}
            }
        }
    }

    fn wake(&self) {
        self.state.lock().wakes += 1;
        self.changed.notify_all();
    }

    /// Nothing can be put here any more. What has waited in vain.
    pub(super) fn close(&self) -> VecDeque<M> {
        let mut state = self.state.lock();
        state.closed = true;
        mem::take(&mut state.waiting)
    }
}
