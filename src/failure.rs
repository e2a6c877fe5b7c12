//! What can go wrong with a request, classified.

use std::any::Any;
use std::io::{self, ErrorKind, Write};
use std::{error, fmt};

use crate::authentication::Denied;

/// Where in its life a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The handler's [`verify_request`](crate::Handler::verify_request).
    Verify,
    /// Nothing was there to run it, or its [second half](crate::InHalves): no thread, no process.
    Start,
    /// The request's own [`establish`](crate::Request::establish).
    Establish,
    /// The handler's [`setup`](crate::Handler::setup).
    Setup,
    /// The handler's [`handle`](crate::Handler::handle).
    Handle,
    /// The handler's [`finish`](crate::Handler::finish).
    Finish,
    /// The request's own [`deliver`](crate::Request::deliver).
    Deliver,
}

/// What kind of failure it is: what decides whom it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The peer went away: reset, aborted, closed in the middle. Part of every server's day.
    PeerGone,
    /// A read or write took longer than its timeout, or a [deadline](crate::Deadlines) has passed.
    TimedOut,
    /// Peer and server did not come to terms before the first request: a TLS handshake failed.
    /// Scanners do that all day; so does a client that is set up wrongly.
    Handshake,
    /// The handler, or the request itself, returned an error.
    Error,
    /// The peer was not let in, for what it is or could not show: [`Denied`].
    Denied,
    /// A panic, contained.
    Panic,
    /// The request could not be started: no thread, no process.
    NotStarted,
    /// The server has cut it off: by [`Live::cut`](crate::Live::cut), or at its own end, as its
    /// [`Drain`](crate::Drain) says.
    Cut,
    /// Nobody has seen how it ended: the process that ran it was killed, or its strategy dropped
    /// it. [`handle_error`](crate::Handler::handle_error) is not told, as there is no request any
    /// more.
    Lost,
}

impl FailureKind {
    /// Every kind, for those who show what has been [counted](crate::Counters::failed_by) of each.
    pub const ALL: &'static [Self] = &[
        Self::PeerGone,
        Self::TimedOut,
        Self::Handshake,
        Self::Error,
        Self::Denied,
        Self::Panic,
        Self::NotStarted,
        Self::Cut,
        Self::Lost,
    ];

    /// What an error of a connection says of it.
    pub(crate) fn of_connection(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Self::PeerGone,
            // An expired SO_RCVTIMEO or SO_SNDTIMEO is EAGAIN (socket(7)).
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            _ if Denied::of(error).is_some() => Self::Denied,
            _ => Self::Error,
        }
    }
}

/// In words, for a log: "the peer went away".
impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerGone => "the peer went away",
            Self::TimedOut => "timed out",
            Self::Handshake => "a handshake failed",
            Self::Error => "an error",
            Self::Denied => "the peer was not let in",
            Self::Panic => "a panic",
            Self::NotStarted => "could not be started",
            Self::Cut => "the server has cut it off",
            Self::Lost => "its end was not seen",
        })
    }
}

/// A request's failure, as [`handle_error`](crate::Handler::handle_error) gets it; Python leaves
/// it in `sys.exc_info()`.
pub struct Failure {
    stage: Stage,
    kind: FailureKind,
    cause: Cause,
}

pub(crate) enum Cause {
    Error(io::Error),
    Panic(Box<dyn Any + Send>),
}

impl Failure {
    pub(crate) fn new(
        stage: Stage,
        cause: Cause,
        classify: impl FnOnce(&io::Error) -> FailureKind,
    ) -> Self {
        let kind = match &cause {
            Cause::Panic(_) => FailureKind::Panic,
            Cause::Error(_) if stage == Stage::Start => FailureKind::NotStarted,
            Cause::Error(error) => classify(error),
        };
        Self { stage, kind, cause }
    }

    /// Where it happened.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What kind it is, as the request [classified](crate::Request::classify) it.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The error, unless it was a panic.
    #[must_use]
    pub fn as_error(&self) -> Option<&io::Error> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            Cause::Panic(_) => None,
        }
    }

    /// The panic's message, where it was a panic and has one.
    #[must_use]
    pub fn panic_message(&self) -> Option<&str> {
        let Cause::Panic(payload) = &self.cause else { return None };
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&'static str>().copied())
    }
}

/// Where it happened and what it was: "handle: connection reset by peer", "setup panicked: no".
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Stage::Verify => f.write_str("verify_request")?,
            Stage::Start => f.write_str("the request could not be started")?,
            Stage::Establish => f.write_str("establishing the request")?,
            Stage::Setup => f.write_str("setup")?,
            Stage::Handle => f.write_str("handle")?,
            Stage::Finish => f.write_str("finish")?,
            Stage::Deliver => f.write_str("sending what was written")?,
        }
        match (&self.cause, self.panic_message()) {
            // The system's text for it is "Resource temporarily unavailable".
            (Cause::Error(error), _)
                if self.kind == FailureKind::TimedOut && error.get_ref().is_none() =>
            {
                f.write_str(": timed out")
            }
            (Cause::Error(error), _) => write!(f, ": {error}"),
            (Cause::Panic(_), Some(message)) => write!(f, " panicked: {message}"),
            (Cause::Panic(_), None) => f.write_str(" panicked"),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("stage", &self.stage)
            .field("kind", &self.kind())
            .field("text", &format_args!("{self}"))
            .finish()
    }
}

impl error::Error for Failure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.as_error().map(|error| error as _)
    }
}

/// One line for what nobody has said where to send: a warning to the `log` crate where that is
/// wanted and somebody listens, and else on stderr. A stderr that is gone is no reason to panic.
pub(crate) fn complain(what: fmt::Arguments<'_>) {
    #[cfg(feature = "log")]
    if log::log_enabled!(target: "socketserver", log::Level::Warn) {
        log::warn!(target: "socketserver", "{what}");
        return;
    }
    let _ = writeln!(io::stderr(), "socketserver: {what}");
}
