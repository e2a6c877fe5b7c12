//! The clocks of a connection that is held to deadlines.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};

use super::deadlines::{DeadlinePassed, Deadlines};
use crate::sys;

/// What a connection may still take.
#[derive(Debug)]
pub(super) struct Watch {
    deadlines: Deadlines,
    /// The timeout of each single read or write, which nothing is told apart by.
    timeout: Option<Duration>,
    /// The peer has said something at some time.
    spoken: bool,
    /// When the exchange began, with its first byte.
    begun: Option<Instant>,
    /// What has come towards the next `bytes` of the rate, and how long it was waited for.
    came: usize,
    waited: Duration,
    /// The deadline that has passed: the connection is not waited for any more.
    passed: Option<DeadlinePassed>,
}

/// One read or write that has to wait.
pub(super) struct Wait {
    way: Way,
    since: Option<Instant>,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

/// Why a wait ends.
#[derive(Clone, Copy)]
enum Why {
    Deadline(DeadlinePassed),
    Timeout,
}

impl Watch {
    pub(super) fn new(deadlines: Deadlines, timeout: Option<Duration>) -> Self {
        Self {
            deadlines,
            timeout,
            spoken: false,
            begun: None,
            came: 0,
            waited: Duration::ZERO,
            passed: None,
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Another exchange is to come; with `unread`, it has begun.
    pub(super) fn next_exchange(&mut self, unread: bool) {
        self.begun = unread.then(Instant::now);
        (self.came, self.waited) = (0, Duration::ZERO);
    }

    /// Whether there may be a read at all: what has come does not make up for what is late.
    pub(super) fn check(&mut self) -> io::Result<()> {
        if let Some((end, why)) = self.end_of_request() {
            if self.passed.is_none() && end <= Instant::now() {
                return Err(self.ended(why));
            }
        }
        self.passed.map_or(Ok(()), |passed| Err(passed.into()))
    }

    pub(super) fn begin(&self, way: Way) -> Wait {
        Wait { way, since: None }
    }

    /// The peer has said so much.
    pub(super) fn came(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.spoken = true;
        self.begun = self.begun.or_else(|| Some(Instant::now()));
        self.came += count;
        if self.deadlines.rate.is_some_and(|(bytes, _)| self.came >= bytes) {
            (self.came, self.waited) = (0, Duration::ZERO);
        }
    }

    /// Waits until `socket` may be tried again.
    ///
    /// # Errors
    ///
    /// The first deadline to pass, or the timeout.
    pub(super) fn wait(&mut self, wait: &mut Wait, socket: &impl AsFd) -> io::Result<()> {
        if let Some(passed) = self.passed {
            return Err(passed.into());
        }
        let now = Instant::now();
        let since = *wait.since.get_or_insert(now);
        let end = self.end(wait.way, since, now);
        if let Some((_, why)) = end.filter(|(end, _)| *end <= now) {
            return Err(self.ended(why));
        }
        let flags = match wait.way {
            Way::Read => PollFlags::POLLIN,
            Way::Write => PollFlags::POLLOUT,
        };
        sys::poll(&mut [PollFd::new(socket.as_fd(), flags)], end.map(|(end, _)| end))?;
        if wait.way == Way::Read && self.begun.is_some() {
            self.waited += now.elapsed();
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
    fn end(&self, way: Way, since: Instant, now: Instant) -> Option<(Instant, Why)> {
        let after = |from: Instant, time: Option<Duration>, why| {
            time.and_then(|time| from.checked_add(time)).map(|end| (end, why))
        };
        let own = match way {
            Way::Read => self.silence(),
            Way::Write => (self.deadlines.write.or(self.deadlines.request), DeadlinePassed::Write),
        };
        let (time, passed) = own;
        let rate = self.deadlines.rate.filter(|_| way == Way::Read && self.begun.is_some());
        let left = rate.map(|(_, per)| per.saturating_sub(self.waited));
        [
            after(since, self.timeout, Why::Timeout),
            after(since, time, Why::Deadline(passed)),
            after(now, left, Why::Deadline(DeadlinePassed::Rate)),
            self.end_of_request(),
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
}
