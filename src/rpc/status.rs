//! What a caller is told in place of results.

use std::{error, fmt};

use super::xdr::Garbage;

/// Why a call has no results: what [`Program::call`](super::Program::call) returns in place of them,
/// and the caller is told. The names are those of RFC 5531.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `PROG_UNAVAIL`: the program is not here.
    ProgUnavail,
    /// `PROG_MISMATCH`: not in this version, but in others.
    ProgMismatch {
        /// The lowest version that there is.
        low: u32,
        /// The highest.
        high: u32,
    },
    /// `PROC_UNAVAIL`: it has no such procedure.
    ProcUnavail,
    /// `GARBAGE_ARGS`: the arguments are not what the procedure takes.
    GarbageArgs,
    /// `SYSTEM_ERR`: something else went wrong. The caller is not told what; whoever should know is
    /// to be told by the program.
    SystemErr,
    /// `AUTH_ERROR`: whoever calls may not.
    Auth(AuthStat),
}

impl From<Garbage> for Fault {
    fn from(Garbage: Garbage) -> Self {
        Self::GarbageArgs
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgUnavail => f.write_str("the program is not here"),
            Self::ProgMismatch { low, high } => {
                write!(f, "the program is here in its versions {low} to {high}")
            }
            Self::ProcUnavail => f.write_str("the program has no such procedure"),
            Self::GarbageArgs => f.write_str("the arguments are not what the procedure takes"),
            Self::SystemErr => f.write_str("the procedure could not be run"),
            Self::Auth(why) => write!(f, "the caller was not let in: {why}"),
        }
    }
}

impl error::Error for Fault {}

/// Why a caller is not let in: the `auth_stat` of RFC 5531, as far as it concerns credentials that
/// there are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthStat {
    /// `AUTH_BADCRED`: its credentials can't be understood.
    BadCred = 1,
    /// `AUTH_REJECTEDCRED`: it has to have others.
    RejectedCred = 2,
    /// `AUTH_BADVERF`: its verifier can't be understood.
    BadVerf = 3,
    /// `AUTH_REJECTEDVERF`: its verifier has expired, or was used before.
    RejectedVerf = 4,
    /// `AUTH_TOOWEAK`: credentials of this kind do not suffice for this procedure.
    TooWeak = 5,
    /// `AUTH_FAILED`: for a reason that it is not told.
    Failed = 7,
}

impl fmt::Display for AuthStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadCred => "bad credentials",
            Self::RejectedCred => "credentials of another kind are needed",
            Self::BadVerf => "a bad verifier",
            Self::RejectedVerf => "an expired verifier",
            Self::TooWeak => "too weak credentials",
            Self::Failed => "no reason is given",
        })
    }
}
