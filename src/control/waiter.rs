//! The wait that hears a stop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::Control;
use crate::sys::{self, Queue, Turn, Woken};

/// What a transport's [`wait`](crate::Transport::wait) waits for beside its own requests: the
/// wake-up of a stop, descriptors that the strategy watches, and a point in time.
#[derive(Debug)]
pub struct Waiter<'a> {
    control: &'a Control,
    number: u64,
    watch: &'a [BorrowedFd<'a>],
    deadline: Option<Instant>,
    /// Its place among others that wait for the same requests.
    turn: Option<&'a Turn>,
    /// Its place among other processes that wait for the same requests.
    queue: Option<&'a Queue>,
    /// Whoever waits knows that the session has been asked to stop, and waits for its end.
    announced: bool,
    /// Nobody waits: it is noted what for, where that is the same as ever.
    sources: Option<&'a Mutex<Vec<RawFd>>>,
}

/// What is known of a descriptor that is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Any,
    /// It is the same for as long as its transport lives.
    AsEver,
    /// So it is, and stands for those of several transports.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Several,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(
        control: &'a Control,
        number: u64,
        watch: &'a [BorrowedFd<'a>],
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            control,
            number,
            watch,
            deadline,
            turn: None,
            queue: None,
            announced: false,
            sources: None,
        }
    }

    /// For one who wants to know what is waited for, and does not wait.
    pub(crate) fn noting(self, sources: &'a Mutex<Vec<RawFd>>) -> Self {
        Self { sources: Some(sources), ..self }
    }

    /// Whether it is such a one: a transport of several passes it on to each.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn notes(&self) -> bool {
        self.sources.is_some()
    }

    /// For one who knows of a stop that is announced, where it is `announced`.
    pub(crate) fn knowing(self, announced: bool) -> Self {
        Self { announced, ..self }
    }

    /// For one of several that wait.
    pub(crate) fn at(self, turn: Option<&'a Turn>) -> Self {
        Self { turn, ..self }
    }

    /// For one process of several that wait.
    pub(crate) fn among(self, queue: Option<&'a Queue>) -> Self {
        Self { queue, ..self }
    }

    /// Waits until `source` is readable, or for one of the other reasons. Spurious returns are
    /// allowed, and a signal causes one.
    ///
    /// # Errors
    ///
    /// What poll(2) says, `EINTR` excepted.
    pub fn readable(&self, source: &impl AsFd) -> io::Result<()> {
        self.wait_at(source.as_fd(), Source::Any)
    }

    /// As [`readable`](Self::readable), for a `source` that is the same for as long as its transport
    /// lives.
    pub(crate) fn readable_as_ever(&self, source: &impl AsFd) -> io::Result<()> {
        self.wait_at(source.as_fd(), Source::AsEver)
    }

    /// The same for an epoll(7) instance, at which the kernel can't have processes wait in a queue.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn readable_of_several(&self, source: &impl AsFd) -> io::Result<()> {
        self.wait_at(source.as_fd(), Source::Several)
    }

    /// The same for a source that is [known](Turn::knows_source), without its transport.
    pub(crate) fn in_turn(&self) -> io::Result<()> {
        if let Some(turn) = self.turn {
            self.heard(turn.doze(self.deadline)?);
        }
        Ok(())
    }

    fn wait_at(&self, source: BorrowedFd<'_>, kind: Source) -> io::Result<()> {
        if let Some(notes) = self.sources {
            if kind != Source::Any {
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(source.as_raw_fd());
            }
            return Ok(());
        }
        // Where there is no memory for turns, all are woken.
        let turn = self.turn.filter(|_| self.watch.is_empty());
        let queue = self.queue.filter(|_| self.watch.is_empty() && kind == Source::AsEver);
        let woken = match (turn, queue) {
            (Some(turn), _) => Some(turn.wait(source, kind != Source::Any, self.deadline)),
            (None, queue) => queue.map(|queue| queue.wait(source, self.deadline)),
        };
        match woken {
            Some(Ok(woken)) => self.heard(woken),
            Some(Err(_)) | None => self.poll(Some(source))?,
        }
        Ok(())
    }

    fn heard(&self, woken: Woken) {
        if woken == Woken::ByBell {
            self.hush();
        }
    }

    /// Waits for the other reasons alone.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn pause(&self) -> io::Result<()> {
        self.poll(None)
    }

    /// For a source without a descriptor: runs `wait`, which blocks until there may be a request
    /// or [`deadline`](Self::deadline) has passed, and sees to it that a stop calls `wake`, which
    /// has to make `wait` return. Where the stop is there already, `wake` is called before.
    ///
    /// `wake` runs on the thread that stops the server, or on this one, and must not block. Several
    /// threads that wait at a time need one each. A server whose transport waits like this is not
    /// to be stopped in a signal handler. Neither a stop from a forked child nor the descriptors
    /// that a strategy watches reach a source without a descriptor: the child's stop is seen at the
    /// next return of `wait`.
    pub fn interruptible<V>(
        &self,
        wake: impl Fn() + Send + Sync + 'static,
        wait: impl FnOnce() -> V,
    ) -> V {
        self.control.waking(wake, |wake| {
            let (control, number) = (self.control, self.number);
            // A stop that came after the caller looked for one, and before it had a waker.
            let is_stopping = || !self.announced && control.is_stopping(number);
            if self.sources.is_some() || control.has_ended(number) || is_stopping() {
                wake();
            }
            wait()
        })
    }

    /// Has heard the bell: silences it, unless it rings for the end of the session.
    pub(crate) fn hush(&self) {
        self.control.hush(self.number);
    }

    /// When the wait has to end, where it has to.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn poll(&self, source: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // The usual wait has two descriptors and needs no heap.
        let mut two = [entry(self.as_fd()), entry(source.unwrap_or(self.as_fd()))];
        let mut many;
        let fds = if self.watch.is_empty() {
            two.as_mut_slice()
        } else {
            many = Vec::from(two);
            many.extend(self.watch.iter().copied().map(entry));
            &mut many
        };
        match sys::poll(fds, self.deadline) {
            // More descriptors than the process may have, or no memory for so many: without those
            // that are watched, for as long as one may go on without looking at them.
            Err(_) if fds.len() > 2 => {
                let soon = Instant::now() + Duration::from_millis(10);
                let until = self.deadline.map_or(soon, |deadline| deadline.min(soon));
                sys::poll(&mut fds[..2], Some(until))?;
            }
            polled => polled?,
        }
        if fds[0].any().unwrap_or(true) {
            self.hush();
        }
        Ok(())
    }
}

/// The wake-up descriptor: readable when the wait should end, for those who poll on their own.
impl AsFd for Waiter<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.bell()
    }
}
