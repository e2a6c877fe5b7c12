//! Connections through TLS, over any transport of connections.

mod config;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ClientHello;

pub use config::TlsConfig;
pub(crate) use config::{Choice, Terms, UnderWay};

use super::forward::{forward_address, forward_portable, forward_transport};
use super::{Portable, Transport};
use crate::request::{TlsRequest, TlsStream};

/// Connections through TLS: it wraps a transport of connections, [`Tcp`](crate::Tcp),
/// [`UnixStream`](crate::UnixStream) or what wraps them in turn, in the order that the bytes have on
/// the wire. Its requests are [`TlsRequest`]s, which are read and written as the inner ones are.
///
/// The handshake is the request's second stage: it takes place in the worker, never in the loop, and
/// under [`Selecting`](crate::Selecting) in the table. A peer that is silent in it costs the others
/// nothing, and is ended by a deadline of its own.
///
/// # What the user brings
///
/// A [`ServerConfig`] of [rustls], with certificates, versions, protocols and whether
/// clients need a certificate. This crate chooses no cryptographic provider: name one with
/// [`ServerConfig::builder_with_provider`]. Make it with `socketserver::rustls`, or with the same 0.23
/// of your own.
///
/// # How it ends
///
/// A request that was handled ends with a `close_notify`; where the handler failed there is none, and
/// what was sent does not look whole to the peer. A peer that ends its connection without one has
/// cut it short: the read that gets there fails with [`TlsTruncated`](crate::TlsTruncated) and the
/// kind `UnexpectedEof`, where it would have been a clean end with one.
///
/// # Handshakes that fail
///
/// They are failures of the kind [`Handshake`](crate::FailureKind::Handshake) in the stage
/// [`Establish`](crate::Stage::Establish), holding [`HandshakeFailed`](crate::HandshakeFailed), and
/// the peer is sent the alert that says why. A peer that goes away or takes too long is a failure as
/// anywhere else. None is written to stderr by default: scanners make them all day long.
///
/// # Under strategies with processes
///
/// A resumed session spares half of a handshake. Where each connection has a process of its own,
/// rustls's table of sessions dies with it: set [`ServerConfig::ticketer`], or clients always make
/// whole ones. See also [`TlsConfig::replace`].
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, Write};
/// use std::sync::Arc;
/// use socketserver::rustls::{ServerConfig, crypto::ring};
/// use socketserver::{Server, Tcp, Threading, Tls};
///
/// let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// let key = made.signing_key.serialize_der();
/// let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
///     .with_safe_default_protocol_versions()?
///     .with_no_client_auth()
///     .with_single_cert(vec![made.cert.into()], key.try_into()?)?;
///
/// let tls = Tls::new(Tcp::options().bind("127.0.0.1:0")?, config);
/// let server = Server::new_fn(tls, Threading::new(), |conn| {
///     let mut line = Vec::new();
///     conn.read_until(b'\n', &mut line)?;
///     conn.write_all(&line)
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias("ssl", "SSLContext", "wrap_socket"))]
pub struct Tls<T> {
    inner: T,
    terms: Arc<Terms>,
}

impl<T: Transport> Tls<T> {
    /// Has the connections of `inner` speak TLS, all with the same configuration: a
    /// [`ServerConfig`], or a [`TlsConfig`] that can be replaced.
    pub fn new(inner: T, config: impl Into<TlsConfig>) -> Self
    where
        T::Request: TlsStream,
    {
        Self::with(inner, Choice::One(config.into()))
    }

    /// The same, where `choose` sees what the client begins with before anything is decided: the
    /// server's name that it asks for (SNI), the protocols that it offers (ALPN). Where it returns an
    /// error, the client is refused with an `unrecognized_name` alert, and the error is in the
    /// [`HandshakeFailed`](crate::HandshakeFailed).
    ///
    /// It runs once for each handshake, in the worker.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use socketserver::{Tcp, Tls, TlsConfig};
    /// # fn serve(tcp: Tcp, one: TlsConfig, other: TlsConfig) {
    /// let tls = Tls::choosing(tcp, move |hello| match hello.server_name() {
    ///     Some("one.example") => Ok(one.get()),
    ///     Some("other.example") => Ok(other.get()),
    ///     name => Err(std::io::Error::other(format!("no certificate for {name:?}"))),
    /// });
    /// # }
    /// ```
    pub fn choosing<F>(inner: T, choose: F) -> Self
    where
        T::Request: TlsStream,
        F: Fn(&ClientHello<'_>) -> io::Result<Arc<ServerConfig>> + Send + Sync + 'static,
    {
        Self::with(inner, Choice::ByHello(Box::new(choose)))
    }

    fn with(inner: T, choice: Choice) -> Self {
        Self { inner, terms: Arc::new(Terms::new(choice)) }
    }
}

impl<T> Tls<T> {
    /// How long a handshake may take as a whole, from the moment at which a worker begins it; 10 s by
    /// default. It then fails with [`DeadlinePassed::Stage`](crate::DeadlinePassed::Stage).
    /// [`Deadlines`](crate::Deadlines) begin when it is over. The `close_notify` of a connection is
    /// waited for no longer either, where the peer does not take it.
    #[must_use]
    pub fn handshake(self, time: Duration) -> Self {
        self.changed(|terms| terms.time = time)
    }

    /// How many handshakes may be under way at a time; as many as there are requests by default. One
    /// more is refused at once: its connection is closed, and the failure says
    /// [`Crowded`](crate::HandshakeReason::Crowded). So clients that have yet to say who they are
    /// can't take all that [`Limits`](crate::Limits) allow from those that have.
    ///
    /// They are counted in each process by itself: where each connection has a process of its own,
    /// that is one.
    #[must_use]
    pub fn handshakes_at_once(self, most: usize) -> Self {
        self.changed(|terms| terms.most = most)
    }

    /// Has connections begin in the clear, until the handler calls
    /// [`TlsRequest::start_tls`]: STARTTLS, as in SMTP, IMAP and LDAP.
    #[must_use]
    pub fn starting_clear(self) -> Self {
        self.changed(|terms| terms.clear = true)
    }

    fn changed(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        // Nobody else has them before there are requests.
        if let Some(terms) = Arc::get_mut(&mut self.terms) {
            change(terms);
        }
        self
    }

    /// The transport inside.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    fn wrap<R>(&self, request: R) -> TlsRequest<R> {
        // Taken here, so that no lock is needed in a forked child.
        let config = match &self.terms.choice {
            Choice::One(config) => Some(config.get()),
            Choice::ByHello(_) => None,
        };
        TlsRequest::new(request, Arc::clone(&self.terms), config)
    }
}

impl<T: Transport<Request: TlsStream>> Transport for Tls<T> {
    type Request = TlsRequest<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        Ok(self.inner.get_request()?.map(|request| self.wrap(request)))
    }

    forward_transport!();
}

impl<T: Portable<Request: TlsStream>> Portable for Tls<T> {
    forward_portable!();

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        Ok(self.wrap(self.inner.unpack(bytes, descriptor)?))
    }
}

forward_address!(<T> Tls<T>);

#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
super::inherit_inner!(<T> Tls<T>, T: super::Inheritable + Transport<Request: TlsStream>);

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("time", &self.time).finish_non_exhaustive()
    }
}
