//! Packets over IP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use socket2::{SockAddr, Socket, Type};

use super::options::sealed::Divided;
use super::{Bind, LocalAddr, Options, ToIpAddrs, Transport, ip};
use crate::Waiter;
use crate::request::{Datagram, Packets, UdpRequest};
use crate::sys::{self, Wanted};

/// RFC 9000, section 8.1.
const AMPLIFICATION: u32 = 3;

/// Packets over IPv4 or IPv6: the transport of Python's `UDPServer`.
///
/// Replies leave through the same socket, from every thread and process that handles a packet, and
/// from the address that the packet was sent to. They are
/// [limited](crate::Options::max_amplification), as the source of a packet may be forged.
#[derive(Debug)]
#[doc(alias("UDPServer", "SOCK_DGRAM"))]
pub struct Udp {
    pub(super) packets: Arc<Packets<UdpSocket>>,
}

impl Udp {
    /// Options to bind with.
    pub fn options() -> Options<Self> {
        Options::new().max_amplification(AMPLIFICATION)
    }

    /// How many packets have been longer than `max_packet_size`, and were cut or
    /// [dropped](crate::Truncation).
    #[must_use]
    pub fn truncations(&self) -> u64 {
        self.packets.truncations()
    }

    /// Takes over a socket that is bound: an inherited one, or one with options that this crate
    /// does not know (from a [`std::net::UdpSocket`], a [`socket2::Socket`], an [`OwnedFd`]).
    /// No other socket is opened. It is made blocking, for all processes that share it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it is not a UDP socket; the socket is closed then.
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Self::options().from_socket(socket)
    }

    fn new(socket: Socket, options: &Options<Self>) -> io::Result<Self> {
        // Receiving never waits (MSG_DONTWAIT), replying may: the socket itself has to block.
        socket.set_nonblocking(false)?;
        let mut settings = options.packet;
        let local = socket.local_addr()?.as_socket();
        if local.is_some_and(|local| local.ip().to_canonical().is_unspecified()) {
            settings.wanted = Wanted::Arrival;
        }
        sys::ask(&socket, settings.wanted)?;
        Ok(Self { packets: Arc::new(Packets::new(socket.into(), settings)) })
    }
}

impl Options<Udp> {
    /// As [`Udp::from_socket`], with these options, of which those that concern binding are
    /// ignored.
    ///
    /// # Errors
    ///
    /// As there, and for options that are wrong.
    pub fn from_socket(self, socket: impl Into<OwnedFd>) -> io::Result<Udp> {
        self.check()?;
        let socket = Socket::from(socket.into());
        ip::check(&socket, Type::DGRAM)?;
        Udp::new(socket, &self)
    }

    /// Binds.
    ///
    /// # Errors
    ///
    /// Where the address can't be had or does not go with the options; the error names it.
    #[doc(alias = "server_bind")]
    pub fn bind(self, address: impl ToIpAddrs) -> io::Result<Udp> {
        self.check()?;
        Udp::new(ip::bind(Type::DGRAM, address, &self, |_| false)?, &self)
    }
}

impl Divided for Udp {
    fn another(&self) -> io::Result<Socket> {
        let socket = ip::another(&self.packets.socket)?;
        sys::ask(&socket, self.packets.wanted())?;
        Ok(socket)
    }
}

impl Transport for Udp {
    type Request = UdpRequest;

    #[inline]
    fn get_request(&self) -> io::Result<Option<UdpRequest>> {
        Datagram::receive(&self.packets, peer).map(Some)
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable_as_ever(&self.packets.socket)
    }

    fn is_level_triggered(&self) -> bool {
        !self.packets.spins()
    }
}

/// The sender's address, which the kernel always says, and how long the headers of IP and UDP are
/// between it and us: RFC 791, RFC 8200, RFC 768.
#[inline]
pub(super) fn peer(sender: &SockAddr) -> (SocketAddr, usize) {
    let peer = sender.as_socket().map_or(SocketAddr::from(([0, 0, 0, 0], 0)), ip::unmapped);
    (peer, if peer.is_ipv4() { 20 + 8 } else { 40 + 8 })
}

#[diagnostic::do_not_recommend]
impl<A: ToIpAddrs> Bind<A> for Udp {
    fn bind(address: A) -> io::Result<Self> {
        Self::options().bind(address)
    }
}

impl LocalAddr for Udp {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.packets.socket.local_addr()
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.socket.as_fd()
    }
}
