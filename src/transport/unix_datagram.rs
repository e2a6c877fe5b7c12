//! Packets within this machine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self, SocketAddr};
use std::sync::Arc;

use socket2::{Socket, Type};

use super::socket_file::SocketFile;
use super::unix::{self, ToUnixAddr};
use super::{Bind, LocalAddr, Options, Transport};
use crate::request::{Datagram, Packets, UnixDatagramRequest};
use crate::{Waiter, sys};

/// Packets over a Unix socket: the transport of Python's `UnixDatagramServer`.
///
/// The socket file is removed when the server closes, as that of
/// [`UnixStream`](crate::UnixStream). A client has to bind its own socket to get replies.
///
/// The name is that of [`std::os::unix::net::UnixDatagram`]; import one of the two under another
/// name where both are needed.
#[derive(Debug)]
#[doc(alias("UnixDatagramServer"))]
pub struct UnixDatagram {
    // Before the socket: see `SocketFile`.
    pub(super) file: Option<SocketFile>,
    pub(super) packets: Arc<Packets<net::UnixDatagram>>,
}

impl UnixDatagram {
    /// Options to bind with.
    pub fn options() -> Options<Self> {
        Options::new()
    }

    /// How many packets have been longer than `max_packet_size`, and were cut or
    /// [dropped](crate::Truncation).
    #[must_use]
    pub fn truncations(&self) -> u64 {
        self.packets.truncations()
    }

    /// Takes over a socket that is bound, from a [`std::os::unix::net::UnixDatagram`], a
    /// [`socket2::Socket`], an [`OwnedFd`]. No other socket is opened. Its file is not removed:
    /// whoever made it answers for it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not a Unix datagram socket; the socket is closed then.
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Self::options().from_socket(socket)
    }

    fn new(socket: Socket, file: Option<SocketFile>, options: &Options<Self>) -> Self {
        let packets = Packets::new(OwnedFd::from(socket).into(), options.packet);
        Self { file, packets: Arc::new(packets) }
    }
}

impl Options<UnixDatagram> {
    /// As [`UnixDatagram::from_socket`], with these options, of which those that concern binding
    /// are ignored.
    ///
    /// # Errors
    ///
    /// As there, and for options that are wrong.
    pub fn from_socket(self, socket: impl Into<OwnedFd>) -> io::Result<UnixDatagram> {
        self.check()?;
        let socket = Socket::from(socket.into());
        unix::check(&socket, Type::DGRAM)?;
        sys::ask(&socket, self.packet.wanted)?;
        Ok(UnixDatagram::new(socket, None, &self))
    }

    /// Binds.
    ///
    /// # Errors
    ///
    /// Where the address can't be had; the error names it.
    #[doc(alias = "server_bind")]
    pub fn bind(self, address: impl ToUnixAddr) -> io::Result<UnixDatagram> {
        self.check()?;
        let (socket, file) = unix::bind(Type::DGRAM, &address.to_unix_addr()?, &self)?;
        Ok(UnixDatagram::new(socket, file, &self))
    }
}

impl Transport for UnixDatagram {
    type Request = UnixDatagramRequest;

    #[inline]
    fn get_request(&self) -> io::Result<Option<UnixDatagramRequest>> {
        // There is nothing to forge, and so no limit that would count headers.
        Datagram::receive(&self.packets, |sender| (unix::to_std(sender), 0)).map(Some)
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable_as_ever(&self.packets.socket)
    }

    fn is_level_triggered(&self) -> bool {
        !self.packets.spins()
    }

    fn server_close(self) -> io::Result<()> {
        self.file.map_or(Ok(()), SocketFile::remove)
    }
}

#[diagnostic::do_not_recommend]
impl<A: ToUnixAddr> Bind<A> for UnixDatagram {
    fn bind(address: A) -> io::Result<Self> {
        Self::options().bind(address)
    }
}

impl LocalAddr for UnixDatagram {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.packets.socket.local_addr()
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.socket.as_fd()
    }
}
