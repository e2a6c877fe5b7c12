//! What a server has taken, and what it has not finished.

use std::sync::atomic::{AtomicU64, Ordering};

use socketserver::{
    ForkServer, Forking, Handler, PreForking, Selecting, Sync, ThreadPool, Threading, forward_hooks,
};

/// A mixin: the handler `H`, and the number of requests that the serve loop has taken. As a mixin
/// must, it passes every hook on.
///
/// It counts in the loop, not in the handler, which under `Forking` runs in another process.
pub(crate) struct Counted<H> {
    inner: H,
    taken: AtomicU64,
}

impl<H> Counted<H> {
    pub(crate) fn new(inner: H) -> Self {
        Self { inner, taken: AtomicU64::new(0) }
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl<R, H: Handler<R>> Handler<R> for Counted<H> {
    forward_hooks!(R, self => self.inner;
        handle missing setup finish verify_request handle_error handle_timeout get_request_failed
        event panicked child_init);

    fn service_actions(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.inner.service_actions();
    }
}

/// A strategy that can say how many requests run elsewhere right now.
pub(crate) trait InFlight {
    /// Whether other processes take the requests, so that only counters know of them.
    const TAKEN_ELSEWHERE: bool = false;

    fn in_flight(&self) -> usize;
}

impl InFlight for Sync {
    fn in_flight(&self) -> usize {
        0
    }
}

impl InFlight for Threading {
    fn in_flight(&self) -> usize {
        self.active()
    }
}

impl InFlight for ThreadPool {
    fn in_flight(&self) -> usize {
        self.active()
    }
}

impl<C> InFlight for Selecting<C> {
    fn in_flight(&self) -> usize {
        // What is left of the table is waited for before serving ends.
        0
    }
}

impl InFlight for Forking {
    fn in_flight(&self) -> usize {
        self.active_children().count()
    }
}

impl InFlight for ForkServer {
    fn in_flight(&self) -> usize {
        self.active_children().count()
    }
}

impl<C> InFlight for PreForking<C> {
    const TAKEN_ELSEWHERE: bool = true;

    fn in_flight(&self) -> usize {
        0
    }
}
