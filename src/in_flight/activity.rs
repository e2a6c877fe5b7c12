//! What is known of a request while it is in flight, and what it tells of itself.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::connections::{Listed, Place};

/// Nothing has come from the peer, or more has come than has been answered.
const BUSY: u8 = 0;
/// All that came has been answered, and nothing has come since.
const IDLE: u8 = 1;
/// It has been cut, at the end of the server.
const CUT: u8 = 2;
/// It has been cut, it alone.
const SINGLED_OUT: u8 = 3;

/// What a request tells of itself to a server that wants to know: a drain, which cuts idle
/// connections first, and a [`Live`](crate::Live). See [`Request::watch`](crate::Request::watch).
#[derive(Debug, Clone, Default)]
pub struct Activity {
    known: Arc<Known>,
    pub(super) place: Weak<Place>,
}

#[derive(Debug, Default)]
struct Known {
    state: AtomicU8,
    /// Whether somebody may list it.
    is_listed: bool,
    received: AtomicU64,
    sent: AtomicU64,
    peer: Mutex<Option<String>>,
}

impl Activity {
    pub(super) fn new(is_listed: bool) -> Self {
        let known = Known { is_listed, ..Known::default() };
        Self { known: Arc::new(known), place: Weak::new() }
    }

    /// An exchange is over, and nothing of the next one has come yet: whoever cuts the connection
    /// now does no harm.
    pub fn idle(&self) {
        self.change(BUSY, IDLE);
    }

    /// Something has come from the peer.
    pub fn busy(&self) {
        self.change(IDLE, BUSY);
    }

    /// Says who is at the other end, for a [`Live`](crate::Live) to list; without one, nothing is
    /// done. For what has no address that the system knows: a packet, a task, a client behind a
    /// proxy. The last word counts.
    pub fn name(&self, peer: impl Display) {
        if self.known.is_listed {
            *self.known.peer.lock() = Some(peer.to_string());
        }
    }

    /// Whether the connection has been cut off, by [`Live::cut`](crate::Live::cut) or at the end of
    /// the server: what its errors come from, then. For [`Request::classify`](crate::Request::classify).
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.known.state.load(SeqCst) >= CUT
    }

    /// For a request of this crate that drops it before its socket, and so may be cut to its very
    /// end: while it still sends, or waits for its peer to hang up.
    pub(crate) fn hold(&self) -> Listed {
        Listed(self.place.upgrade())
    }

    /// So many bytes have come.
    pub(crate) fn came(&self, count: usize) {
        if count > 0 {
            self.busy();
            self.add(&self.known.received, count);
        }
    }

    /// So many bytes have been sent.
    pub(crate) fn went(&self, count: usize) {
        self.add(&self.known.sent, count);
    }

    fn add(&self, word: &AtomicU64, count: usize) {
        if self.known.is_listed {
            word.fetch_add(count as u64, SeqCst);
        }
    }

    /// Bytes received, and sent.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.known.received.load(SeqCst), self.known.sent.load(SeqCst))
    }

    /// Who is at the other end, where that is known by now, or `find` knows.
    pub(super) fn peer(&self, find: impl FnOnce() -> Option<String>) -> Option<String> {
        let mut peer = self.known.peer.lock();
        if peer.is_none() {
            *peer = find();
        }
        peer.clone()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.known.state.load(SeqCst) == IDLE
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.known.state.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// Whether it has been cut just now, and not before.
    pub(super) fn cut(&self, idle_alone: bool) -> bool {
        self.change(IDLE, CUT) || (!idle_alone && self.change(BUSY, CUT))
    }

    /// The same for one that is cut alone.
    pub(super) fn single_out(&self) -> bool {
        self.change(IDLE, SINGLED_OUT) || self.change(BUSY, SINGLED_OUT)
    }

    /// Whether the end of the server has cut it.
    pub(super) fn was_cut_at_the_end(&self) -> bool {
        self.known.state.load(SeqCst) == CUT
    }
}
