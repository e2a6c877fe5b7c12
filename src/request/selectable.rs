//! Connections that wait for their peers in a table instead of on a thread.

use std::io;
use std::time::Instant;
use std::{error, fmt};

use super::Request;

/// A connection that [`Selecting`](crate::Selecting) can keep in its table: it says what can be done
/// without waiting for its peer, and what it waits for otherwise.
///
/// [`TcpRequest`](crate::TcpRequest) and [`UnixStreamRequest`](crate::UnixStreamRequest) are. A
/// request that wraps another passes it on, and [`Request::connection`] with it, which has to be the
/// descriptor that is waited at.
///
/// In a table the request's other methods must not wait either:
/// [`establish`](Request::establish) says `WouldBlock` and is called again when the peer has said or
/// taken something. One that reads from the request inside need do no more than return that error,
/// and go on where it stopped: until it has succeeded, the reads of this crate's connections say
/// `WouldBlock` in a table, and do not wait. [`next_exchange`](Request::next_exchange), [`deliver`](Request::deliver) and
/// [`shutdown_request`](Request::shutdown_request) leave to `advance` what the peer does not take at
/// once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't wait in a table, as requests do under `Selecting`",
    label = "not a connection that a selector can watch",
    note = "`Selecting` is for the connections of `Tcp` and `UnixStream`, and for requests that wrap \
            them and implement `Selectable`; a packet is there as a whole when it is taken, and \
            `Sync` handles one after the other"
)]
pub trait Selectable: Request {
    /// Does what can be done without waiting: sends what is held back; then takes in what has come,
    /// until there is nothing more or `room` is full; and once the request has been shut down, what
    /// is left of its end.
    ///
    /// From the first call on, nothing that is written to the request waits for the peer: what that
    /// does not take is held back, up to [`Room::replies`]. An error of the input is kept, and is
    /// what the handler's next read says.
    ///
    /// # Errors
    ///
    /// Where what is held back can't be sent, or not in time.
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress>;

    /// What has been taken in, and not been read by the handler.
    fn input(&self) -> &[u8];

    /// When the wait for the peer has to end: `advance` is then called, and says what is late. The
    /// wait is the one that the last `advance` asked for.
    fn until(&mut self) -> Option<Instant>;
}

/// What a connection in a table waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The peer has to take what is held back: nothing else is done before.
    Sending,
    /// All that has come is in [`input`](Selectable::input).
    Receiving,
    /// The same, and no more will come: the peer has ended its side, or there was an error. Of a
    /// request that has been shut down: it can be dropped.
    Ended,
}

/// How much room a connection has in its table, and what it may use there.
#[derive(Debug)]
pub struct Room {
    pub(crate) input: usize,
    pub(crate) replies: usize,
    /// Something may have come that has not been taken in.
    pub(crate) stirred: bool,
    /// The connection is being established: what reads it does not wait for the peer.
    pub(crate) opening: bool,
    pub(crate) behind: Behind,
    /// Memory that no connection uses.
    pub(crate) spare: Vec<u8>,
}

/// What there may be behind a read that gave less than it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Behind {
    Nothing,
    /// The end, or an error.
    Something,
    /// An urgent byte, which a read leaves behind, and more after it (tcp(7)).
    Urgent,
}

impl Room {
    /// How many bytes of input are taken in at most before the handler reads them.
    #[must_use]
    pub fn input(&self) -> usize {
        self.input
    }

    /// How many bytes that the peer has not taken are held back at most.
    #[must_use]
    pub fn replies(&self) -> usize {
        self.replies
    }
}

/// More input than there is [room](crate::Selecting::request_bytes) for has come, and it was not yet
/// a whole request: inside an `io::Error` of the kind `InvalidData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTooLong {
    pub(crate) max: usize,
}

impl RequestTooLong {
    /// How many bytes there was room for.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

impl fmt::Display for RequestTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request of more than {} bytes", self.max)
    }
}

impl error::Error for RequestTooLong {}

impl From<RequestTooLong> for io::Error {
    fn from(too_long: RequestTooLong) -> Self {
        Self::new(io::ErrorKind::InvalidData, too_long)
    }
}

/// The peer takes nothing while the handler writes more than [may wait](Room::replies) for it: inside
/// an `io::Error` of the kind `QuotaExceeded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTooLong {
    pub(crate) max: usize,
}

impl ReplyTooLong {
    /// How many bytes may wait.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

impl fmt::Display for ReplyTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer has not taken {} bytes of the reply, and no more may wait", self.max)
    }
}

impl error::Error for ReplyTooLong {}

impl From<ReplyTooLong> for io::Error {
    fn from(too_long: ReplyTooLong) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, too_long)
    }
}
