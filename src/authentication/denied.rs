//! A refusal.

use std::io::{self, ErrorKind};
use std::{error, fmt};

/// Why a peer is not let in: what an error of the kind
/// [`PermissionDenied`](ErrorKind::PermissionDenied) holds then, whose request fails as
/// [`FailureKind::Denied`](crate::FailureKind::Denied). The peer is not told which it was.
///
/// # Examples
///
/// ```
/// use socketserver::{Denied, Failure};
///
/// fn was_no_proxy(failure: &Failure) -> bool {
///     failure.as_error().and_then(Denied::of) == Some(Denied::Untrusted)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denied {
    /// It is not one of the proxies that are trusted.
    Untrusted,
    /// As many requests of its source are in flight as there may be.
    Source,
    /// It could not show that it is one of those who may come in.
    Identity,
}

impl Denied {
    /// The refusal that an error is, if it is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => "denied: the peer is not a proxy that is trusted",
            Self::Source => "denied: too many requests of one source",
            Self::Identity => "denied: the peer is not one of those who may come in",
        })
    }
}

impl error::Error for Denied {}

impl From<Denied> for io::Error {
    fn from(denied: Denied) -> Self {
        Self::new(ErrorKind::PermissionDenied, denied)
    }
}
