//! The clocks of a connection that is held to deadlines.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::deadlines::{DeadlinePassed, Deadlines};
use super::socket::{StreamSocket, Way};
use super::time::Time;

/// What a connection may still take.
#[derive(Debug)]
pub(super) struct Watch {
    time: Time,
    deadlines: Deadlines,
    /// The timeout of each single read or write, which nothing is told apart by.
    timeout: Option<Duration>,
    /// The peer has said something at some time.
    spoken: bool,
    /// Since when the peer has been waited for in vain: to say something, to take something.
    silent: Option<Instant>,
    stuck: Option<Instant>,
    /// When the exchange began, with its first byte.
    begun: Option<Instant>,
    /// What has come towards the next `bytes` of the rate, and how long it was waited for.
    came: usize,
    waited: Duration,
    /// Until when a stage of the request lasts, whatever else holds.
    stage_end: Option<Instant>,
    /// The deadline that has passed: the connection is not waited for any more.
    passed: Option<DeadlinePassed>,
    /// The wait in a table that has begun, and has not been over since.
    parked: Option<Parked>,
}

/// A wait that is left and come back to.
#[derive(Debug)]
struct Parked {
    way: Way,
    since: Instant,
    /// Until when the wait has been counted.
    seen: Instant,
    end: Option<(Instant, Why)>,
}

/// Why a wait ends.
#[derive(Debug, Clone, Copy)]
enum Why {
    Deadline(DeadlinePassed),
    Timeout,
}

impl Watch {
    /// A watch from now on, with what another already knew; with `unread`, an exchange has begun.
    pub(super) fn new(
        deadlines: Deadlines,
        timeout: Option<Duration>,
        unread: bool,
        before: Option<&Self>,
        time: Time,
    ) -> Self {
        let begun = unread || before.is_some_and(|before| before.begun.is_some());
        Self {
            deadlines,
            timeout,
            spoken: unread || before.is_some_and(|before| before.spoken),
            silent: None,
            stuck: None,
            begun: begun.then(|| time.now()),
            time,
            came: 0,
            waited: Duration::ZERO,
            stage_end: before.and_then(|before| before.stage_end),
            passed: None,
            parked: None,
        }
    }

    /// What the connection is held to.
    pub(super) fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// A stage of the request begins, which may last so long.
    pub(super) fn begin_stage(&mut self, end: Instant) {
        self.stage_end = Some(end);
    }

    /// It is over, and nothing that came in it counts: the peer has yet to say its first byte.
    /// Whether there is anything left to watch.
    pub(super) fn end_stage(&mut self) -> bool {
        *self = Self::new(self.deadlines, self.timeout, false, None, self.time.clone());
        self.deadlines != Deadlines::new()
    }

    /// Another exchange is to come; with `unread`, it has begun.
    pub(super) fn next_exchange(&mut self, unread: bool) {
        self.begun = unread.then(|| self.time.now());
        (self.came, self.waited) = (0, Duration::ZERO);
    }

    /// Whether there may be a read at all: what has come does not make up for what is late.
    pub(super) fn check(&mut self) -> io::Result<()> {
        let ends = [self.end_of_request(), self.end_of_stage()];
        for (end, why) in ends.into_iter().flatten() {
            if self.passed.is_none() && end <= self.time.now() {
                return Err(self.ended(why));
            }
        }
        self.passed.map_or(Ok(()), |passed| Err(passed.into()))
    }

    /// The peer has said so much.
    pub(super) fn came(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let time = self.time.clone();
        self.count_wait(|| time.now());
        self.parked = None;
        self.spoken = true;
        self.silent = None;
        self.begun = self.begun.or_else(|| Some(self.time.now()));
        self.came += count;
        if self.deadlines.rate.is_some_and(|(bytes, _)| self.came >= bytes) {
            (self.came, self.waited) = (0, Duration::ZERO);
        }
    }

    /// The peer has taken something.
    pub(super) fn went(&mut self) {
        self.stuck = None;
        self.parked = None;
    }

    /// Begins a wait in a table, or goes on with the one that has begun; returns its end.
    pub(super) fn park(&mut self, way: Way) -> Option<Instant> {
        let now = self.time.now();
        self.count_wait(|| now);
        let before = self.parked.as_ref().filter(|parked| parked.way == way);
        let since = before.map_or(now, |parked| parked.since);
        let end = match self.passed {
            Some(passed) => Some((now, Why::Deadline(passed))),
            None => self.end(way, since, now),
        };
        self.parked = Some(Parked { way, since, seen: now, end });
        end.map(|(end, _)| end)
    }

    /// What the rate has to know of the wait in the table.
    fn count_wait(&mut self, now: impl FnOnce() -> Instant) {
        match &mut self.parked {
            Some(Parked { way: Way::Read, seen, .. }) if self.begun.is_some() => {
                let now = now();
                self.waited += now.saturating_duration_since(*seen);
                *seen = now;
            }
            _ => {}
        }
    }

    /// Whether the wait in the table has come to its end in vain.
    ///
    /// # Errors
    ///
    /// What [`wait`](Self::wait) says then.
    pub(super) fn late(&mut self) -> io::Result<()> {
        match self.parked.as_ref().and_then(|parked| parked.end) {
            Some((end, why)) if end <= self.time.now() => {
                self.parked = None;
                Err(self.ended(why))
            }
            _ => Ok(()),
        }
    }

    /// Waits until `socket` may be tried again; `since` is when this read or write began to wait.
    ///
    /// # Errors
    ///
    /// The first deadline to pass, or the timeout.
    pub(super) fn wait(
        &mut self,
        way: Way,
        since: &mut Option<Instant>,
        socket: &impl StreamSocket,
    ) -> io::Result<()> {
        if let Some(passed) = self.passed {
            return Err(passed.into());
        }
        let now = self.time.now();
        let since = *since.get_or_insert(now);
        let end = self.end(way, since, now);
        if let Some((_, why)) = end.filter(|(end, _)| *end <= now) {
            return Err(self.ended(why));
        }
        socket.wait(way, end.map(|(end, _)| end))?;
        if way == Way::Read && self.begun.is_some() {
            self.waited += self.time.now().saturating_duration_since(now);
        }
        Ok(())
    }

    fn ended(&mut self, why: Why) -> io::Error {
        match why {
            Why::Deadline(passed) => {
                self.passed = Some(passed);
                passed.into()
            }
            // What recv(2) and send(2) say when SO_RCVTIMEO and SO_SNDTIMEO expire.
            Why::Timeout => Errno::EAGAIN.into(),
        }
    }

    /// The first of the ends of a wait; none where time does not go so far.
    fn end(&mut self, way: Way, since: Instant, now: Instant) -> Option<(Instant, Why)> {
        let after = |from: Instant, time: Option<Duration>, why| {
            time.and_then(|time| from.checked_add(time)).map(|end| (end, why))
        };
        let (own, rate) = match way {
            Way::Read => {
                let (time, passed) = self.silence();
                let from = *self.silent.get_or_insert(since);
                let rate = self.deadlines.rate.filter(|_| self.begun.is_some());
                (after(from, time, Why::Deadline(passed)), rate)
            }
            Way::Write => {
                let time = self.deadlines.write.or(self.deadlines.request);
                let from = *self.stuck.get_or_insert(since);
                (after(from, time, Why::Deadline(DeadlinePassed::Write)), None)
            }
        };
        let left = rate.map(|(_, per)| per.saturating_sub(self.waited));
        [
            after(since, self.timeout, Why::Timeout),
            own,
            after(now, left, Why::Deadline(DeadlinePassed::Rate)),
            self.end_of_request(),
            self.end_of_stage(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(end, _)| *end)
    }

    /// How long the peer may say nothing, where it stands now.
    fn silence(&self) -> (Option<Duration>, DeadlinePassed) {
        let Deadlines { first_byte, idle, request, .. } = self.deadlines;
        match (self.spoken, self.begun) {
            (false, _) => (first_byte.or(idle).or(request), DeadlinePassed::FirstByte),
            (true, None) => (idle.or(request), DeadlinePassed::Idle),
            (true, Some(_)) => (idle, DeadlinePassed::Idle),
        }
    }

    fn end_of_request(&self) -> Option<(Instant, Why)> {
        let end = self.begun?.checked_add(self.deadlines.request?)?;
        Some((end, Why::Deadline(DeadlinePassed::Request)))
    }

    fn end_of_stage(&self) -> Option<(Instant, Why)> {
        self.stage_end.map(|end| (end, Why::Deadline(DeadlinePassed::Stage)))
    }
}
