//! Connections that come through proxies.

use std::fmt;
use std::hash::Hash;
use std::io;
use std::os::fd::OwnedFd;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use super::forward::{forward_address, forward_portable, forward_transport};
use super::{Portable, Transport};
use crate::admission::gate;
use crate::request::{Proxiable, ProxiedRequest, Terms};

/// Whether a connection comes from a proxy that is trusted.
type Trusted<R> = dyn Fn(&R) -> bool + Send + Sync;

/// A transport of connections that come through proxies, which say whose they are: the PROXY
/// protocol, versions 1 and 2, as HAProxy, nginx, Envoy and the load balancers of clouds speak it.
/// With the feature `proxy`.
///
/// The header is read in the worker, under a deadline, so a silent peer holds up nobody; what
/// follows it is the handler's, to the byte. From then on the [peer](ProxiedRequest::peer) of the
/// request is the client, and [`get_ref`](ProxiedRequest::get_ref) has the connection to the proxy.
/// A header that is none ends the request, with [`BadProxyHeader`](crate::BadProxyHeader).
///
/// # Trust
///
/// Whoever may send a header may be whoever it wants to. So headers are read from those alone that
/// `trusted` names, by the address of the connection itself; what others send is never taken for a
/// header, whatever it looks like. Others are refused
/// ([`Denied::Untrusted`](crate::Denied::Untrusted)), unless [`or_direct`](Self::or_direct) has
/// them served as clients that come without a proxy. Refusing them is the safest. The specification
/// (`doc/proxy-protocol.txt` of HAProxy, section 2) says that a receiver "MUST not try to guess
/// whether the protocol header is present or not", that this "explicitly prevents port sharing
/// between public and private access", and that it "SHOULD ensure proper access filtering so that
/// only trusted proxies are allowed". A network that is trusted should have nobody in it but the
/// proxies: any user of a machine in it is trusted too.
///
/// # Limits
///
/// [`Limits`](crate::Limits) hold before anything is read, when the source of a connection is the
/// proxy. Those of the clients are [`per_source`](Self::per_source)'s.
///
/// # Order
///
/// Transports stand in the order of the bytes on the wire, the last outermost, and a proxy sends its
/// header before anything else: `Tls<Proxied<Tcp>>`, `Authenticated<Proxied<Tcp>, _>`. The other way
/// round does not compile.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use socketserver::{Proxied, Server, Tcp, Threading, from_networks};
///
/// let tcp = Tcp::options().bind("127.0.0.1:0")?;
/// let proxied = Proxied::new(tcp, from_networks(["127.0.0.0/8".parse()?, "::1".parse()?]));
/// let server = Server::new_fn(proxied, Threading::new(), |conn| {
///     let client = conn.peer().to_string();
///     writeln!(conn, "hello, {client}")
/// })?
/// .spawn()?;
///
/// let mut client = TcpStream::connect(server.local_addr()?)?;
/// client.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n")?;
/// let mut said = String::new();
/// client.read_to_string(&mut said)?;
/// assert_eq!(said, "hello, 192.0.2.7:4711\n");
/// # server.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Proxied<T: Transport> {
    inner: T,
    trusted: Box<Trusted<T::Request>>,
    terms: Arc<Terms<T::Request>>,
}

impl<T: Transport> Proxied<T> {
    /// The transport `inner`, whose connections come from the proxies that `trusted` knows:
    /// [`from_networks`](crate::from_networks), or a function of yours, which is called in the serve
    /// loop and must not wait. A proxy may take 5 seconds for its header.
    pub fn new(inner: T, trusted: impl Fn(&T::Request) -> bool + Send + Sync + 'static) -> Self
    where
        T::Request: Proxiable,
    {
        let terms = Terms { time: Duration::from_secs(5), others: false, gates: Vec::new() };
        Self { inner, trusted: Box::new(trusted), terms: Arc::new(terms) }
    }

    /// How long a proxy may take for its header, as a whole. The specification asks for at least 3
    /// seconds, "to cover a TCP retransmit".
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.terms = Arc::new(Terms { time, ..Terms::clone(&self.terms) });
        self
    }

    /// Serves those who are not trusted as well, as clients that come without a proxy: nothing that
    /// they send is taken for a header. For a port that is to be had both ways, which the
    /// specification advises against.
    #[must_use]
    pub fn or_direct(mut self) -> Self {
        self.terms = Arc::new(Terms { others: true, ..Terms::clone(&self.terms) });
        self
    }

    /// How many requests of one client may be in flight at once, as
    /// [`Limits::per_source`](crate::Limits::per_source) says of the peers of connections: with
    /// [`by_ip`](crate::by_ip), [`by_prefix`](crate::by_prefix), or a function of yours. It is asked
    /// when the header has been read. One that comes in addition fails with
    /// [`Denied::Source`](crate::Denied::Source). It may be called several times.
    ///
    /// Where each request has a process of its own ([`Forking`](crate::Forking),
    /// [`ForkServer`](crate::ForkServer)) nobody can count them: every request then fails, with an
    /// error of the kind `Unsupported`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a `most` of zero, which would let no request in.
    pub fn per_source<K>(
        mut self,
        most: usize,
        key: impl Fn(&ProxiedRequest<T::Request>) -> K + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        T::Request: 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        if most == 0 {
            let what = "per_source(0) would let no request in; it has to be at least 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut terms = Terms::clone(&self.terms);
        terms.gates.push(Arc::new(gate(most, key)));
        self.terms = Arc::new(terms);
        Ok(self)
    }

    /// The transport inside.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    fn wrap(&self, request: T::Request, counts: Option<u32>) -> ProxiedRequest<T::Request> {
        let trusted = (self.trusted)(&request);
        ProxiedRequest::new(request, trusted, counts, Arc::clone(&self.terms))
    }
}

impl<T: Transport<Request: Proxiable>> Transport for Proxied<T> {
    type Request = ProxiedRequest<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let Some(request) = self.inner.get_request()? else { return Ok(None) };
        let counts = (!self.terms.gates.is_empty()).then(process::id);
        Ok(Some(self.wrap(request, counts)))
    }

    forward_transport!();
}

/// The other process asks again whether the proxy is trusted.
impl<T: Portable + Transport<Request: Proxiable>> Portable for Proxied<T> {
    forward_portable!();

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        Ok(self.wrap(self.inner.unpack(bytes, descriptor)?, None))
    }
}

forward_address!(<T> Proxied<T>, T: Transport);

#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
super::inherit_inner!(<T> Proxied<T>, T: super::Inheritable + Transport<Request: Proxiable>);

impl<T: Transport + fmt::Debug> fmt::Debug for Proxied<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxied").field("inner", &self.inner).finish_non_exhaustive()
    }
}
