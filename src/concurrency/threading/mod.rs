//! A thread for each request.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, ThreadId};

use parking_lot::{Condvar, Mutex};

use super::Concurrency;
use crate::drain::Closing;
use crate::handler::Handler;
use crate::session::Session;
use crate::sys;
use crate::transport::Transport;
use crate::worker::Job;

/// A handler that threads may share: every one that is `Send + Sync + 'static`, and no other.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be shared by threads, as a handler under `Threading` is",
    label = "something in this handler belongs to one thread, or is only borrowed",
    note = "the handler has to be `Send + Sync + 'static`: `Arc` in place of `Rc`; `Mutex` or an \
            atomic in place of `Cell` or `RefCell`; a value or an `Arc` in place of a reference",
    note = "under `Sync` and `Forking` a handler need not be shared"
)]
pub trait Shareable: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<H: Send + Sync + 'static> Shareable for H {}

/// Each request runs on a thread of its own: Python's `ThreadingMixIn`.
///
/// The number of threads is not limited. A request for which no thread can be had is closed, and
/// [`handle_error`](Handler::handle_error) told.
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
    block_on_close: bool,
    daemon_threads: bool,
    threads: Arc<Mutex<Threads>>,
    active: Arc<AtomicUsize>,
}

impl Threading {
    /// Threads that are joined at close.
    #[must_use]
    pub fn new() -> Self {
        Self {
            block_on_close: true,
            daemon_threads: false,
            threads: Arc::default(),
            active: Arc::default(),
        }
    }

    /// Whether closing the server waits for the requests in flight; see the table above.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// Whether the requests in flight are nobody's concern, neither at close nor at the end of the
    /// process; see the table above.
    #[must_use]
    pub fn daemon_threads(mut self, daemon: bool) -> Self {
        self.daemon_threads = daemon;
        self
    }

    /// How many requests run right now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
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
        let run = {
            let (slot, worker) = (Arc::clone(&slot), session.worker());
            move || {
                let job = slot.lock().take();
                if let Some(job) = job {
                    worker.finish_request(job);
                }
            }
        };
        if let Err(error) = self.spawn(run) {
            if let Some(job) = slot.lock().take() {
                session.refuse_request(job, error);
            }
        }
    }

    fn spawn(&self, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let active = Count::new(&self.active);
        match (self.daemon_threads, self.block_on_close) {
            (true, _) => spawn(move || {
                run();
                drop(active);
            })
            .map(drop),
            (false, false) => {
                let awaited = Awaited::new()?;
                spawn(move || {
                    IS_AWAITED.set(true);
                    run();
                    drop((active, awaited));
                })
                .map(drop)
            }
            (false, true) => {
                let threads = Arc::clone(&self.threads);
                let handle = spawn(move || {
                    run();
                    drop(active);
                    threads.lock().end(thread::current().id());
                })?;
                self.threads.lock().start(handle);
                Ok(())
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
    T: Transport,
    T::Request: Send + 'static,
    H: Handler<T::Request> + Shareable,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.threads.lock().disown();
        while let Some(job) = session.next_request()? {
            self.start(session, job);
        }
        Ok(())
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        if self.daemon_threads || !self.block_on_close {
            closing.report(0, 0, self.active());
            return Ok(());
        }
        let unknown = self.active();
        match closing.drain()? {
            // The rest of the threads are those of requests that have been abandoned.
            Some(left) if left > 0 => return Ok(()),
            Some(_) => {}
            None => closing.report(unknown, 0, 0),
        }
        let all = {
            let mut threads = self.threads.lock();
            threads.disown();
            threads.all()
        };
        for thread in all {
            // A server that is closed by one of its own handlers can't wait for that one.
            if thread.thread().id() != thread::current().id() {
                // A worker contains every panic, so there is no other result.
                let _ = thread.join();
            }
        }
        Ok(())
    }
}
