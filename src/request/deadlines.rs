//! How long a peer may take, each deadline named after one thing.

use std::io::{self, ErrorKind};
use std::time::Duration;
use std::{error, fmt};

use crate::handler::Guarded;

/// How long the peer of a connection may take. A value of deadlines holds a handler's connections
/// to them: [`guard`](Self::guard).
///
/// [`Options::timeout`](crate::Options::timeout), Python's, is that of each single read and write,
/// and a peer that sends a byte in time each time is never timed out by it. These end such a peer.
///
/// | | what may take so long | from | to |
/// | --- | --- | --- | --- |
/// | [`first_byte`](Self::first_byte) | a connection that says nothing | a read that waits | its first byte |
/// | [`idle`](Self::idle) | any later silence | a read that waits | the next byte |
/// | [`request`](Self::request) | one exchange as a whole | its first byte | the end of the answer |
/// | [`min_rate`](Self::min_rate) | so many bytes of a request | the last so many | the next |
/// | [`write`](Self::write) | a peer that takes nothing | a write that waits | any progress |
///
/// None is set at first, and one that is not set costs nothing. Whichever passes first ends the
/// connection: the read or write fails with the kind [`TimedOut`](ErrorKind::TimedOut), holding
/// [`DeadlinePassed`], and so does every later read. What the peer takes at once can still be sent,
/// so that [`handle_error`](crate::Handler::handle_error) has a last word. With a timeout as well,
/// the shorter counts; after a timeout, other than after a deadline, the connection can be read
/// again.
///
/// An exchange ends when the handler answers [`Next::Again`](crate::Next::Again) or `Done`; several
/// that a handler serves in one call of `handle` are one here. Only waiting for the peer is ended:
/// a handler that computes is not, and what it then sends still leaves if the peer takes it at once.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, Write};
/// use std::time::Duration;
/// use socketserver::{Deadlines, TcpRequest, ThreadingTcpServer, handler_fn};
///
/// const DEADLINES: Deadlines = Deadlines::new()
///     .first_byte(Duration::from_secs(10))
///     .request(Duration::from_secs(30))
///     .write(Duration::from_secs(10));
/// let echo = handler_fn(|conn: &mut TcpRequest| {
///     let mut line = Vec::new();
///     conn.read_until(b'\n', &mut line)?;
///     conn.write_all(&line)
/// });
/// let server = ThreadingTcpServer::bind("127.0.0.1:0", DEADLINES.guard(echo)?)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[must_use = "deadlines do nothing before they guard a handler"]
pub struct Deadlines {
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) request: Option<Duration>,
    pub(super) rate: Option<(usize, Duration)>,
    pub(super) write: Option<Duration>,
}

impl Deadlines {
    /// None yet.
    pub const fn new() -> Self {
        Self { first_byte: None, idle: None, request: None, rate: None, write: None }
    }

    /// How long a new connection may say nothing, from the first time that it is waited for. Where
    /// this is not set, `idle` counts in its place, and then `request`.
    pub const fn first_byte(mut self, time: Duration) -> Self {
        self.first_byte = Some(time);
        self
    }

    /// How long the peer may be silent, once it has begun to speak: in the middle of a request, or
    /// between two. Where this is not set, a silence between two may last as long as a `request`.
    pub const fn idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    /// How long one exchange may take as a whole, from its first byte to the end of its answer,
    /// however diligently the peer sends or takes byte after byte. It holds by itself: the silence
    /// before a request, and a write to a peer that takes nothing, may last no longer where no
    /// deadline of their own is set.
    pub const fn request(mut self, time: Duration) -> Self {
        self.request = Some(time);
        self
    }

    /// How slowly a request may come: for every `bytes` of it, the peer is waited for no longer
    /// than `per` in all. Time in which the handler does something else does not count, nor does
    /// the silence before the request; what came quickly is not credited to what follows.
    pub const fn min_rate(mut self, bytes: usize, per: Duration) -> Self {
        self.rate = Some((bytes, per));
        self
    }

    /// How long a write may make no progress, as the peer takes nothing. A peer that takes a little
    /// at a time is ended by `request`.
    pub const fn write(mut self, time: Duration) -> Self {
        self.write = Some(time);
        self
    }

    /// A handler that holds its connections to these deadlines, and is `handler` otherwise: any
    /// handler of connections, under any strategy.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a deadline of zero, and a rate of zero bytes.
    pub fn guard<H>(self, handler: H) -> io::Result<Guarded<H>> {
        self.check()?;
        Ok(Guarded::new(self, handler))
    }

    pub(super) fn check(&self) -> io::Result<()> {
        let wrong = |what: String| Err(io::Error::new(ErrorKind::InvalidInput, what));
        let per = self.rate.map(|(_, per)| per);
        let all = [
            (self.first_byte, "first_byte"),
            (self.idle, "idle"),
            (self.request, "request"),
            (per, "min_rate"),
            (self.write, "write"),
        ];
        if let Some((_, name)) = all.iter().find(|(time, _)| time.is_some_and(|t| t.is_zero())) {
            return wrong(format!(
                "a {name} of no time ends every connection; it has to be longer"
            ));
        }
        match self.rate {
            Some((0, _)) => wrong("a min_rate of 0 bytes is none; it has to be at least 1".into()),
            _ => Ok(()),
        }
    }
}

/// Which of the [`Deadlines`] a connection has missed: what an error of the kind
/// [`TimedOut`](ErrorKind::TimedOut) holds then.
///
/// # Examples
///
/// ```
/// use socketserver::{DeadlinePassed, Failure};
///
/// fn was_slow(failure: &Failure) -> bool {
///     let inner = failure.as_error().and_then(std::io::Error::get_ref);
///     inner.and_then(|inner| inner.downcast_ref()) == Some(&DeadlinePassed::Rate)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadlinePassed {
    /// [`Deadlines::first_byte`], or what counts in its place.
    FirstByte,
    /// [`Deadlines::idle`], or what counts in its place.
    Idle,
    /// [`Deadlines::request`].
    Request,
    /// [`Deadlines::min_rate`].
    Rate,
    /// [`Deadlines::write`], or what counts in its place.
    Write,
    /// What a stage of the request may take by itself, such as a handshake: see
    /// [`Connection::set_stage_end`](crate::Connection::set_stage_end).
    Stage,
}

impl fmt::Display for DeadlinePassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "timed out: the peer has said nothing",
            Self::Idle => "timed out: the peer has fallen silent",
            Self::Request => "timed out: the request took too long as a whole",
            Self::Rate => "timed out: the request came too slowly",
            Self::Write => "timed out: the peer does not take what is sent",
            Self::Stage => {
                "timed out: the peer took too long before its first request, or after \
                            its last"
            }
        })
    }
}

impl error::Error for DeadlinePassed {}

impl From<DeadlinePassed> for io::Error {
    fn from(passed: DeadlinePassed) -> Self {
        Self::new(ErrorKind::TimedOut, passed)
    }
}
