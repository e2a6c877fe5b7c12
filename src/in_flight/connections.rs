//! What is in flight, for a drain to cut, and for a [`Live`](crate::Live) to list.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::InFlight;
use super::activity::Activity;
use crate::live::{Board, Served};
use crate::sys;

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
    fn cut(&self) {
        match self {
            Self::Descriptor(connection) => sys::cut_off(*connection),
            Self::Other(Cutter(cut)) => cut(),
        }
    }

    /// Who is at the other end, where the system knows.
    fn peer(&self) -> Option<String> {
        match self {
            Self::Descriptor(connection) => sys::peer_name(*connection),
            Self::Other(_) => None,
        }
    }
}

/// Each connection has a place from its acceptance until it is about to be closed; so a descriptor
/// that is cut is open, and is the one that was meant. Where somebody may list what is in flight, all
/// requests have a place, and leave it when they have ended.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    all: Vec<Option<Record>>,
    free: Vec<usize>,
    /// How many have left after they were cut.
    cut: usize,
    /// All have been cut: whoever comes now, has been taken at the same moment, and is cut too.
    over: bool,
}

#[derive(Debug)]
struct Record {
    way: Way,
    activity: Activity,
    /// Its number and its beginning, where somebody may list it.
    listing: Option<(u64, Instant)>,
}

/// How a request can be cut.
#[derive(Debug)]
enum Way {
    /// By its connection.
    Here(Line),
    /// By the end of its process, where that is known.
    Elsewhere(Option<u32>),
    /// There is nothing to cut: a packet, a task, a connection that is about to be closed.
    Not,
}

/// What there is to be done for one that is to be cut alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Done,
    /// Its process has to be ended, by whoever reaps it.
    Elsewhere,
    /// It has ended, has been cut, or can't be.
    Nothing,
}

impl Connections {
    /// Enters a request, and its connection if it has one. Its place, and where it says what it does.
    pub(super) fn enter(
        &self,
        connection: Option<Line>,
        board: Option<&Board>,
    ) -> (usize, Activity) {
        let activity = Activity::new(board.is_some());
        let listing = board.map(|board| (board.number(), Instant::now()));
        let way = connection.map_or(Way::Not, Way::Here);
        let record = Record { way, activity: activity.clone(), listing };
        let mut places = self.0.lock();
        if places.over {
            record.cut(false);
        }
        match places.free.pop() {
            Some(place) => {
                places.all[place] = Some(record);
                (place, activity)
            }
            None => {
                places.all.push(Some(record));
                (places.all.len() - 1, activity)
            }
        }
    }

    /// Another session begins: nothing has been cut in it.
    pub(super) fn begin(&self) {
        let mut places = self.0.lock();
        (places.cut, places.over) = (0, false);
    }

    /// Its connection is about to be closed. One that nobody may list leaves with that.
    pub(super) fn close(&self, place: usize) {
        let mut places = self.0.lock();
        match &mut places.all[place] {
            Some(Record { listing: None, .. }) => places.leave(place),
            Some(Record { way: way @ Way::Here(_), .. }) => *way = Way::Not,
            _ => {}
        }
    }

    /// It has ended.
    pub(super) fn leave(&self, place: usize) {
        self.0.lock().leave(place);
    }

    /// Another process goes on with it, and closes the connection.
    pub(super) fn hand_over(&self, place: usize, process: Option<u32>) {
        if let Some(record) = &mut self.0.lock().all[place] {
            record.peer();
            record.way = Way::Elsewhere(process);
        }
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

    /// Cuts off the one that is known by this number; where this `is_copy` in a forked child, only by
    /// the end of its process.
    pub(crate) fn cut_one(&self, id: u64, is_copy: bool) -> Cut {
        let Some(places) = self.look(is_copy) else { return Cut::Nothing };
        let mut listed = places.all.iter().flatten();
        let record = listed.find(|record| record.listing.is_some_and(|(own, _)| own == id));
        match record.map(|record| (&record.way, &record.activity)) {
            Some((Way::Here(connection), activity)) if !is_copy && activity.single_out() => {
                connection.cut();
                Cut::Done
            }
            Some((Way::Elsewhere(Some(_)), activity)) if !activity.is_cut() => Cut::Elsewhere,
            _ => Cut::Nothing,
        }
    }

    /// Notes that the process of the one at this place is ended, if its number is `id`; whether it is.
    pub(super) fn is_to_be_ended(&self, place: usize, id: u64) -> bool {
        let places = self.0.lock();
        let Some(record) = &places.all[place] else { return false };
        record.listing.is_some_and(|(own, _)| own == id) && record.activity.single_out()
    }

    /// Whether the one at this place has been cut.
    pub(super) fn is_cut(&self, place: usize) -> bool {
        self.0.lock().all[place].as_ref().is_some_and(|record| record.activity.is_cut())
    }

    /// All that can be listed.
    pub(crate) fn list(&self, is_copy: bool) -> Vec<Served> {
        let places = self.look(is_copy);
        let all = places.iter().flat_map(|places| places.all.iter().flatten());
        all.filter_map(Record::list).collect()
    }

    /// The table; none, where it is a copy in a forked child, and was being changed at that moment.
    fn look(&self, is_copy: bool) -> Option<MutexGuard<'_, Places>> {
        if is_copy { self.0.try_lock() } else { Some(self.0.lock()) }
    }
}

impl Places {
    fn cut(&self, idle_alone: bool) {
        self.all.iter().flatten().for_each(|record| record.cut(idle_alone));
    }

    fn leave(&mut self, place: usize) {
        if self.all[place].take().is_some_and(|record| record.activity.was_cut_at_the_end()) {
            self.cut += 1;
        }
        self.free.push(place);
    }
}

impl Record {
    fn cut(&self, idle_alone: bool) {
        if let Way::Here(connection) = &self.way {
            if self.activity.cut(idle_alone) {
                connection.cut();
            }
        }
    }

    /// Who is at the other end; the system is asked once.
    fn peer(&self) -> Option<String> {
        self.activity.peer(|| match &self.way {
            Way::Here(connection) => connection.peer(),
            Way::Elsewhere(_) | Way::Not => None,
        })
    }

    fn list(&self) -> Option<Served> {
        let (id, since) = self.listing?;
        let bytes = matches!(self.way, Way::Here(_)).then(|| self.activity.bytes());
        Some(Served {
            id,
            peer: self.peer(),
            since,
            received: bytes.map(|(received, _)| received),
            sent: bytes.map(|(_, sent)| sent),
            idle: self.activity.is_idle(),
            process: if let Way::Elsewhere(process) = self.way { process } else { None },
        })
    }
}

/// A connection that may be cut, until the last of these is dropped: before the connection is closed,
/// so that nobody cuts another one that has got its number.
#[derive(Debug, Default)]
pub(crate) struct Listed(
    #[expect(dead_code, reason = "it is there to be dropped")] pub(super) Option<Arc<Place>>,
);

impl Listed {
    /// With its place, for as long as the request is in flight, where somebody may list it.
    pub(super) fn new(
        flight: &Arc<InFlight>,
        connection: Option<Line>,
    ) -> (Self, Activity, Option<usize>) {
        let board = flight.permits.board();
        let (place, mut activity) = flight.connections.enter(connection, board);
        let listed = Arc::new(Place { flight: Arc::clone(flight), place });
        activity.place = Arc::downgrade(&listed);
        (Self(Some(listed)), activity, board.map(|_| place))
    }
}

/// The time in which a connection is open.
pub(super) struct Place {
    flight: Arc<InFlight>,
    place: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        // In a forked child no lock is touched, and the table is a copy.
        if !self.flight.control.is_child() {
            self.flight.connections.close(self.place);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.place)
    }
}
