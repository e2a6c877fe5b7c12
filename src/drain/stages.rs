//! What is due when; no system in here but the clock.

use std::cell::Cell;
use std::time::Instant;

use super::Drain;

/// What is to be done about requests that are still in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Due {
    /// They are waited for.
    Wait,
    /// They are cut off.
    Cut,
    /// They are abandoned.
    Abandon,
}

/// The stages of a drain from the end of serving on.
#[derive(Debug, Clone)]
pub(super) struct Stages {
    drain: Drain,
    begun: Instant,
    cut_since: Cell<Option<Instant>>,
    over: Cell<bool>,
}

impl Stages {
    /// The first begins now.
    pub(super) fn new(drain: Drain) -> Self {
        Self { drain, begun: Instant::now(), cut_since: Cell::new(None), over: Cell::new(false) }
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// What is due now, where somebody is in a hurry or not.
    pub(super) fn due(&self, hurried: bool) -> Due {
        let now = Instant::now();
        let late = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.cut_since.get().is_none() {
            if !hurried && !late(self.end()) {
                return Due::Wait;
            }
            self.cut_since.set(Some(now));
        }
        self.over.set(late(self.end()));
        if self.over.get() { Due::Abandon } else { Due::Cut }
    }

    /// When something else will be due, where the clock decides that; nothing will be after the last
    /// stage.
    pub(super) fn next(&self) -> Option<Instant> {
        self.end().filter(|_| !self.over.get())
    }

    /// When the stage ends.
    fn end(&self) -> Option<Instant> {
        let (since, time) = match self.cut_since.get() {
            None => (self.begun, self.drain.finished),
            Some(since) => (since, self.drain.cut),
        };
        time.and_then(|time| since.checked_add(time))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn without_limits_only_a_hurry_cuts_and_nothing_is_abandoned() {
        let stages = Stages::new(Drain::new());
        assert_eq!((stages.due(false), stages.next()), (Due::Wait, None));
        assert_eq!((stages.due(true), stages.next()), (Due::Cut, None));
        assert_eq!(stages.due(false), Due::Cut, "it only gets worse");
    }

    #[test]
    fn a_stage_without_time_is_over_at_once() {
        let stages = Stages::new(Drain::new().finish_within(Duration::ZERO));
        assert_eq!(stages.due(false), Due::Cut);
        let drain = Drain::new().finish_within(Duration::ZERO).cut_within(Duration::ZERO);
        let stages = Stages::new(drain);
        assert_eq!(stages.due(false), Due::Abandon);
        assert_eq!(stages.next(), None, "whoever waits on does not spin");
    }

    #[test]
    fn a_stage_lasts_its_time() {
        let hour = Duration::from_secs(3600);
        let stages = Stages::new(Drain::new().finish_within(hour).cut_within(hour));
        assert_eq!(stages.due(false), Due::Wait);
        assert!(stages.next().is_some_and(|at| at > Instant::now()));
        assert_eq!(stages.due(true), Due::Cut);
        assert_eq!(stages.due(true), Due::Cut, "the time for that begins with it");
    }
}
