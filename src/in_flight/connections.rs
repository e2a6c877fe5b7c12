//! The connections that are in flight, for a drain to cut.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::InFlight;
use crate::sys;

/// Nothing has come from the peer, or more has come than has been answered.
const BUSY: u8 = 0;
/// All that came has been answered, and nothing has come since.
const IDLE: u8 = 1;
/// It has been cut.
const CUT: u8 = 2;

/// What a request tells of itself to a drain, which cuts idle connections first: see
/// [`Request::watch`](crate::Request::watch).
#[derive(Debug, Clone, Default)]
pub struct Activity {
    state: Arc<AtomicU8>,
    place: Weak<Place>,
}

impl Activity {
    /// An exchange is over, and nothing of the next one has come yet: whoever cuts the connection
    /// now does no harm.
    pub fn idle(&self) {
        self.change(BUSY, IDLE);
    }

    /// Something has come from the peer.
    pub fn busy(&self) {
        self.change(IDLE, BUSY);
    }

    /// For a request of this crate that drops it before its socket, and so may be cut to its very
    /// end: while it still sends, or waits for its peer to hang up.
    pub(crate) fn hold(&self) -> Listed {
        Listed(self.place.upgrade())
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// Whether it has been cut just now, and not before.
    fn cut(&self, idle_alone: bool) -> bool {
        self.change(IDLE, CUT) || (!idle_alone && self.change(BUSY, CUT))
    }

    fn is_cut(&self) -> bool {
        self.state.load(SeqCst) == CUT
    }
}

/// What ends a connection without a descriptor, as shutdown(2) does one with: whoever waits in a read
/// or write of it returns, and finds its end. See [`Request::cutter`](crate::Request::cutter).
///
/// It is called at most once, by another thread than the connection's, and must not wait; where the
/// connection has been closed by then, it does nothing.
pub struct Cutter(Box<dyn Fn() + Send + Sync>);

impl Cutter {
    /// Cuts by calling this.
    pub fn new(cut: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(cut))
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cutter")
    }
}

/// How a connection is cut.
#[derive(Debug)]
pub(crate) enum Line {
    Descriptor(RawFd),
    Other(Cutter),
}

impl From<BorrowedFd<'_>> for Line {
    #[inline]
    fn from(connection: BorrowedFd<'_>) -> Self {
        Self::Descriptor(connection.as_raw_fd())
    }
}

impl From<Cutter> for Line {
    fn from(cutter: Cutter) -> Self {
        Self::Other(cutter)
    }
}

impl Line {
    fn cut(&self, activity: &Activity, idle_alone: bool) {
        if activity.cut(idle_alone) {
            match self {
                Self::Descriptor(connection) => sys::cut_off(*connection),
                Self::Other(Cutter(cut)) => cut(),
            }
        }
    }
}

/// Each connection has a place from its acceptance until it is about to be closed; so a descriptor
/// that is cut is open, and is the one that was meant.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    all: Vec<Option<(Line, Activity)>>,
    free: Vec<usize>,
    /// How many have left after they were cut.
    cut: usize,
    /// All have been cut: whoever comes now, has been taken at the same moment, and is cut too.
    over: bool,
}

impl Connections {
    /// Enters a connection. Its place, and where it says whether it is idle.
    pub(super) fn enter(&self, connection: Line) -> (usize, Activity) {
        let activity = Activity::default();
        let mut places = self.0.lock();
        if places.over {
            connection.cut(&activity, false);
        }
        let entry = Some((connection, activity.clone()));
        match places.free.pop() {
            Some(place) => {
                places.all[place] = entry;
                (place, activity)
            }
            None => {
                places.all.push(entry);
                (places.all.len() - 1, activity)
            }
        }
    }

    /// Another session begins: nothing has been cut in it.
    pub(super) fn begin(&self) {
        let mut places = self.0.lock();
        (places.cut, places.over) = (0, false);
    }

    pub(super) fn leave(&self, place: usize) {
        let mut places = self.0.lock();
        if places.all[place].take().is_some_and(|(_, activity)| activity.is_cut()) {
            places.cut += 1;
        }
        places.free.push(place);
    }

    /// Cuts off all that are idle.
    pub(crate) fn cut_idle(&self) {
        self.0.lock().cut(true);
    }

    /// Cuts off all that are left.
    pub(crate) fn cut_all(&self) {
        let mut places = self.0.lock();
        places.over = true;
        places.cut(false);
    }

    /// How many have been cut off and have ended since.
    pub(crate) fn count_cut(&self) -> usize {
        self.0.lock().cut
    }
}

impl Places {
    fn cut(&self, idle_alone: bool) {
        for (connection, activity) in self.all.iter().flatten() {
            connection.cut(activity, idle_alone);
        }
    }
}

/// A connection that a drain may cut, until the last of these is dropped: before the connection is
/// closed, so that nobody cuts another one that has got its number.
#[derive(Debug, Default)]
pub(crate) struct Listed(
    #[expect(dead_code, reason = "it is there to be dropped")] Option<Arc<Place>>,
);

impl Listed {
    pub(super) fn new(flight: &Arc<InFlight>, connection: Line) -> (Self, Activity) {
        let (place, activity) = flight.connections.enter(connection);
        let place = Arc::new(Place { flight: Arc::clone(flight), place });
        let activity = Activity { place: Arc::downgrade(&place), ..activity };
        (Self(Some(place)), activity)
    }
}

struct Place {
    flight: Arc<InFlight>,
    place: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        // In a forked child no lock is touched, and the table is a copy.
        if !self.flight.control.is_child() {
            self.flight.connections.leave(self.place);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.place)
    }
}
