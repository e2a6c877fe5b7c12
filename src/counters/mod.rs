//! What a server counts.

mod rows;

use std::fmt;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use self::rows::Rows;
use crate::event::{Event, Refusal};
use crate::failure::FailureKind;

/// How many requests a server has accepted, and what became of them: readable at any time, from
/// every thread, and from the children of [`Forking`](crate::Forking),
/// [`ForkServer`](crate::ForkServer) and [`PreForking`](crate::PreForking), as the numbers lie in
/// memory that forked processes share.
///
/// Made first, given to the server by [`Server::counters`](crate::Server::counters), and to
/// whoever wants to read them, the handler included. One may be given to several servers, and
/// counts for all of them.
///
/// At every moment, `accepted = finished + failed + refused + active`. Where requests run in
/// processes, they are active until their process has been reaped. What a process of `PreForking`
/// had in hand when it was killed has failed as [lost](FailureKind::Lost).
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use socketserver::{Counters, FailureKind, TcpServer};
///
/// let counters = Counters::new()?;
/// let seen = counters.clone();
/// let mut server = TcpServer::bind_fn("127.0.0.1:0", move |conn| {
///     writeln!(conn, "you are number {}", seen.accepted())
/// })?
/// .counters(&counters);
/// # let client = std::net::TcpStream::connect(server.local_addr()?)?;
/// server.handle_request()?;
/// assert_eq!((counters.accepted(), counters.finished(), counters.active()), (1, 1, 0));
/// println!("{counters}"); // accepted 1, active 0, finished 1, failed 0, refused 0
///
/// // One by one, for whatever collects them:
/// for kind in FailureKind::ALL {
///     println!("failed_requests_total{{kind=\"{kind:?}\"}} {}", counters.failed_by(*kind));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Counters {
    rows: Arc<Rows>,
    /// Where it counts: in the row for all, or in that of a process that serves for another.
    row: usize,
}

const ACCEPTED: usize = 0;
const FINISHED: usize = 1;
const ACCEPT_FAILED: usize = 2;
const FAILED: usize = 3;
const REFUSED: usize = FAILED + FailureKind::ALL.len();
const WORDS: usize = REFUSED + Refusal::ALL.len();

impl Counters {
    /// All zero.
    ///
    /// # Errors
    ///
    /// Where the system has no page of memory for them.
    pub fn new() -> io::Result<Self> {
        Ok(Self { rows: Arc::new(Rows::new()?), row: 0 })
    }

    /// How many requests have been taken from the transport.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.sum(ACCEPTED)
    }

    /// How many requests have been handled.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.sum(FINISHED)
    }

    /// How many requests have failed, for all reasons together.
    #[must_use]
    pub fn failed(&self) -> u64 {
        FailureKind::ALL.iter().map(|kind| self.failed_by(*kind)).sum()
    }

    /// How many requests have failed in this way.
    #[must_use]
    pub fn failed_by(&self, kind: FailureKind) -> u64 {
        self.sum(FAILED + kind as usize)
    }

    /// How many requests have been turned away, for all reasons together.
    #[must_use]
    pub fn refused(&self) -> u64 {
        Refusal::ALL.iter().map(|why| self.refused_for(*why)).sum()
    }

    /// How many requests have been turned away for this reason.
    #[must_use]
    pub fn refused_for(&self, why: Refusal) -> u64 {
        self.sum(REFUSED + why as usize)
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn active(&self) -> u64 {
        // In this order: what ends after the first look has been accepted before the second.
        let ended = self.finished() + self.failed() + self.refused();
        self.accepted() - ended
    }

    /// How often no request could be taken because of an error: descriptors that have run out, a
    /// connection that was aborted while it waited.
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.sum(ACCEPT_FAILED)
    }

    /// What each process has counted so far that serves for the server now: those of
    /// [`PreForking`](crate::PreForking). What others have counted that are gone is in the sums alone.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessCounts> {
        let all = self.rows.processes();
        let all = all.map(|(process, [accepted, finished, failed, refused])| ProcessCounts {
            process,
            accepted,
            finished,
            failed,
            refused,
        });
        all.collect()
    }

    pub(crate) fn note(&self, event: Event) {
        let word = match event {
            Event::Accepted => ACCEPTED,
            Event::Finished => FINISHED,
            Event::Failed(kind) => FAILED + kind as usize,
            Event::Refused(why) => REFUSED + why as usize,
            Event::AcceptFailed => ACCEPT_FAILED,
        };
        self.at(word).fetch_add(1, SeqCst);
    }

    #[inline]
    fn at(&self, word: usize) -> &AtomicU64 {
        self.rows.at(self.row, word)
    }

    fn sum(&self, word: usize) -> u64 {
        self.rows.sum(word)
    }

    /// The same in a row of its own: for a process that may be killed, which `settle` is for then.
    /// To be taken before it is forked.
    pub(crate) fn row(&self) -> io::Result<Self> {
        Ok(Self { rows: Arc::clone(&self.rows), row: self.rows.take()? })
    }

    /// This process is the one that counts here.
    pub(crate) fn assign(&self) {
        self.rows.assign(self.row, process::id());
    }

    /// How many requests the one that counts here has accepted, and not ended.
    pub(crate) fn in_hand(&self) -> u64 {
        // In this order, for the reason that `active` gives.
        let ended = (0..WORDS).filter(|word| ![ACCEPTED, ACCEPT_FAILED].contains(word));
        let ended: u64 = ended.map(|word| self.at(word).load(SeqCst)).sum();
        self.at(ACCEPTED).load(SeqCst) - ended
    }

    /// Whoever has counted in this row counts no more: what it had in hand is lost. Gives the row back,
    /// and says how many that were.
    pub(crate) fn settle(&self) -> u64 {
        let lost = self.in_hand();
        self.at(FAILED + FailureKind::Lost as usize).fetch_add(lost, SeqCst);
        self.rows.give_back(self.row);
        lost
    }
}

/// What one process has counted: [`Counters::processes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessCounts {
    /// Its id.
    pub process: u32,
    /// How many requests it has taken.
    pub accepted: u64,
    /// How many it has handled.
    pub finished: u64,
    /// How many have failed in it.
    pub failed: u64,
    /// How many it has turned away.
    pub refused: u64,
}

impl ProcessCounts {
    /// How many requests it has in flight.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.accepted.saturating_sub(self.finished + self.failed + self.refused)
    }
}

/// The totals on one line.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before `accepted`, for the reason that `active` gives.
        let (finished, failed, refused) = (self.finished(), self.failed(), self.refused());
        let accepted = self.accepted();
        let active = accepted - finished - failed - refused;
        write!(
            f,
            "accepted {accepted}, active {active}, finished {finished}, failed {failed}, \
             refused {refused}"
        )
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counters({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_hand_in_a_row_is_lost_once_and_no_sum_goes_back() -> io::Result<()> {
        let counters = Counters::new()?;
        let (first, second) = (counters.row()?, counters.row()?);
        for row in [&counters, &first, &first, &second] {
            row.note(Event::Accepted);
        }
        first.note(Event::Finished);
        second.note(Event::Refused(Refusal::Full));
        assert_eq!((first.in_hand(), second.in_hand()), (1, 0));
        assert_eq!((counters.accepted(), counters.active()), (4, 2));
        assert_eq!((first.settle(), second.settle()), (1, 0));
        assert_eq!(counters.failed_by(FailureKind::Lost), 1);
        assert_eq!((counters.accepted(), counters.active()), (4, 1));

        // Whoever has a row next begins with nothing in hand.
        let again = counters.row()?;
        assert_eq!((again.row, again.in_hand()), (first.row, 0));
        again.note(Event::Accepted);
        again.assign();
        let [own] = counters.processes()[..] else { panic!("it is the only process") };
        assert_eq!((own.process, own.accepted, own.active()), (process::id(), 1, 1));
        assert_eq!((again.settle(), counters.failed_by(FailureKind::Lost)), (1, 2));
        assert_eq!(counters.processes(), []);
        Ok(())
    }
}
