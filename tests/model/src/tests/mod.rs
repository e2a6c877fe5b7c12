//! The tests, and the session's part in them.

mod closing;
mod connections;
mod permits;
mod stop;
mod timer;
mod wakers;
mod wakeup;

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use platform::Builder;

use crate::control::{Control, StopHandle, Waiter};
use crate::counters::Counters;
use crate::in_flight::{InFlight, Permits};

/// Runs `story` in every order of its threads' steps in which a thread that could have gone on is
/// interrupted at most three times in all. How often threads wait for each other is not limited.
fn model(story: impl Fn() + Send + Sync + 'static) {
    within(3, story);
}

/// The same within another bound. `LOOM_MAX_PREEMPTIONS` takes the place of both.
fn within(preemptions: usize, story: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(story);
}

/// A server's control, and a handle made before anything else.
fn control() -> (Arc<Control>, StopHandle) {
    let control = Arc::new(Control::new().unwrap());
    let stop = StopHandle::new(Arc::clone(&control));
    (control, stop)
}

/// The books of a server with so many permits.
fn flight(control: &Arc<Control>, most: usize) -> Arc<InFlight> {
    let counters = Counters::new().unwrap();
    Arc::new(InFlight::new(Arc::clone(control), counters, Permits::new(most)))
}

/// One wait of session `number`, for the wake-up alone.
fn pause(control: &Control, number: u64) {
    Waiter::new(control, number, &[], None).pause().unwrap();
}

/// Serves until the session that has begun is over, as somebody to whom no requests come.
fn serve(control: &Control, number: u64) {
    while !control.has_ended(number) {
        pause(control, number);
    }
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) {
    threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
}
