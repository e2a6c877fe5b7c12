//! The threads of a server, and the requests that run on them, as its strategy is configured.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use super::awaited::Awaited;
use super::table::Threads;
use crate::drain::Closing;

/// What the server and its threads share, of all its sessions.
#[derive(Debug, Clone)]
pub(in crate::concurrency) struct Roster {
    pub(in crate::concurrency) block_on_close: bool,
    pub(in crate::concurrency) daemon_threads: bool,
    /// In bytes, where it is not the default.
    pub(in crate::concurrency) stack: Option<usize>,
    threads: Arc<Mutex<Threads>>,
    active: Arc<AtomicUsize>,
}

impl Roster {
    pub(in crate::concurrency) fn new() -> Self {
        Self {
            block_on_close: true,
            daemon_threads: false,
            stack: None,
            threads: Arc::default(),
            active: Arc::default(),
        }
    }

    /// Whether `close` joins the threads.
    pub(in crate::concurrency) fn joins(&self) -> bool {
        self.block_on_close && !self.daemon_threads
    }

    /// How many requests run right now.
    pub(in crate::concurrency) fn active(&self) -> usize {
        self.active.load(SeqCst)
    }

    /// Starts a thread.
    pub(in crate::concurrency) fn spawn(
        &self,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        if !self.joins() {
            return self.thread(run).map(drop);
        }
        let threads = Arc::clone(&self.threads);
        let handle = self.thread(move || {
            run();
            threads.lock().end(thread::current().id());
        })?;
        self.threads.lock().start(handle);
        Ok(())
    }

    /// `thread::spawn` panics where no thread can be had; this returns.
    fn thread(&self, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let mut thread = thread::Builder::new();
        if let Some(stack) = self.stack {
            thread = thread.stack_size(stack);
        }
        thread.spawn(run)
    }

    /// See [`Threads::disown`].
    pub(in crate::concurrency) fn disown(&self) {
        self.threads.lock().disown();
    }

    /// Waits for the requests that run, and joins their threads, where that is asked for.
    pub(in crate::concurrency) fn close<H>(&self, closing: &Closing<H>) -> io::Result<()> {
        let unknown = self.active();
        if !self.joins() {
            closing.report(0, 0, unknown);
            return Ok(());
        }
        match closing.drain()? {
            // The rest of the threads are those of requests that have been abandoned.
            Some(left) if left > 0 => return Ok(()),
            Some(_) => {}
            None => closing.report(unknown, 0, 0),
        }
        self.join();
        Ok(())
    }

    /// Joins all threads, those included that are started meanwhile by others.
    fn join(&self) {
        self.disown();
        loop {
            let all = self.threads.lock().all();
            if all.is_empty() {
                break;
            }
            for thread in all {
                // A server that is closed by one of its own handlers can't wait for that one.
                if thread.thread().id() != thread::current().id() {
                    // A worker contains every panic, so there is no other result.
                    let _ = thread.join();
                }
            }
        }
    }
}

/// A request runs, or is about to, until this is dropped.
pub(in crate::concurrency) struct Running<R: Borrow<Roster>> {
    roster: R,
    awaited: Option<Awaited>,
}

impl<R: Borrow<Roster>> Running<R> {
    pub(in crate::concurrency) fn new(roster: R) -> io::Result<Self> {
        let Roster { block_on_close, daemon_threads, active, .. } = roster.borrow();
        let awaited = (!block_on_close && !daemon_threads).then(Awaited::new).transpose()?;
        active.fetch_add(1, SeqCst);
        Ok(Self { roster, awaited })
    }

    /// It runs on this thread.
    pub(in crate::concurrency) fn here(&mut self) {
        if let Some(awaited) = &mut self.awaited {
            awaited.here();
        }
    }
}

impl<R: Borrow<Roster>> Drop for Running<R> {
    fn drop(&mut self) {
        self.roster.borrow().active.fetch_sub(1, SeqCst);
    }
}
