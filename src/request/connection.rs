//! What connections have in common, whatever they run over.

use std::io;
use std::time::Instant;

use super::deadlines::Deadlines;
use super::hangup::Hangup;

/// A request that is a connection: its peer can be held to deadlines, and its end has a policy.
///
/// [`TcpRequest`](crate::TcpRequest) and [`UnixStreamRequest`](crate::UnixStreamRequest) are. A
/// request that wraps another passes it on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection, and can't be held to deadlines",
    label = "no deadlines for this",
    note = "deadlines are for the requests of `Tcp` and `UnixStream`, and for requests that wrap \
            them and implement `Connection`; a packet has come as a whole before it is handled"
)]
pub trait Connection {
    /// Holds the connection to these deadlines from now on, in place of those it was held to:
    /// all reading and writing through [`Read`](io::Read), [`BufRead`](io::BufRead) and
    /// [`Write`](io::Write). What is done with the socket itself is not seen.
    ///
    /// [`Deadlines::guard`] calls it for each request, in `setup`; a handler may for one alone, say
    /// when its peer has logged in.
    ///
    /// # Errors
    ///
    /// As [`Deadlines::guard`].
    fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()>;

    /// Ends this connection so, in place of the transport's choice: for a handler that knows more
    /// of its peer than the traffic tells. [`Hangup::Drain`] is then done whether or not anything
    /// seems to be lost without it, as more is sure to come.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a drain of no bytes or no time.
    fn set_hangup(&mut self, hangup: Hangup) -> io::Result<()>;

    /// Ends all waiting for the peer at this time, with [`DeadlinePassed::Stage`], whatever other
    /// deadlines there are; `None` lifts that, and the connection is then as one that has said
    /// nothing yet. For a request that wraps this one and has a stage of its own to go through with
    /// the peer: a handshake, a header, a farewell.
    ///
    /// [`DeadlinePassed::Stage`]: crate::DeadlinePassed::Stage
    fn set_stage_end(&mut self, end: Option<Instant>);
}
