//! What is handled: an owned value that moves into the worker and closes itself exactly once.

mod allowance;
mod buffer;
mod channel;
mod connection;
mod credentials;
mod datagram;
mod deadlines;
mod either;
mod establishing;
mod forward;
mod hangup;
mod held;
mod line;
mod packets;
#[cfg(feature = "proxy")]
mod proxied;
#[cfg(feature = "proxy")]
mod proxy_header;
mod selectable;
mod selected;
mod socket;
mod spin;
mod stream;
mod suspended;
mod time;
#[cfg(feature = "tls")]
mod tls;
mod urgent;
mod watch;
mod wire;

pub use allowance::Amplifies;
pub use channel::ChannelRequest;
pub use connection::Connection;
pub use credentials::Credentials;
#[cfg(feature = "testing")]
pub(crate) use datagram::RawDatagrams;
pub use datagram::{Datagram, DatagramSocket, UdpRequest, UnixDatagramRequest};
pub use deadlines::{DeadlinePassed, Deadlines};
pub use either::Either;
pub(crate) use establishing::Establishing;
pub(crate) use forward::{forward_connection, forward_request};
pub use hangup::Hangup;
pub use line::{LineTooLong, ReadLine};
pub use packets::Truncation;
pub(crate) use packets::{PacketSettings, Packets};
#[cfg(feature = "proxy")]
pub(crate) use proxied::Terms;
#[cfg(feature = "proxy")]
pub use proxied::{Proxiable, ProxiedRequest};
#[cfg(feature = "proxy")]
pub use proxy_header::{BadProxyHeader, ProxyHeader};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use selectable::Behind;
pub use selectable::{Progress, ReplyTooLong, RequestTooLong, Room, Selectable};
pub use socket::StreamSocket;
#[cfg(feature = "testing")]
pub(crate) use socket::{Raw, Way};
pub(crate) use stream::StreamSettings;
pub use stream::{StreamRequest, TcpRequest, UnixStreamRequest};
#[cfg(feature = "testing")]
pub(crate) use time::Time;
#[cfg(feature = "tls")]
pub use tls::{HandshakeFailed, HandshakeReason, TlsRequest, TlsStream, TlsTruncated};

use std::io;
use std::os::fd::BorrowedFd;

use crate::failure::FailureKind;
use crate::in_flight::{Activity, Cutter};

/// A request: what a [`Transport`](crate::Transport) gets, and what a
/// [`Handler`](crate::Handler) handles.
///
/// It has two stages. The serve loop *gets* it, and has read nothing from the peer by then (a
/// datagram's packet, which the kernel held, excepted); then the worker *establishes* it, with all
/// the time it takes: a TLS handshake, a PROXY header, a banner. The loop itself never waits for a
/// peer.
///
/// All methods have defaults. A value that needs no second stage and is closed by being dropped
/// says `impl Request for Job {}`.
///
/// # Implementing your own
///
/// The methods are called in this order, on the worker's thread or in its process: `establish`,
/// `next_exchange` where the handler is called again, `deliver` where the handler succeeded and not
/// where it failed, then `shutdown_request` in any case, and then the request is dropped. One that
/// is rejected or can't be started is shut down in the serve loop without having been established,
/// and must not wait for its peer there. `close_request` alone is called on the copy that the parent
/// of a forked child keeps. A panic in any of them is contained. A request that is dropped without
/// having been closed must free what it holds.
///
/// A request that wraps another passes *every* method on: with the defaults, the inner one's
/// timeouts, unsent bytes and clean end would be lost.
pub trait Request: Sized {
    /// The second stage, in the worker: whatever has to be done with the peer or the socket before
    /// the handler may have the request. Python has no such step, and pays for it: its users put
    /// handshakes into `get_request`, where one silent peer stops the server.
    ///
    /// # Errors
    ///
    /// An error ends the request: the handler's `setup`, `handle` and `finish` are not called,
    /// its [`handle_error`](crate::Handler::handle_error) is.
    fn establish(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Sends what the handler wrote and the request still holds back, after a success: what
    /// `finish` of Python's `StreamRequestHandler` and `DatagramRequestHandler` does.
    ///
    /// # Errors
    ///
    /// An error turns the request into a failed one.
    fn deliver(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called between two exchanges, after the handler has answered
    /// [`Next::Again`](crate::Next::Again): sends what is held back, where the peer has to have it
    /// before it says more.
    ///
    /// # Errors
    ///
    /// An error ends the request, as one of the handler would.
    fn next_exchange(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What kind of failure an error of the handler, or of this request itself, is. By default, the
    /// kinds of error that sockets have when their peers are gone or slow mean that.
    fn classify(&self, error: &io::Error) -> FailureKind {
        FailureKind::of_connection(error)
    }

    /// The connection, for whoever has to end the request from outside: a server that is closed cuts
    /// off with shutdown(2) what has not finished in time. `None`, the default, where there is
    /// nothing to cut: a packet, a task. It is asked for once, before the request is handled.
    fn connection(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The same for a connection without a descriptor: what ends it from outside. `None`, the
    /// default, where [`connection`](Self::connection) has one, and where there is nothing to cut.
    fn cutter(&self) -> Option<Cutter> {
        None
    }

    /// Has the request say when it is idle, to a server that cuts off idle connections first when it
    /// is closed, and who its peer is, to a [`Live`](crate::Live). It is called once, before the
    /// request is handled, where `connection` or `cutter` has one, or the server has a `Live`.
    fn watch(&mut self, _activity: &Activity) {}

    /// Says a last word to a peer whose request is not going to be handled, in the serve loop and
    /// so without waiting: what the peer does not take at once is lost. Nothing, by default.
    fn answer(&mut self, _bytes: &[u8]) {}

    /// Ends the request as a reset does, where there is such a thing (over TCP: `SO_LINGER` of zero,
    /// so that neither side keeps anything of the connection), and closes it. By default it is
    /// closed without a word.
    fn reset_request(&mut self) {
        self.close_request();
    }

    /// Ends the request in the way that suits the peer, and closes it: Python's
    /// `shutdown_request`.
    fn shutdown_request(&mut self) {
        self.close_request();
    }

    /// Frees what the request holds, and says nothing to the peer: Python's `close_request`. Under
    /// [`Forking`](crate::Forking) the parent does this with its copy while the child goes on. By
    /// default nothing is done: the request is dropped next.
    fn close_request(&mut self) {}
}
