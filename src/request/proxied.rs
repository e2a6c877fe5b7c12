//! A connection that comes through a proxy.

use std::fmt;
use std::io::{self, BufRead, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use super::proxy_header::{self, ProxyHeader};
use super::{Connection, Establishing, Request, StreamRequest, StreamSocket};
use super::{forward_connection, forward_request};
use crate::admission::{Entered, PeerIp};
use crate::authentication::Denied;
use crate::in_flight::Activity;

/// A connection that can begin with a PROXY header: those of [`Tcp`](crate::Tcp) and
/// [`UnixStream`](crate::UnixStream), and those of a transport of your own that stands between the
/// socket and the header.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't begin with a PROXY header",
    label = "no PROXY header comes here",
    note = "a proxy sends its header as the first bytes of a connection over TCP or a Unix socket, \
            before TLS and before any authentication: `Tls<Proxied<Tcp>>`, \
            `Authenticated<Proxied<Tcp>, _>`; packets have none"
)]
pub trait Proxiable: Request + BufRead + Connection {}

impl<S: StreamSocket, A> Proxiable for StreamRequest<S, A> {}

/// Gives a connection its place among those of its source, if there is one left.
pub(crate) type Gate<R> = dyn Fn(&ProxiedRequest<R>) -> Option<Box<dyn Entered>> + Send + Sync;

/// On what terms the header is read.
pub(crate) struct Terms<R> {
    pub(crate) time: Duration,
    /// Whether others than proxies may connect.
    pub(crate) others: bool,
    pub(crate) gates: Vec<Arc<Gate<R>>>,
}

impl<R> Clone for Terms<R> {
    fn clone(&self) -> Self {
        Self { time: self.time, others: self.others, gates: self.gates.clone() }
    }
}

/// A connection of [`Proxied`](crate::Proxied): that of the transport inside, and what the proxy
/// said of it.
///
/// What the inner one can do beyond reading and writing is to be had through
/// [`get_ref`](Self::get_ref) and [`get_mut`](Self::get_mut).
pub struct ProxiedRequest<R> {
    inner: R,
    trusted: bool,
    /// The process that counts the requests of each source, if there is one.
    counts: Option<u32>,
    terms: Arc<Terms<R>>,
    stage: Establishing,
    /// What has come of the header.
    bytes: Vec<u8>,
    header: Option<ProxyHeader>,
    places: Vec<Box<dyn Entered>>,
    /// Where to say who the client is, to a server that wants to know.
    activity: Option<Activity>,
}

impl<R> ProxiedRequest<R> {
    pub(crate) fn new(inner: R, trusted: bool, counts: Option<u32>, terms: Arc<Terms<R>>) -> Self {
        let (stage, bytes, places) = Default::default();
        let (header, activity) = (None, None);
        Self { inner, trusted, counts, terms, stage, bytes, header, places, activity }
    }

    /// What the proxy said; `None` before the request has been established, and of a connection that
    /// came from somewhere else than a proxy.
    pub fn header(&self) -> Option<&ProxyHeader> {
        self.header.as_ref()
    }

    /// The connection to the proxy. Its peer is the proxy's address, and the client's own where
    /// there is no proxy.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The same, for what can be done with it. What is read or written there is read or written
    /// here.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<S: StreamSocket> ProxiedRequest<StreamRequest<S, SocketAddr>> {
    /// Who is at the other end of it all: the [source](ProxyHeader::source) that the proxy named,
    /// and where it named none, the peer of the connection. Before the request has been established
    /// (in [`verify_request`](crate::Handler::verify_request)) that is the proxy.
    #[doc(alias = "client_address")]
    pub fn peer(&self) -> &SocketAddr {
        self.source().unwrap_or_else(|| self.inner.peer())
    }
}

impl<R> ProxiedRequest<R> {
    fn source(&self) -> Option<&SocketAddr> {
        self.header.as_ref().and_then(ProxyHeader::as_source)
    }

    /// Takes its place among those of its source.
    fn take_places(&mut self) -> io::Result<()> {
        if self.terms.gates.is_empty() {
            return Ok(());
        }
        if self.counts != Some(process::id()) {
            let what =
                "Proxied::per_source counts requests, and each has a process of its own here";
            return Err(io::Error::new(ErrorKind::Unsupported, what));
        }
        let terms = Arc::clone(&self.terms);
        for gate in &terms.gates {
            self.places.push(gate(self).ok_or(Denied::Source)?);
        }
        Ok(())
    }
}

impl<R: Proxiable> Request for ProxiedRequest<R> {
    fn establish(&mut self) -> io::Result<()> {
        let Self { inner, trusted, terms, stage, bytes, header, activity, .. } = self;
        match *trusted {
            _ if *stage == Establishing::Done => return Ok(()),
            true => stage.go_on(inner, terms.time, |inner| {
                let said = proxy_header::read(inner, bytes)?;
                if let (Some(activity), Some(source)) = (activity, said.as_source()) {
                    activity.name(source);
                }
                *header = Some(said);
                *bytes = Vec::new();
                Ok(())
            })?,
            false if terms.others => {
                inner.establish()?;
                *stage = Establishing::Done;
            }
            false => return Err(Denied::Untrusted.into()),
        }
        self.take_places()
    }

    fn watch(&mut self, activity: &Activity) {
        self.activity = Some(activity.clone());
        self.inner.watch(activity);
    }

    forward_request!(self => self.inner, but watch);
}

forward_connection!(<R> ProxiedRequest<R>);

/// The client's, once the request has been established.
impl<R: PeerIp> PeerIp for ProxiedRequest<R> {
    fn peer_ip(&self) -> IpAddr {
        self.source().map_or_else(|| self.inner.peer_ip(), SocketAddr::ip)
    }
}

impl<R: fmt::Debug> fmt::Debug for ProxiedRequest<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxiedRequest")
            .field("inner", &self.inner)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
