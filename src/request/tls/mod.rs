//! A connection through TLS.

mod failed;
mod handshake;
mod known;
mod selectable;
mod source;
mod traffic;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use rustls::server::Acceptor;
use rustls::{ServerConfig, ServerConnection};

pub use failed::{HandshakeFailed, HandshakeReason, TlsTruncated};

use self::selectable::Taken;
use self::source::Source;
use super::{Connection, Credentials, Deadlines, Hangup, Request};
use crate::admission::{PeerIp, PeerUid};
use crate::authentication::{PeerCertificate, PeerCredentials};
use crate::failure::FailureKind;
use crate::in_flight::{Activity, Cutter};
use crate::transport::tls::{Terms, UnderWay};

/// A request that TLS can run over: a connection that is read and written. Every request that can is;
/// there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "TLS runs over connections, and `{Self}` is not one",
    label = "no TLS over this",
    note = "`Tls` wraps `Tcp` and `UnixStream`, and transports whose requests are \
            `BufRead + Write + Connection`; TLS over datagrams is another protocol, DTLS, which this \
            crate does not speak"
)]
pub trait TlsStream: Request + BufRead + Write + Connection {}

#[diagnostic::do_not_recommend]
impl<R: Request + BufRead + Write + Connection> TlsStream for R {}

/// A connection of [`Tls`](crate::Tls), over a request of the transport inside.
///
/// It is read and written as the inner one is: [`BufRead`] and [`Write`]. Each write is at least one
/// record of its own, so `wbufsize` of the transport inside saves system calls and no records: format
/// first what is written in pieces.
///
/// After a timeout it can be read again. A write that times out has been taken, and the next one, or
/// the flush, says so if the peer still does not take it.
pub struct TlsRequest<R> {
    inner: R,
    terms: Arc<Terms>,
    /// The configuration of its handshake, where nobody has to choose one.
    config: Option<Arc<ServerConfig>>,
    state: State,
    /// Its handshake is among those under way.
    under_way: Option<UnderWay>,
    /// Where to say that something has come, to a server that wants to know.
    activity: Option<Activity>,
    /// The inner one has been through its second stage.
    established: bool,
    /// TLS has failed after the handshake, and says so again when it is asked.
    broken: bool,
    /// The peer does not take what there is to be sent.
    stuck: bool,
    /// The handler has succeeded.
    delivered: bool,
    /// In a table: what the inner one has taken in.
    input: Option<fn(&R) -> &[u8]>,
    /// In a table: what has been decrypted and not been read.
    taken: Taken,
    /// In a table: what is sent as the peer takes it.
    source: Option<Source>,
    /// In a table: no more will come.
    ended: bool,
    /// In a table: it is at its end.
    leaving: bool,
}

/// How far it has come.
enum State {
    /// Nobody has asked for TLS.
    Clear,
    /// The handshake has yet to begin.
    Early,
    /// The client has yet to say what it wants.
    Hello(Box<Acceptor>),
    /// The rest of the handshake, and what comes after it.
    Open(Box<ServerConnection>),
    Failed(HandshakeFailed),
}

impl<R> TlsRequest<R> {
    pub(crate) fn new(inner: R, terms: Arc<Terms>, config: Option<Arc<ServerConfig>>) -> Self {
        let state = if terms.clear { State::Clear } else { State::Early };
        Self {
            inner,
            terms,
            config,
            state,
            under_way: None,
            activity: None,
            established: false,
            broken: false,
            stuck: false,
            delivered: false,
            input: None,
            taken: Taken::default(),
            source: None,
            ended: false,
            leaving: false,
        }
    }

    /// The connection underneath: its peer, its socket. What is read from the socket is missing from
    /// the TLS connection, and what is written to it breaks that.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The connection underneath, for its settings: a timeout, `set_nodelay`. As
    /// [`get_ref`](Self::get_ref) says, not for its bytes.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Whether something has been decrypted and not been read: the next read then has it without a
    /// look at the socket. Ask before waiting for the socket to be readable.
    pub fn has_unread(&mut self) -> bool {
        match &mut self.state {
            State::Open(conn) => {
                !self.taken.is_empty() || matches!(conn.reader().fill_buf(), Ok([_, ..]))
            }
            _ => false,
        }
    }

    fn open(&self) -> Option<&ServerConnection> {
        match &self.state {
            State::Open(conn) => Some(conn),
            _ => None,
        }
    }

    fn is_clear(&self) -> bool {
        matches!(self.state, State::Clear)
    }
}

impl<R: TlsStream> TlsRequest<R> {
    /// Sends the `close_notify`, to a peer that takes something.
    fn say_goodbye(&mut self) {
        let goes_on = self.delivered && !self.stuck && self.inner.connection().is_some();
        match &mut self.state {
            State::Open(conn) if goes_on && !conn.is_handshaking() => conn.send_close_notify(),
            _ => return,
        }
        self.inner.set_stage_end(Instant::now().checked_add(self.terms.time));
        // Where it does not leave there is nobody to be told.
        let _ = self.send();
    }
}

impl<R: TlsStream> Request for TlsRequest<R> {
    fn establish(&mut self) -> io::Result<()> {
        if !self.established {
            self.inner.establish()?;
            self.established = true;
        }
        self.secure(self.input.is_none() || self.ended)
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.send()?;
        self.inner.deliver()?;
        self.delivered = true;
        Ok(())
    }

    fn next_exchange(&mut self) -> io::Result<()> {
        self.send()?;
        self.inner.next_exchange()?;
        // The inner one does not know of it.
        let unread = self.activity.is_some() && self.has_unread();
        if let (true, Some(activity)) = (unread, &self.activity) {
            activity.busy();
        }
        Ok(())
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        match error.get_ref() {
            Some(inner) if inner.is::<HandshakeFailed>() => FailureKind::Handshake,
            _ => self.inner.classify(error),
        }
    }

    fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.inner.connection()
    }

    fn cutter(&self) -> Option<Cutter> {
        self.inner.cutter()
    }

    fn watch(&mut self, activity: &Activity) {
        self.activity = Some(activity.clone());
        self.inner.watch(activity);
    }

    /// Before the handshake there are no words that the peer would understand.
    fn answer(&mut self, bytes: &[u8]) {
        if self.is_clear() {
            self.inner.answer(bytes);
        }
    }

    fn reset_request(&mut self) {
        self.inner.reset_request();
    }

    fn shutdown_request(&mut self) {
        self.say_goodbye();
        self.leaving = true;
        self.inner.shutdown_request();
    }

    fn close_request(&mut self) {
        self.inner.close_request();
    }
}

impl<R: Connection> Connection for TlsRequest<R> {
    fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        self.inner.set_deadlines(deadlines)
    }

    fn set_hangup(&mut self, hangup: Hangup) -> io::Result<()> {
        self.inner.set_hangup(hangup)
    }

    fn set_stage_end(&mut self, end: Option<Instant>) {
        self.inner.set_stage_end(end);
    }
}

/// The socket of the connection underneath. It need not become readable for the next read to have
/// something: see [`has_unread`](Self::has_unread).
impl<R: AsFd> AsFd for TlsRequest<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<R: PeerIp> PeerIp for TlsRequest<R> {
    fn peer_ip(&self) -> IpAddr {
        self.inner.peer_ip()
    }
}

impl<R: PeerUid> PeerUid for TlsRequest<R> {
    fn peer_uid(&self) -> Option<u32> {
        self.inner.peer_uid()
    }
}

impl<R: PeerCredentials> PeerCredentials for TlsRequest<R> {
    fn peer_credentials(&self) -> io::Result<Credentials> {
        self.inner.peer_credentials()
    }
}

impl<R> PeerCertificate for TlsRequest<R> {
    fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificates().next()
    }
}

impl<R: fmt::Debug> fmt::Debug for TlsRequest<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsRequest").field("inner", &self.inner).finish_non_exhaustive()
    }
}
