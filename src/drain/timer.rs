//! The end of requests that run on the thread that serves, and keep it from seeing to their end
//! itself.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use super::stages::Stages;
use super::{Drain, Due};
use crate::in_flight::InFlight;
use crate::sys::{self, Bell};

/// A thread that waits for the stop, and then does what a [`Drain`] says, until this is dropped.
pub(crate) struct Timer {
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

/// Woken by each stop, and by the end.
struct Wake {
    bell: Bell,
    done: AtomicBool,
}

impl Timer {
    pub(crate) fn start(flight: &Arc<InFlight>, number: u64, drain: Drain) -> io::Result<Self> {
        let wake = Arc::new(Wake { bell: Bell::new()?, done: AtomicBool::new(false) });
        let run = {
            let (flight, wake) = (Arc::clone(flight), Arc::clone(&wake));
            move || {
                let ring = Arc::clone(&wake);
                let ring = move || ring.bell.ring();
                flight.control.waking(ring, |_| see_to_the_end(&flight, number, drain, &wake));
            }
        };
        let thread = thread::Builder::new().name("drain".into()).spawn(run)?;
        Ok(Self { wake, thread: Some(thread) })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.wake.done.store(true, SeqCst);
        self.wake.bell.ring();
        if let Some(thread) = self.thread.take() {
            // It runs nobody's code, and does not panic.
            let _ = thread.join();
        }
    }
}

fn see_to_the_end(flight: &Arc<InFlight>, number: u64, drain: Drain, wake: &Wake) {
    let control = &flight.control;
    while !control.is_stopping(number) {
        if !wake.wait(None) {
            return;
        }
    }
    let announced = flight.stop(number).checked_add(drain.announced());
    while !control.has_ended(number) {
        if announced.is_some_and(|until| until <= Instant::now()) {
            control.conclude(number);
        } else if !wake.wait(announced) {
            return;
        }
    }
    let stages = Stages::new(drain);
    flight.connections.cut_idle();
    while stages.due(control.is_hurried()) == Due::Wait {
        if !wake.wait(stages.next()) {
            return;
        }
    }
    flight.connections.cut_all();
}

impl Wake {
    /// Returns whether it goes on.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut bell = [PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        // Without memory for a poll of one descriptor, the end is not seen to.
        let waited = sys::poll(&mut bell, until);
        self.bell.drain();
        waited.is_ok() && !self.done.load(SeqCst)
    }
}
