//! How the kit reaches transports that wrap others, and that they know of their clients what they
//! have to.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::marker::PhantomData;
use std::net::Shutdown;
#[cfg(feature = "tls")]
use std::net::TcpStream;
use std::os::unix::net as unix;
use std::time::Duration;

use socketserver::testing::{Client, Reach, Visit};
use socketserver::{
    AuthenticatedRequest, Begun, Handler, HasIdentity, InHalves, Next, UnixStreamRequest, Users,
    forward_hooks,
};
#[cfg(feature = "proxy")]
use socketserver::{Connection, PeerIp, Proxiable, ProxiedRequest};
#[cfg(feature = "tls")]
use socketserver::{Tls, TlsRequest, TlsStream};

use super::net;
use super::reaches::Files;
use super::relay::Relay;
#[cfg(feature = "tls")]
use super::relay::server_config;

/// A transport that tests have other uses for. Whether it has an `OPENING`, its clients have said theirs
/// when they have come.
pub struct Wrapped<T, const OPENING: bool>(Files, PhantomData<fn() -> T>);

impl<T, const OPENING: bool> Wrapped<T, OPENING> {
    pub fn new(files: Files) -> Self {
        Self(files, PhantomData)
    }
}

impl<T, const OPENING: bool> Reach for Wrapped<T, OPENING>
where
    T: net::Reach<Request: BufRead + Write + Send, Client: Client> + Send + Sync + 'static,
{
    type Transport = T;
    type Address = T::Addr;
    type Client = T::Client;

    const HAS_OPENING: bool = OPENING;

    fn open(&self) -> io::Result<(T, T::Addr)> {
        let transport = T::open(self.0.path())?;
        let address = transport.local_addr()?;
        Ok((transport, address))
    }

    fn connect(&self, to: &T::Addr) -> io::Result<T::Client> {
        T::send(to, self.0.path(), b"")
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.0.left()
    }
}

/// TLS over another transport.
#[cfg(feature = "tls")]
pub struct OverTls<R>(pub R);

#[cfg(feature = "tls")]
impl<R> Reach for OverTls<R>
where
    R: Reach<Client = TcpStream>,
    R::Transport: socketserver::Transport<Request: TlsStream>,
{
    type Transport = Tls<R::Transport>;
    type Address = R::Address;
    type Client = Secret;

    const HAS_OPENING: bool = true;

    fn open(&self) -> io::Result<(Self::Transport, R::Address)> {
        let (transport, address) = self.0.open()?;
        Ok((Tls::new(transport, server_config()), address))
    }

    fn connect(&self, to: &R::Address) -> io::Result<Secret> {
        let (clear, relay) = Relay::start(self.0.connect(to)?)?;
        Ok(Secret { clear, relay: Some(relay), said: Vec::new(), is_over: false })
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.0.remains()
    }
}

/// A client whose relay speaks TLS for it.
pub struct Secret {
    clear: unix::UnixStream,
    /// Until it is dropped.
    relay: Option<Relay>,
    said: Vec<u8>,
    is_over: bool,
}

impl Client for Secret {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.said.extend(bytes);
        self.clear.send(bytes)
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.clear.half_close()
    }

    /// The end is a clean one where all went well, and only there.
    fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>> {
        let heard = self.clear.receive(answer, patience)?;
        // Where a request fails in `finish` or `deliver`, the answer has been sent.
        let well = answer && !matches!(self.said.first(), Some(b'f' | b'd'));
        let is_clean = self.relay.as_ref().is_some_and(Relay::was_clean);
        if !std::mem::replace(&mut self.is_over, true) && is_clean != well {
            return Err(io::Error::other(format!("a clean end: {is_clean}")));
        }
        Ok(heard)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The server's end of it may have come.
        let _ = self.clear.shutdown(Shutdown::Both);
        if let Some(relay) = self.relay.take() {
            relay.join();
        }
    }
}

/// What is known of a client whose request has been established.
pub trait Known {
    fn is_known(&self) -> bool;
}

/// The user that this process runs as.
impl Known for AuthenticatedRequest<UnixStreamRequest, Users> {
    fn is_known(&self) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        self.identity().is_ok_and(|user| user.uid == own)
    }
}

/// The address that the header says.
#[cfg(feature = "proxy")]
impl<R: Proxiable + Connection> Known for ProxiedRequest<R>
where
    Self: PeerIp,
{
    fn is_known(&self) -> bool {
        self.peer_ip().to_string() == "192.0.2.7"
    }
}

#[cfg(feature = "tls")]
impl Known for TlsRequest<socketserver::TcpRequest> {
    fn is_known(&self) -> bool {
        self.is_encrypted()
    }
}

#[cfg(all(feature = "proxy", feature = "tls"))]
impl Known for TlsRequest<ProxiedRequest<socketserver::TcpRequest>> {
    fn is_known(&self) -> bool {
        self.is_encrypted() && self.get_ref().is_known()
    }
}

/// Handles nobody who is not known.
pub struct Knows<H>(pub H);

impl<H> Knows<H> {
    fn check<R: Known>(visit: &Visit<R>) -> io::Result<()> {
        let is_known = visit.get_ref().is_some_and(Known::is_known);
        if is_known { Ok(()) } else { Err(io::Error::other("not known")) }
    }
}

impl<R: Known, H: Handler<Visit<R>>> Handler<Visit<R>> for Knows<H> {
    forward_hooks!(Visit<R>, self => self.0; handle missing finish verify_request handle_error
        handle_timeout service_actions get_request_failed event panicked child_init);

    fn setup(&self, visit: &mut Visit<R>) -> io::Result<()> {
        Self::check(visit)?;
        self.0.setup(visit)
    }
}

impl<R: Known, H: InHalves<Visit<R>>> InHalves<Visit<R>> for Knows<H> {
    type Rest = H::Rest;

    fn begin(&self, visit: &mut Visit<R>) -> io::Result<Begun<H::Rest>> {
        self.0.begin(visit)
    }

    fn finish_in_child(&self, visit: &mut Visit<R>, rest: H::Rest) -> io::Result<Next> {
        self.0.finish_in_child(visit, rest)
    }
}

impl<H: fmt::Debug> fmt::Debug for Knows<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Knows").field(&self.0).finish()
    }
}
