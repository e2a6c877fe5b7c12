//! How many requests are let in, from whom, and how fast; and what becomes of the others.

#[cfg(feature = "proxy")]
mod networks;
mod penalties;
mod rate;
mod sources;

#[cfg(feature = "proxy")]
pub use networks::{Network, NotANetwork, from_networks};
pub(crate) use sources::Entered;
#[cfg(feature = "proxy")]
pub(crate) use sources::gate;
pub use sources::{PeerIp, PeerUid, by_ip, by_prefix, by_uid};

use std::borrow::Cow;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};

use self::penalties::Penalties;
use self::rate::Rate;
use self::sources::{Sources, Table};
use crate::event::Refusal;
use crate::in_flight::{InFlight, Ticket};
use crate::live::Board;
use crate::request::Request;
use crate::transport::Transport;

/// How many requests a server lets in at once, from one source, and in a time; given to it by
/// [`Server::limits`](crate::Server::limits), whatever its strategy.
///
/// The number at once is exact: a permit is taken before a request is, and given back when the
/// request has been closed, its last bytes sent and its last input read; under
/// [`Forking`](crate::Forking), when its process has been reaped. So a server whose descriptors
/// are limited by this never runs out of them. Requests that are turned away are counted
/// ([`Counters::refused_for`](crate::Counters::refused_for)) and told
/// ([`Event::Refused`](crate::Event::Refused)) with their reason; `verify_request` does not see
/// them.
///
/// Python has a limit for `ForkingMixIn` alone (`max_children`).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Limits, Refuse, ThreadingTcpServer, WhenFull, by_ip};
///
/// let limits = Limits::new()
///     .at_once(1000)
///     .when_full(WhenFull::RefuseAfter(Duration::from_millis(500)))
///     .per_source(16, by_ip)
///     .rate(200, Duration::from_secs(1))
///     .refuse(Refuse::Answer(b"busy, try again later\n".into()));
/// let server = ThreadingTcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?.limits(limits)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "limits do nothing before `Server::limits`"]
#[doc(alias("max_connections", "LimitListener"))]
pub struct Limits<T> {
    most: usize,
    full: WhenFull,
    refusal: Refuse,
    sources: Vec<Arc<dyn Sources<T>>>,
    tempo: Option<Rate>,
    wrong: Option<&'static str>,
}

/// What becomes of requests that come when there are as many as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// They are left where they are, in the queue of the kernel, until another request has ended:
    /// for the peer, a connection that is made, and answered late. Where the queue is full too, the
    /// kernel makes TCP clients try again, and refuses those of Unix sockets (`EAGAIN`).
    #[default]
    LeaveInBacklog,
    /// They are taken, and turned away at once.
    Refuse,
    /// The first in the queue is left there for so long, and turned away if no other request has
    /// ended by then, with all that have come behind it.
    RefuseAfter(Duration),
}

/// How a request is turned away. The loop does not wait for its peer in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Refuse {
    /// It is closed without a word: the peer of a connection sees its end.
    #[default]
    Close,
    /// These bytes are sent, as far as the peer takes them at once, and it is closed. Over UDP, only
    /// where they are no more than [`max_amplification`](crate::Options::max_amplification) allows.
    Answer(Cow<'static, [u8]>),
    /// It is reset: the peer of a connection over TCP sees `ECONNRESET`, and the server's machine
    /// keeps nothing of it (no `TIME_WAIT`). Elsewhere the same as [`Close`](Self::Close).
    Reset,
}

impl<T> Limits<T> {
    /// At once, three quarters of the descriptors that the process may have (`RLIMIT_NOFILE`, at
    /// this moment), so that the rest of it has some left; no limits beyond that.
    pub fn new() -> Self {
        let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _hard)| soft);
        let descriptors = usize::try_from(soft).unwrap_or(usize::MAX);
        Self {
            most: (descriptors - descriptors / 4).max(1),
            full: WhenFull::default(),
            refusal: Refuse::default(),
            sources: Vec::new(),
            tempo: None,
            wrong: None,
        }
    }

    /// How many requests may be in flight at once.
    pub fn at_once(mut self, most: usize) -> Self {
        self.require(most > 0, "at_once(0) would let no request in; it has to be at least 1");
        self.most = most;
        self
    }

    /// What becomes of requests that come while there are as many as there may be at once, or that
    /// come faster than they may. [`WhenFull::LeaveInBacklog`] by default.
    pub fn when_full(mut self, full: WhenFull) -> Self {
        self.full = full;
        self
    }

    /// How requests are turned away, for whatever reason. [`Refuse::Close`] by default.
    pub fn refuse(mut self, refuse: Refuse) -> Self {
        self.refusal = refuse;
        self
    }

    /// How many requests of one source may be in flight at once. What a source is, `key` says:
    /// [`by_ip`], [`by_prefix`], [`by_uid`], or a function of yours. One that comes in addition is
    /// turned away at once.
    ///
    /// It may be called several times: a request has to pass all of them. The table has an entry
    /// for each source that has requests in flight, and no others.
    ///
    /// # Examples
    ///
    /// ```
    /// use socketserver::{Limits, Tcp, TcpServer};
    ///
    /// // What is the transport's has to be written out where `key` is a closure.
    /// let limits = Limits::<Tcp>::new().per_source(2, |conn| conn.peer().ip().is_loopback());
    /// let server = TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?.limits(limits)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn per_source<K>(
        mut self,
        most: usize,
        key: impl Fn(&T::Request) -> K + Send + Sync + 'static,
    ) -> Self
    where
        T: Transport + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.require(most > 0, "per_source(0) would let no request in; it has to be at least 1");
        self.sources.push(Arc::new(Table::new(most, key)));
        self
    }

    /// For how long a source is kept away, one of whose peers was not let in
    /// ([`FailureKind::Denied`](crate::FailureKind::Denied)): so long the `first` time, and twice as
    /// long each time after that, up to `longest`. Its connections are turned away at once
    /// ([`Refusal::Penalty`]), before a thread or process is spent on them. What it has done is
    /// forgotten when it has done nothing for `longest`.
    ///
    /// It slows down those who try many keys, and sets a trap for those who share their address with
    /// others: whoever sits behind one address (a proxy's, say) shares its penalties. 65536 sources
    /// are remembered at a time. sshd has the same (`PerSourcePenalties`).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::{Limits, Tcp, by_prefix};
    ///
    /// let (first, longest) = (Duration::from_secs(5), Duration::from_secs(600));
    /// let limits = Limits::<Tcp>::new().penalty(first, longest, by_prefix(32, 64));
    /// ```
    pub fn penalty<K>(
        mut self,
        first: Duration,
        longest: Duration,
        key: impl Fn(&T::Request) -> K + Send + Sync + 'static,
    ) -> Self
    where
        T: Transport + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.require(!first.is_zero(), "a penalty of no time is none; it has to be longer");
        self.require(first <= longest, "the first penalty can't be longer than the longest");
        self.sources.push(Arc::new(Penalties::new(first, longest, key)));
        self
    }

    /// How many requests may be taken in each such time, and how many of them one after the other
    /// without a pause: a bucket of `most` tokens that is filled evenly.
    ///
    /// What comes faster waits in the kernel's queue, or is turned away, as
    /// [`when_full`](Self::when_full) says. (A rate that is kept by waiting makes a storm of
    /// reconnecting clients last; where those are to be expected, refuse.)
    pub fn rate(mut self, most: u32, per: Duration) -> Self {
        self.require(most > 0, "rate(0) would let no request in; it has to be at least 1");
        self.require(!per.is_zero(), "rate needs a time that is longer than zero");
        self.tempo = Some(Rate::new(most.max(1), per));
        self
    }

    fn require(&mut self, right: bool, what: &'static str) {
        if !right {
            self.wrong = self.wrong.or(Some(what));
        }
    }

    /// Says of the limits what is wrong with them, before a server has them.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.wrong {
            Some(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, what)),
            None => Ok(()),
        }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Whether there is a rate, and how many tables count requests by their sources.
    pub(crate) fn others(&self) -> (bool, usize) {
        let tables = self.sources.iter().filter(|table| table.most().is_some());
        (self.tempo.is_some(), tables.count())
    }
}

/// No request may be taken before somebody leaves, or this time has come.
pub(crate) struct Shut(pub(crate) Option<Instant>);

impl<T: Transport> Limits<T> {
    /// Before a request is taken. `since` is when the first request was left waiting.
    pub(crate) fn enter(
        &self,
        flight: &Arc<InFlight>,
        since: Option<Instant>,
    ) -> Result<Ticket, Shut> {
        if !flight.permits.take() {
            return self.full(flight, Refusal::Full, since, None);
        }
        let ticket = Ticket::new(flight, None);
        let most = flight.permits.board().and_then(Board::rate);
        match self.tempo.as_ref().map(|rate| rate.take(most)) {
            None | Some(Ok(())) => Ok(ticket),
            Some(Err(next)) => {
                // Before another is forced: it would be one too many.
                drop(ticket);
                self.full(flight, Refusal::Rate, since, Some(next))
            }
        }
    }

    fn full(
        &self,
        flight: &Arc<InFlight>,
        why: Refusal,
        since: Option<Instant>,
        next: Option<Instant>,
    ) -> Result<Ticket, Shut> {
        let refuse_at = match self.full {
            WhenFull::LeaveInBacklog => None,
            WhenFull::Refuse => Some(Instant::now()),
            WhenFull::RefuseAfter(wait) => since.unwrap_or_else(Instant::now).checked_add(wait),
        };
        if refuse_at.is_some_and(|at| at <= Instant::now()) {
            flight.permits.force();
            return Ok(Ticket::new(flight, Some(why)));
        }
        Err(Shut([refuse_at, next].into_iter().flatten().min()))
    }

    /// No request was there to be taken.
    pub(crate) fn not_taken(&self, flight: &InFlight) {
        if let Some(rate) = &self.tempo {
            rate.give_back(flight.permits.board().and_then(Board::rate));
        }
    }

    /// Whether it is of interest since when a request has waited.
    pub(crate) fn is_patient(&self) -> bool {
        matches!(self.full, WhenFull::RefuseAfter(_))
    }

    /// When a request has been taken, and its source is known.
    pub(crate) fn admit(
        &self,
        flight: &InFlight,
        ticket: &mut Ticket,
        request: &T::Request,
    ) -> Result<(), Refusal> {
        if let Some(why) = ticket.refused() {
            return Err(why);
        }
        let (board, mut number) = (flight.permits.board(), 0);
        for table in &self.sources {
            let changed = board.and_then(|board| board.per_source(number));
            ticket.keep(table.enter(request, changed)?);
            number += usize::from(table.most().is_some());
        }
        Ok(())
    }

    /// Turns a request away.
    pub(crate) fn turn_away(&self, request: &mut T::Request) {
        match &self.refusal {
            Refuse::Close => {}
            Refuse::Answer(bytes) => request.answer(bytes),
            Refuse::Reset => return request.reset_request(),
        }
        request.shutdown_request();
    }
}

impl<T> Default for Limits<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Limits<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_source: Vec<usize> = self.sources.iter().filter_map(|table| table.most()).collect();
        f.debug_struct("Limits")
            .field("at_once", &self.most)
            .field("when_full", &self.full)
            .field("refuse", &self.refusal)
            .field("per_source", &per_source)
            .field("rate", &self.tempo)
            .finish()
    }
}
