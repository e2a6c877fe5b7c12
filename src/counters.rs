//! What a server counts.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::event::{Event, Refusal};
use crate::failure::FailureKind;
use crate::sys::SharedWords;

/// How many requests a server has accepted, and what became of them: readable at any time, from
/// every thread, and from the children of [`Forking`](crate::Forking) and
/// [`ForkServer`](crate::ForkServer), as the numbers lie in memory that forked processes share.
///
/// Made first, given to the server by [`Server::counters`](crate::Server::counters), and to
/// whoever wants to read them, the handler included. One may be given to several servers, and
/// counts for all of them.
///
/// At every moment, `accepted = finished + failed + refused + active`. Where requests run in
/// processes, they are active until their process has been reaped.
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
pub struct Counters(Arc<SharedWords<WORDS>>);

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
        Ok(Self(Arc::new(SharedWords::new()?)))
    }

    /// How many requests have been taken from the transport.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.at(ACCEPTED).load(SeqCst)
    }

    /// How many requests have been handled.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.at(FINISHED).load(SeqCst)
    }

    /// How many requests have failed, for all reasons together.
    #[must_use]
    pub fn failed(&self) -> u64 {
        FailureKind::ALL.iter().map(|kind| self.failed_by(*kind)).sum()
    }

    /// How many requests have failed in this way.
    #[must_use]
    pub fn failed_by(&self, kind: FailureKind) -> u64 {
        self.at(FAILED + kind as usize).load(SeqCst)
    }

    /// How many requests have been turned away, for all reasons together.
    #[must_use]
    pub fn refused(&self) -> u64 {
        Refusal::ALL.iter().map(|why| self.refused_for(*why)).sum()
    }

    /// How many requests have been turned away for this reason.
    #[must_use]
    pub fn refused_for(&self, why: Refusal) -> u64 {
        self.at(REFUSED + why as usize).load(SeqCst)
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
        self.at(ACCEPT_FAILED).load(SeqCst)
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

    fn at(&self, word: usize) -> &AtomicU64 {
        &self.0[word]
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
