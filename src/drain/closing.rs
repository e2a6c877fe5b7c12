//! The end of a server as its strategy sees it.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use super::stages::{Due, Stages};
use super::{Drain, Report};
use crate::control::Waiter;
use crate::handler::Handler;
use crate::in_flight::{InFlight, Ticket};
use crate::worker::{Ending, Worker};

/// What [`Concurrency::close`](crate::Concurrency::close) waits with, and reports to.
pub struct Closing<H> {
    worker: Worker<H>,
    flight: Option<Arc<InFlight>>,
    /// How many requests were in flight, and had been cut, when the last session had ended.
    before: (usize, usize),
    stages: Stages,
    /// A drain was asked for; without one nothing is cut, however many stops there are.
    cuts: bool,
    report: Cell<Report>,
}

impl<H> Closing<H> {
    /// Begins now: after the end of the last session.
    pub(crate) fn new(
        worker: Worker<H>,
        flight: Option<Arc<InFlight>>,
        drain: Option<Drain>,
    ) -> Self {
        let stages = Stages::new(drain.unwrap_or_default());
        let count = |flight: &Arc<InFlight>| (flight.active(), flight.connections.count_cut());
        let before = flight.as_ref().map_or((0, 0), count);
        // What has been cut so far was the session's that has just ended.
        let report = Cell::new(Report { cut: before.1, ..Report::default() });
        Self { worker, flight, before, stages, cuts: drain.is_some(), report }
    }

    /// What is due now. It only ever gets worse.
    #[must_use]
    pub fn due(&self) -> Due {
        self.stages.due(self.cuts && self.worker.control().is_hurried())
    }

    /// Waits until one of `watch` is readable, or something else may be due. It may return early.
    ///
    /// # Errors
    ///
    /// What poll(2) says.
    pub fn wait(&self, watch: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.wait_until(watch, None)
    }

    /// As [`wait`](Self::wait), no longer than until `at`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait_until(&self, watch: &[BorrowedFd<'_>], at: Option<Instant>) -> io::Result<()> {
        let until = [self.stages.next(), at].into_iter().flatten().min();
        let (control, number) = (self.worker.control(), self.worker.session());
        Waiter::new(control, number, watch, until).pause()
    }

    /// Waits for all requests that run in this process, and cuts them off when that is due. Returns
    /// how many are left, which are abandoned.
    ///
    /// It knows of requests where the server has a [`Drain`], [`Limits`](crate::Limits) or
    /// [`Counters`](crate::Counters), and tells the report; of others it returns `None` at once.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn drain(&self) -> io::Result<Option<usize>> {
        let Some(flight) = &self.flight else { return Ok(None) };
        // A handler that closes its own server can't be waited for.
        let own = flight.own();
        let others = |active: usize| active.saturating_sub(own);
        let (all, cut_before) = (others(self.before.0), self.before.1);
        flight.connections.cut_idle();
        let left = loop {
            let due = self.due();
            if due == Due::Cut {
                flight.connections.cut_all();
            }
            let left = others(flight.active());
            if left == 0 || due == Due::Abandon {
                break left;
            }
            self.wait(&[])?;
        };
        // Those that have been abandoned may end by now.
        let ended = all.saturating_sub(left);
        let cut = ended.min(flight.connections.count_cut() - cut_before);
        self.report(ended - cut, cut, left + own);
        Ok(Some(left))
    }

    /// Tells the report of requests that were in flight: how many ended by themselves, were cut
    /// off by the strategy itself, and were not waited for.
    pub fn report(&self, finished: usize, cut: usize, abandoned: usize) {
        let mut report = self.report.get();
        report.finished += finished;
        report.cut += cut;
        report.abandoned += abandoned;
        self.report.set(report);
    }

    /// Tells the report of requests that another process, which has served for this one, has turned
    /// away since the stop.
    pub(crate) fn report_refused(&self, refused: usize) {
        let mut report = self.report.get();
        report.refused += refused;
        self.report.set(report);
    }

    /// As [`Session::ended`](crate::Session::ended), for a request whose process has ended since the
    /// server has stopped serving.
    pub fn ended<R>(&self, ticket: Ticket, ending: Ending)
    where
        H: Handler<R>,
    {
        self.worker.reaped(ticket, ending);
    }

    pub(crate) fn worker(&self) -> &Worker<H> {
        &self.worker
    }

    /// As the end of what another `handler` handles, of the same server, in the same time.
    pub(crate) fn of<G, V>(&self, handler: G, close: impl FnOnce(&Closing<G>) -> V) -> V {
        let closing = Closing {
            worker: self.worker.with(handler),
            flight: self.flight.clone(),
            before: self.before,
            stages: self.stages.clone(),
            cuts: self.cuts,
            report: self.report.clone(),
        };
        let value = close(&closing);
        self.report.set(closing.report.get());
        value
    }

    pub(crate) fn end(&self) -> Report {
        let mut report = self.report.get();
        report.took = self.stages.begun().elapsed();
        if let Some(flight) = &self.flight {
            if let Some((at, refused)) = flight.stopped() {
                report.refused += refused;
                report.took = at.elapsed();
            }
        }
        report
    }
}

impl<H> fmt::Debug for Closing<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing")
            .field("stages", &self.stages)
            .field("report", &self.report.get())
            .finish_non_exhaustive()
    }
}
