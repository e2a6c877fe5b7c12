//! A thread for each request.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Concurrency;
use super::crew::{Bounds, Crew, Roster, Running, Shareable, Size};
use crate::drain::Closing;
use crate::handler::Handler;
use crate::session::Session;
use crate::transport::Transport;
use crate::worker::Job;

/// So many threads wait for requests at most; whoever would be one more ends. They are what is left
/// of a burst, so that the next one need not start its threads anew, at 40 µs each; and at some
/// 20 kB of memory each, they are little more than a megabyte.
const MOST_WAITING: u64 = 64;

/// As many as there are requests.
const SIZE: Size = Size { bounds: Bounds::Any, kept: MOST_WAITING, idle: None, attended: true };

/// Each request runs on a thread of its own: Python's `ThreadingMixIn`.
///
/// The number of threads is not limited. A request for which no thread can be had is closed, and
/// [`handle_error`](Handler::handle_error) told.
///
/// While a request runs, its thread is for it alone; afterwards the thread waits for another. So
/// the thread that takes a request also handles it ([`verify_request`](Handler::verify_request)
/// included), and one is started only when nobody is left to wait for the next request. Of those
/// that wait, 64 are kept at most, until serving ends; the thread that serves takes no requests.
/// Thread-locals are what earlier requests have made of them, unless there are
/// [`fresh_threads`](Self::fresh_threads). For the requests of
/// [`handle_request`](crate::Server::handle_request) a thread is started each time.
///
/// What becomes of the requests in flight when the server is closed, and when the process ends, is
/// configured as in Python:
///
/// | `block_on_close` | `daemon_threads` | [`close`](crate::Server::close) | the end of the process |
/// | --- | --- | --- | --- |
/// | `true` (default) | `false` (default) | joins the threads | a server that was dropped instead of closed: cuts them off |
/// | `false` | `false` | returns at once | waits for them |
/// | `true` or `false` | `true` | returns at once | cuts them off |
///
/// "Waits for them" holds where the process ends by a return from `main` or by
/// [`std::process::exit`] (an exit function registered with atexit(3)), as Python waits for its
/// non-daemon threads. In the second row the wait has no limit: a request that never ends keeps
/// the process from ending, and so does one whose handler calls `exit` itself while the process is
/// ending already.
#[derive(Debug)]
#[doc(alias = "ThreadingMixIn")]
pub struct Threading {
    roster: Roster,
    fresh: bool,
}

impl Threading {
    /// Threads that are joined at close.
    #[must_use]
    pub fn new() -> Self {
        Self { roster: Roster::new(), fresh: false }
    }

    /// Whether closing the server waits for the requests in flight; see the table above.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.roster.block_on_close = block;
        self
    }

    /// Whether the requests in flight are nobody's concern, neither at close nor at the end of the
    /// process; see the table above.
    #[must_use]
    pub fn daemon_threads(mut self, daemon: bool) -> Self {
        self.roster.daemon_threads = daemon;
        self
    }

    /// Whether each request gets a thread that has run no other: for handlers that rely on
    /// thread-locals being as they are at the start, or change what belongs to a thread (its
    /// priority, its credentials, its mask of signals) and don't change it back. Starting a thread
    /// for each request costs more than a short request itself.
    #[must_use]
    pub fn fresh_threads(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// How large the stack of each thread is, in bytes; 2 MiB by default (Rust's, which the
    /// environment variable `RUST_MIN_STACK` changes too), and never less than the system's least
    /// (`PTHREAD_STACK_MIN`). Python's `threading.stack_size`.
    ///
    /// A stack takes memory only where it has been used, so a smaller one saves little but address
    /// space; a larger one is for handlers that recurse deeply, which would end the process.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.roster.stack = Some(bytes);
        self
    }

    /// How many requests run right now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.roster.active()
    }

    /// Takes the requests here, and starts a thread for each.
    fn start_each<T, H>(&self, session: &Session<T, H>) -> io::Result<()>
    where
        T: Transport,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        while let Some(job) = session.next_request()? {
            self.start(session, job);
        }
        Ok(())
    }

    fn start<T, H>(&self, session: &Session<T, H>, job: Job<T::Request>)
    where
        T: Transport,
        T::Request: Send + 'static,
        H: Handler<T::Request> + Shareable,
    {
        // A thread that can't be started drops its closure: the request is left where it can be
        // taken from by either side.
        let slot = Arc::new(Mutex::new(Some(job)));
        let started = Running::new(self.roster.clone()).and_then(|mut running| {
            let (slot, worker) = (Arc::clone(&slot), session.worker());
            self.roster.spawn(move || {
                running.here();
                let job = slot.lock().take();
                if let Some(job) = job {
                    worker.finish_request(job);
                }
                drop(running);
            })
        });
        if let Err(error) = started {
            if let Some(job) = slot.lock().take() {
                session.refuse_request(job, error);
            }
        }
    }
}

impl Default for Threading {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, H> Concurrency<T, H> for Threading
where
    T: Transport + Shareable,
    T::Request: Send + 'static,
    H: Handler<T::Request> + Shareable,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.roster.disown();
        if self.fresh || session.is_for_one() {
            return self.start_each(session);
        }
        // Where the first thread can't be had, there may be some later.
        match Crew::start(&self.roster, SIZE, session) {
            Ok(crew) => crew.serve(session),
            Err(_) => self.start_each(session),
        }
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.roster.close(closing)
    }
}
