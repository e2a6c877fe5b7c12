//! Packets in memory.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use socket2::SockAddr;

use super::datagram::MemoryDatagramSocket;
use super::transport::{InMemory, not_shared};
use crate::request::{Datagram, Packets};
use crate::transport::{DatagramTransport, sealed};
use crate::{Bind, ForkRole, LocalAddr, Options, Transport, Waiter};

/// A packet of [`MemoryDatagrams`]: the same type as that of [`Udp`](crate::Udp), over another
/// socket.
pub type MemoryPacket = Datagram<MemoryDatagramSocket, SocketAddr>;

/// Packets in memory, for tests: no socket, no descriptor.
///
/// What [`Memory`](super::Memory) says of addresses and strategies holds here too; clients have a
/// [`MemoryDatagramSocket`]. Sources can't be forged, and so a reply may be as long as it likes.
///
/// # Examples
///
/// ```
/// use socketserver::testing::{MemoryDatagramSocket, MemoryDatagrams};
/// use socketserver::{Server, Sync};
///
/// let packets = MemoryDatagrams::options().bind("10.0.0.1:7")?;
/// let mut server = Server::new_fn(packets, Sync, |packet| packet.reply(packet.data()))?;
/// let client = MemoryDatagramSocket::bind("10.0.0.2:0")?;
/// client.send_to(b"echo", server.local_addr()?)?;
/// server.handle_request()?;
/// let mut answer = [0; 8];
/// assert_eq!(client.recv_from(&mut answer)?, (4, server.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryDatagrams {
    packets: Arc<Packets<MemoryDatagramSocket>>,
}

impl InMemory for MemoryDatagrams {}
impl sealed::Sealed for MemoryDatagrams {}
impl DatagramTransport for MemoryDatagrams {}

impl MemoryDatagrams {
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
}

impl Options<MemoryDatagrams> {
    /// Has clients send to this address.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where somebody has it in memory, and for options that are wrong.
    pub fn bind(self, address: impl ToSocketAddrs) -> io::Result<MemoryDatagrams> {
        self.check()?;
        let socket = MemoryDatagramSocket::with_failures(address, self.memory.failures)?;
        Ok(MemoryDatagrams { packets: Arc::new(Packets::new(socket, self.packet)) })
    }
}

impl Transport for MemoryDatagrams {
    type Request = MemoryPacket;

    fn get_request(&self) -> io::Result<Option<MemoryPacket>> {
        Datagram::receive(&self.packets, peer).map(Some)
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.packets.socket.inbox.wait(waiter);
        Ok(())
    }

    fn is_level_triggered(&self) -> bool {
        !self.packets.spins()
    }

    fn check_fork(&self, _role: ForkRole) -> io::Result<()> {
        Err(not_shared())
    }
}

/// The sender, who always has an address; there are no headers.
fn peer(sender: &SockAddr) -> (SocketAddr, usize) {
    (sender.as_socket().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))), 0)
}

#[diagnostic::do_not_recommend]
impl<A: ToSocketAddrs> Bind<A> for MemoryDatagrams {
    fn bind(address: A) -> io::Result<Self> {
        Self::options().bind(address)
    }
}

impl LocalAddr for MemoryDatagrams {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.packets.socket.local_addr()
    }
}
