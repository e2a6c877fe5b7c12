//! Connections over IP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Socket, Type};

use super::options::sealed::{Divided, Listening};
use super::{Bind, Bound, LocalAddr, Options, ToIpAddrs, Transport, ip, options, unix};
use crate::request::{StreamRequest, StreamSettings, TcpRequest};
use crate::sys::Listener;
use crate::{ForkedChild, Waiter};

/// Connections over IPv4 or IPv6: the transport of Python's `TCPServer`.
///
/// Bound to an address with default options by [`Server::bind`](crate::Server::bind), with others
/// through [`options`](Self::options), or made from a socket that is there already by
/// [`from_socket`](Self::from_socket).
#[derive(Debug)]
#[doc(alias("TCPServer", "AF_INET", "AF_INET6", "SOCK_STREAM"))]
pub struct Tcp {
    listener: Listener<TcpListener>,
    backlog: u32,
    pub(super) settings: StreamSettings,
}

impl Tcp {
    /// Options to bind with.
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// Takes over a socket that listens: an inherited one, or one with options that this crate
    /// does not know (from a [`std::net::TcpListener`], a [`socket2::Socket`], an [`OwnedFd`]).
    /// No other socket is opened. It is made non-blocking, for all processes that share it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not a TCP socket, or does not listen; the socket is closed then.
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Self::options().from_socket(socket)
    }
}

impl Options<Tcp> {
    /// As [`Tcp::from_socket`], with these options, of which those that concern binding are
    /// ignored.
    ///
    /// # Errors
    ///
    /// As there, and for options that are wrong.
    pub fn from_socket(self, socket: impl Into<OwnedFd>) -> io::Result<Tcp> {
        self.check()?;
        let socket = Socket::from(socket.into());
        ip::check(&socket, Type::STREAM)?;
        unix::check_listening(&socket)?;
        Tcp::listening(socket, (), &self)
    }

    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// Where the address can't be had or does not go with the options; the error names it.
    pub fn bind(self, address: impl ToIpAddrs) -> io::Result<Tcp> {
        self.server_bind(address)?.server_activate()
    }

    /// Binds, and leaves listening to [`Bound::server_activate`]: Python's `server_bind`.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn server_bind(self, address: impl ToIpAddrs) -> io::Result<Bound<Tcp>> {
        self.check()?;
        let socket = ip::bind(Type::STREAM, address, &self, |address| address.port() != 0)?;
        Ok(Bound { socket, guard: (), options: self })
    }
}

impl LocalAddr for Bound<Tcp> {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Listening for Tcp {
    type Guard = ();

    fn listening(socket: Socket, (): (), options: &Options<Self>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (listener, backlog) = (Listener::new(socket.into()), options.backlog);
        Ok(Self { listener, backlog, settings: options.stream })
    }
}

impl Divided for Tcp {
    fn another(&self) -> io::Result<Socket> {
        let socket = ip::another(&self.listener)?;
        socket.set_nonblocking(true)?;
        options::listen(&socket, self.backlog)?;
        Ok(socket)
    }
}

impl Transport for Tcp {
    type Request = TcpRequest;

    // Always, so that a request is made where it stays.
    #[inline(always)]
    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        let (socket, peer) = self.listener.accept()?;
        // Only Linux gives the connection flags of its own; elsewhere it has the listener's.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        socket.set_nonblocking(false)?;
        Ok(Some(StreamRequest::new(socket, ip::unmapped(peer), self.settings)))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable_as_ever(&self.listener)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.listener.after_fork(child);
    }
}

#[diagnostic::do_not_recommend]
impl<A: ToIpAddrs> Bind<A> for Tcp {
    fn bind(address: A) -> io::Result<Self> {
        Self::options().bind(address)
    }
}

impl LocalAddr for Tcp {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsFd for Tcp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
