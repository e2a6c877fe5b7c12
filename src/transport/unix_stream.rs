//! Connections within this machine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixListener};

use socket2::{Socket, Type};

use super::options::sealed::Listening;
use super::socket_file::SocketFile;
use super::unix::{self, ToUnixAddr};
use super::{Bind, Bound, LocalAddr, Options, Transport};
use crate::request::{StreamRequest, StreamSettings, UnixStreamRequest};
use crate::sys::Listener;
use crate::{ForkedChild, Waiter};

/// Connections over a Unix socket: the transport of Python's `UnixStreamServer`.
///
/// The socket file is removed when the server closes, by the process that made it and only while
/// it is the file it made; Python leaves it. A file that is in the way when binding is an error,
/// unless it is one of a dead server and may be
/// [claimed](crate::Options::claim_stale).
///
/// The name is that of [`std::os::unix::net::UnixStream`], which is what its requests are made
/// of; import one of the two under another name where both are needed.
#[derive(Debug)]
#[doc(alias("UnixStreamServer", "AF_UNIX"))]
pub struct UnixStream {
    // Before the socket: see `SocketFile`.
    pub(super) file: Option<SocketFile>,
    listener: Listener<UnixListener>,
    pub(super) settings: StreamSettings,
}

impl UnixStream {
    /// Options to bind with.
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// Takes over a socket that listens, from a [`UnixListener`], a [`socket2::Socket`], an
    /// [`OwnedFd`]. No other socket is opened. It is made non-blocking, for all processes that
    /// share it. Its file is not removed: whoever made it answers for it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not a Unix stream socket, or does not listen; the socket is
    /// closed then.
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Self::options().from_socket(socket)
    }
}

impl Options<UnixStream> {
    /// As [`UnixStream::from_socket`], with these options, of which those that concern binding are
    /// ignored.
    ///
    /// # Errors
    ///
    /// As there, and for options that are wrong.
    pub fn from_socket(self, socket: impl Into<OwnedFd>) -> io::Result<UnixStream> {
        self.check()?;
        let socket = Socket::from(socket.into());
        unix::check(&socket, Type::STREAM)?;
        unix::check_listening(&socket)?;
        UnixStream::listening(socket, None, &self)
    }

    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// Where the address can't be had; the error names it.
    pub fn bind(self, address: impl ToUnixAddr) -> io::Result<UnixStream> {
        self.server_bind(address)?.server_activate()
    }

    /// Binds, and leaves listening to [`Bound::server_activate`]: Python's `server_bind`.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn server_bind(self, address: impl ToUnixAddr) -> io::Result<Bound<UnixStream>> {
        self.check()?;
        let (socket, guard) = unix::bind(Type::STREAM, &address.to_unix_addr()?, &self)?;
        Ok(Bound { guard, socket, options: self })
    }
}

impl LocalAddr for Bound<UnixStream> {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        unix::local_addr(&self.socket)
    }
}

impl Listening for UnixStream {
    type Guard = Option<SocketFile>;

    fn listening(
        socket: Socket,
        file: Option<SocketFile>,
        options: &Options<Self>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let listener = Listener::new(OwnedFd::from(socket).into());
        Ok(Self { file, listener, settings: options.stream })
    }
}

impl Transport for UnixStream {
    type Request = UnixStreamRequest;

    // Always, so that a request is made where it stays.
    #[inline(always)]
    fn get_request(&self) -> io::Result<Option<UnixStreamRequest>> {
        let (socket, peer) = self.listener.accept()?;
        // Only Linux gives the connection flags of its own; elsewhere it has the listener's.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        socket.set_nonblocking(false)?;
        Ok(Some(StreamRequest::new(socket, peer, self.settings)))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable_as_ever(&self.listener)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn server_close(self) -> io::Result<()> {
        self.file.map_or(Ok(()), SocketFile::remove)
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.listener.after_fork(child);
    }
}

#[diagnostic::do_not_recommend]
impl<A: ToUnixAddr> Bind<A> for UnixStream {
    fn bind(address: A) -> io::Result<Self> {
        Self::options().bind(address)
    }
}

impl LocalAddr for UnixStream {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
