//! What happens in a server, one word for each.

use std::fmt;

use crate::failure::FailureKind;

/// What has happened, as [`Handler::event`](crate::Handler::event) is told and
/// [`Counters`](crate::Counters) count; no event carries anything of a request.
///
/// Each request is [`Accepted`](Self::Accepted) once, and ends once: as
/// [`Finished`](Self::Finished), [`Failed`](Self::Failed) or [`Refused`](Self::Refused).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A request has been taken from the transport.
    Accepted,
    /// A request has been handled, and closed.
    Finished,
    /// A request has failed, and been closed.
    Failed(FailureKind),
    /// A request has been turned away, and closed.
    Refused(Refusal),
    /// No request could be taken: the transport, or the system, said an error.
    AcceptFailed,
}

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// As many requests were in flight as there may be:
    /// [`Limits::at_once`](crate::Limits::at_once).
    Full,
    /// As many requests of its source were in flight as there may be:
    /// [`Limits::per_source`](crate::Limits::per_source).
    Source,
    /// Requests came faster than they may: [`Limits::rate`](crate::Limits::rate).
    Rate,
    /// A peer of its source was not let in a while ago:
    /// [`Limits::penalty`](crate::Limits::penalty).
    Penalty,
    /// [`verify_request`](crate::Handler::verify_request) said no.
    Rejected,
}

impl Refusal {
    /// Every reason, for those who show what has been [counted](crate::Counters::refused_for) of
    /// each.
    pub const ALL: &'static [Self] =
        &[Self::Full, Self::Source, Self::Rate, Self::Penalty, Self::Rejected];
}

/// In words, for a log: "too many requests at once".
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many requests at once",
            Self::Source => "too many requests of one source",
            Self::Rate => "requests come too fast",
            Self::Penalty => "its source is kept away for a while",
            Self::Rejected => "rejected by verify_request",
        })
    }
}
