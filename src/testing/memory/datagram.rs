//! A socket of packets in memory.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::c_int;
use parking_lot::Mutex;
use socket2::SockAddr;

use super::link::first_of;
use super::network;
use super::queue::{Failures, Queue};
use crate::request::{DatagramSocket, RawDatagrams};
use crate::sys::{Local, Packet, Told, Wanted};

/// What UDP over IPv4 can carry: 65,535 bytes less the headers of IP and UDP.
const LONGEST: usize = 65_507;

/// Where somebody's packets wait for them.
pub(super) type Inbox = Queue<Letter>;

#[derive(Debug)]
pub(super) struct Letter {
    from: SocketAddr,
    bytes: Vec<u8>,
}

/// A socket for packets in memory: what [`UdpSocket`](std::net::UdpSocket) is over UDP. A client
/// [binds](Self::bind) one; the server's is made by [`MemoryDatagrams`](super::MemoryDatagrams).
///
/// Packets arrive in their order, and none is lost; one that is sent where nobody is, is an error at
/// once.
pub struct MemoryDatagramSocket {
    pub(super) inbox: Arc<Inbox>,
    own: SocketAddr,
    patience: Mutex<Option<Duration>>,
}

impl MemoryDatagramSocket {
    /// A socket at this address; with port 0, at one that nobody has.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where somebody has it.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::with_failures(address, Failures::new())
    }

    pub(super) fn with_failures(
        address: impl ToSocketAddrs,
        failures: Failures,
    ) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::new(usize::MAX, failures));
        let own = network::DATAGRAMS.enter(first_of(address)?, &inbox)?;
        Ok(Self { inbox, own, patience: Mutex::default() })
    }

    /// Its address.
    ///
    /// # Errors
    ///
    /// None; it is what `UdpSocket` has.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.own)
    }

    /// Sends one packet.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` where nobody is at that address; `EMSGSIZE` for more than 65,507 bytes.
    pub fn send_to(&self, bytes: &[u8], to: impl ToSocketAddrs) -> io::Result<usize> {
        self.post(bytes, first_of(to)?)?;
        Ok(bytes.len())
    }

    /// Waits for the next packet: how many of its bytes there was room for, and who sent it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` after the timeout.
    pub fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let until = self.patience.lock().and_then(|time| Instant::now().checked_add(time));
        let letter = self.inbox.take_in_time(until)?;
        let count = letter.bytes.len().min(bytes.len());
        bytes[..count].copy_from_slice(&letter.bytes[..count]);
        Ok((count, letter.from))
    }

    /// How long [`recv_from`](Self::recv_from) waits, by the system's time; `None`, the default, for
    /// ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|time| time.is_zero()) {
            return Err(ErrorKind::InvalidInput.into());
        }
        *self.patience.lock() = timeout;
        Ok(())
    }

    fn post(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if bytes.len() > LONGEST {
            return Err(Errno::EMSGSIZE.into());
        }
        network::DATAGRAMS.find(to)?.push(Letter { from: self.own, bytes: bytes.into() })
    }
}

impl DatagramSocket for MemoryDatagramSocket {}

impl RawDatagrams for MemoryDatagramSocket {
    const SEND_FLAGS: c_int = 0;

    fn receive(&self, packet: &mut Packet, _wanted: Wanted) -> io::Result<()> {
        let Letter { from, bytes } = self.inbox.take()?;
        packet.length = bytes.len().min(packet.buffer.len());
        packet.truncated = bytes.len() > packet.length;
        packet.buffer[..packet.length].copy_from_slice(&bytes[..packet.length]);
        (packet.sender, packet.told) = (from.into(), Told::Nothing);
        Ok(())
    }

    fn send(
        &self,
        bytes: &[u8],
        to: &SockAddr,
        _local: Option<Local>,
        _flags: c_int,
    ) -> io::Result<()> {
        self.post(bytes, to.as_socket().ok_or(ErrorKind::NotConnected)?)
    }
}

impl Drop for MemoryDatagramSocket {
    fn drop(&mut self) {
        network::DATAGRAMS.leave(self.own);
    }
}

impl fmt::Debug for MemoryDatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDatagramSocket").field("addr", &self.own).finish()
    }
}
