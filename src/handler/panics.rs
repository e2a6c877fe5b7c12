//! What is done about panics.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Handler;

/// What [`Handler::panicked`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnPanic {
    /// The request has failed, and the server serves on.
    #[default]
    Contain,
    /// The server is asked to stop, as by [`StopHandle::stop`](crate::StopHandle::stop): what is in
    /// flight is finished. State that a panic has left half changed serves nobody any more. One line
    /// on stderr says why it stops, or, with the feature `log`, a warning.
    Stop,
    /// The process is aborted: SIGABRT, with a core dump where those are kept, and no destructor
    /// run. The panic's message has been printed by then.
    Crash,
}

/// A handler whose server stops after so many panics within so much time: the policy for those who
/// take one panic for bad luck, and many for a sign that something is broken.
///
/// For [`serve_forever`](crate::Server::serve_forever) it is a stop like any other, and no error: a
/// program that is to be started anew looks at [`has_stopped`](Self::has_stopped), and ends with a
/// status that says so.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use socketserver::{StopAfterPanics, TcpRequest, ThreadingTcpServer, handler_fn};
///
/// let handler = handler_fn(|_conn: &mut TcpRequest| Ok(()));
/// let handler = StopAfterPanics::new(handler, 10, Duration::from_secs(60))?;
/// let mut server = ThreadingTcpServer::bind("127.0.0.1:0", handler)?;
/// # server.stop_handle().stop();
/// server.serve_forever()?;
/// if server.handler().has_stopped() {
///     return Err(io::Error::other("too many panics"));
/// }
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug)]
pub struct StopAfterPanics<H> {
    inner: H,
    most: NonZeroUsize,
    within: Duration,
    /// When the last of them were. The lock is std's: it is taken in the server's process alone,
    /// and for a moment.
    seen: Mutex<VecDeque<Instant>>,
    stopped: AtomicBool,
}

impl<H> StopAfterPanics<H> {
    /// `inner`, with a server that stops at the panic number `most` within `within`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where `most` is 0.
    pub fn new(inner: H, most: usize, within: Duration) -> io::Result<Self> {
        let most = NonZeroUsize::new(most).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server can't stop before the first panic: the number of them has to be at least 1",
            )
        })?;
        Ok(Self { inner, most, within, seen: Mutex::default(), stopped: AtomicBool::new(false) })
    }

    /// Whether there have been that many panics, and the server was asked to stop.
    pub fn has_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    fn is_too_many(&self, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back(now);
        while seen.front().is_some_and(|first| now.duration_since(*first) > self.within) {
            seen.pop_front();
        }
        let many = seen.len() >= self.most.get();
        if many {
            seen.clear();
            self.stopped.store(true, Relaxed);
        }
        many
    }
}

impl<R, H: Handler<R>> Handler<R> for StopAfterPanics<H> {
    crate::forward_hooks!(R, self => self.inner;
        handle missing setup finish verify_request handle_error handle_timeout
        service_actions get_request_failed event child_init);

    fn panicked(&self) -> OnPanic {
        if self.is_too_many(Instant::now()) { OnPanic::Stop } else { self.inner.panicked() }
    }
}

super::forward_halves!(StopAfterPanics<H>, self => self.inner;);

/// A handler whose panic ends the whole process: the policy for those who would rather be started
/// anew than go on with what a panic has left.
///
/// `handle_error` is told before; the process is aborted when the request has been closed.
///
/// # Examples
///
/// ```
/// use socketserver::{CrashOnPanic, TcpServer, TcpRequest, handler_fn};
///
/// let handler = handler_fn(|_conn: &mut TcpRequest| Ok(()));
/// let server = TcpServer::bind("127.0.0.1:0", CrashOnPanic(handler))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CrashOnPanic<H>(pub H);

impl<R, H: Handler<R>> Handler<R> for CrashOnPanic<H> {
    crate::forward_hooks!(R, self => self.0;
        handle missing setup finish verify_request handle_error handle_timeout
        service_actions get_request_failed event child_init);

    fn panicked(&self) -> OnPanic {
        OnPanic::Crash
    }
}

super::forward_halves!(CrashOnPanic<H>, self => self.0;);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_that_are_far_apart_do_not_add_up() -> io::Result<()> {
        let second = Duration::from_secs(1);
        let policy = StopAfterPanics::new((), 3, second)?;
        let begun = Instant::now();
        let at = |tenths: u32| begun + second * tenths / 10;
        assert!(!policy.is_too_many(at(0)));
        assert!(!policy.is_too_many(at(9)));
        assert!(!policy.is_too_many(at(15)), "the first is too old by now");
        assert!(!policy.has_stopped());
        assert!(policy.is_too_many(at(16)));
        assert!(policy.has_stopped());
        assert!(!policy.is_too_many(at(17)), "they are counted anew after a stop");
        Ok(())
    }
}
