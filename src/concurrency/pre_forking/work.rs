//! The life of a worker process.

use std::io;
use std::sync::Arc;

use nix::unistd::Pid;

use super::super::Concurrency;
use super::super::children::FAILED;
use super::sheet::{LEAVE, Sheet};
use super::workers::Workers;
use crate::ForkedChild;
use crate::counters::Counters;
use crate::handler::Handler;
use crate::session::{Session, Share};
use crate::sys;
use crate::transport::Transport;

/// What a worker is given for its life.
pub(super) struct Outfit {
    pub(super) sheet: Arc<Sheet>,
    pub(super) counters: Option<Counters>,
    pub(super) workers: Workers,
    /// How many requests it takes before it is due to be replaced.
    pub(super) limit: u64,
    pub(super) supervisor: Pid,
}

/// Serves, until it is told to end. Returns what the process ends with.
pub(super) fn run<T, H, C>(
    strategy: &mut C,
    session: &Session<T, H>,
    child: &ForkedChild<'_>,
    outfit: Outfit,
) -> i32
where
    T: Transport,
    H: Handler<T::Request>,
    C: Concurrency<T, H>,
{
    let sheet = Arc::clone(&outfit.sheet);
    let served = serve(strategy, session, child, outfit);
    if let Err(error) = &served {
        sheet.report_error(error);
    }
    if served.is_ok() { 0 } else { FAILED }
}

fn serve<T, H, C>(
    strategy: &mut C,
    session: &Session<T, H>,
    child: &ForkedChild<'_>,
    outfit: Outfit,
) -> io::Result<()>
where
    T: Transport,
    H: Handler<T::Request>,
    C: Concurrency<T, H>,
{
    let Outfit { sheet, counters, workers, limit, supervisor } = outfit;
    let worker = session.worker();
    let control = worker.shared_control();
    // First: what it does to a session from here on is done to its own, and not to its supervisor's.
    let number = control.begin()?;
    let (orders, hears) = (Arc::clone(&sheet), Arc::clone(&control));
    // Whoever connects when the worker is to end is not to wait for what it still has to do.
    let let_go = child.letting_go(session.listeners());
    let heed = move || {
        if !sys::is_child_of(supervisor) {
            // It has said that the end is near, and will never say that it is there.
            orders.order(LEAVE);
        }
        orders.heed(&hears, number);
        if orders.leaves() {
            let_go();
        }
    };
    if !sys::hear_terminations(supervisor, heed.clone()) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    // Whoever was told before that could not hear it.
    if sheet.is_told() {
        heed();
    }
    if let Some(counters) = &counters {
        counters.assign();
    }
    worker.handler().child_init();
    let (counted, bell) = (Arc::clone(&sheet), workers.clone());
    let share = Share::new(control.bell(), move || {
        if counted.take() == limit {
            bell.ring();
        }
    });
    let session = session.in_worker(counters, share);
    strategy.prepare(&session)?;
    sheet.report_ready();
    workers.ring();
    let served = strategy.serve(&session);
    control.end(number);
    control.close();
    worker.quietly(|| session.transport().after_fork(child));
    let closing = session.closing();
    let closed = strategy.close(&closing);
    sheet.report(&closing.end());
    served.and(closed)
}
