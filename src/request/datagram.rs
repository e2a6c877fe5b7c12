//! A packet.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{self as unix, UnixDatagram};
use std::sync::Arc;

use nix::libc::{self, c_int};
use socket2::SockAddr;

use super::packets::{Packets, Spare};
use super::{Credentials, Request};
use crate::failure::FailureKind;
use crate::in_flight::Activity;
use crate::sys::{self, Local, Packet, Told, Wanted};

/// A packet of [`Udp`](crate::Udp).
pub type UdpRequest = Datagram<UdpSocket, SocketAddr>;

/// A packet of [`UnixDatagram`](crate::UnixDatagram). Its peer is `None` where the client has not
/// bound its socket: such a client can't be answered.
pub type UnixDatagramRequest = Datagram<UnixDatagram, Option<unix::SocketAddr>>;

/// What a [`Datagram`] needs of its socket. Sealed: implemented by [`UdpSocket`] and
/// [`std::os::unix::net::UnixDatagram`], and with the feature `testing` by
/// `testing::MemoryDatagramSocket`.
pub trait DatagramSocket: RawDatagrams + fmt::Debug {}

/// The calls that packets are made of.
pub trait RawDatagrams {
    /// `MSG_DONTWAIT` where the *peer* decides whether a send would have to wait.
    const SEND_FLAGS: c_int;

    /// Takes one from the queue, without waiting.
    fn receive(&self, packet: &mut Packet, wanted: Wanted) -> io::Result<()>;

    fn send(
        &self,
        bytes: &[u8],
        to: &SockAddr,
        local: Option<Local>,
        flags: c_int,
    ) -> io::Result<()>;
}

macro_rules! datagram_socket {
    ($($socket:ty, $flags:expr;)*) => {$(
        impl DatagramSocket for $socket {}

        impl RawDatagrams for $socket {
            const SEND_FLAGS: c_int = $flags;

            #[inline]
            fn receive(&self, packet: &mut Packet, wanted: Wanted) -> io::Result<()> {
                packet.receive(self, wanted)
            }

            #[inline]
            fn send(
                &self,
                bytes: &[u8],
                to: &SockAddr,
                local: Option<Local>,
                flags: c_int,
            ) -> io::Result<()> {
                sys::send(self, bytes, to, local, flags)
            }
        }
    )*};
}

datagram_socket! {
    UdpSocket, 0;
    // The queue is the receiver's (unix(7): max_dgram_qlen), and one that does not read it must
    // not hold the server.
    UnixDatagram, libc::MSG_DONTWAIT;
}

/// A packet, its peer, and a reply that is sent when it is asked for.
///
/// Reading gives the packet's bytes, then the end of the input; [`data`](Self::data) has them as
/// a slice, however much has been read. There are two ways to answer. [`reply`](Self::reply)
/// sends one datagram at once. And what is written with [`Write`] is put together into one
/// datagram, sent by [`flush`](Write::flush) or after the handler has succeeded; so a handler
/// that knows only [`BufRead`] and [`Write`] serves connections and packets alike.
///
/// Unlike Python's `DatagramRequestHandler`, a handler that wrote nothing sends nothing, and one
/// that failed does not send the half it had written.
#[doc(alias("DatagramRequestHandler", "packet"))]
pub struct Datagram<S, A> {
    /// There until it is given back.
    spare: Option<Box<Spare>>,
    read: usize,
    peer: A,
    packets: Arc<Packets<S>>,
}

impl<S: DatagramSocket, A> Datagram<S, A> {
    /// Takes one datagram from the socket's queue into a spare buffer, which goes back when the
    /// request is over. `peer` says who the sender is, and how long the headers of packets between
    /// the two are.
    #[inline]
    pub(crate) fn receive(
        packets: &Arc<Packets<S>>,
        peer: impl FnOnce(&SockAddr) -> (A, usize),
    ) -> io::Result<Self> {
        let mut spare = packets.receive()?;
        let (peer, header) = peer(&spare.packet.sender);
        spare.allowance = packets.allowance(spare.packet.length, header);
        Ok(Self { spare: Some(spare), read: 0, peer, packets: Arc::clone(packets) })
    }

    /// Whether it has come through this socket.
    pub(crate) fn is_of(&self, packets: &Arc<Packets<S>>) -> bool {
        Arc::ptr_eq(&self.packets, packets)
    }

    /// Puts all that there is of the packet but its sender, for another process of this program.
    pub(crate) fn pack(&self, bytes: &mut Vec<u8>) {
        let Spare { packet, allowance, .. } = self.spare();
        bytes.push(u8::from(packet.truncated));
        bytes.extend(allowance.left().to_ne_bytes());
        packet.told.put(bytes);
        bytes.extend(packet.data());
    }

    /// A packet that another process has received through the same socket, and packed.
    pub(crate) fn unpack(
        packets: &Arc<Packets<S>>,
        sender: SockAddr,
        bytes: &[u8],
        peer: impl FnOnce(&SockAddr) -> (A, usize),
    ) -> Option<Self> {
        let (truncated, rest) = bytes.split_first()?;
        let (left, rest) = rest.split_first_chunk()?;
        let (told, data) = Told::take(rest)?;
        let mut spare = packets.take();
        spare.packet.buffer.get_mut(..data.len())?.copy_from_slice(data);
        let (peer, header) = peer(&sender);
        spare.packet.length = data.len();
        spare.packet.truncated = *truncated != 0;
        spare.packet.sender = sender;
        spare.packet.told = told;
        spare.allowance = packets.allowance(data.len(), header);
        spare.allowance.set_left(u64::from_ne_bytes(*left));
        Some(Self { spare: Some(spare), read: 0, peer, packets: Arc::clone(packets) })
    }

    /// How much of it has been read, and what has been written and not been sent.
    pub(super) fn progress(&self) -> (usize, &[u8]) {
        (self.read, &self.spare().output)
    }

    /// In another process, what it was in the one before.
    pub(super) fn set_progress(&mut self, read: usize, output: &[u8]) {
        self.read = self.data().len().min(read);
        self.output().extend(output);
    }

    /// Where a reply goes.
    pub(crate) fn sender(&self) -> &SockAddr {
        &self.spare().packet.sender
    }

    /// The packet's bytes, at most `max_packet_size` of them.
    pub fn data(&self) -> &[u8] {
        self.spare().packet.data()
    }

    /// Who sent it: Python's `client_address`.
    #[doc(alias = "client_address")]
    pub fn peer(&self) -> &A {
        &self.peer
    }

    /// Whether the packet was longer than `max_packet_size` bytes, and its end has been lost.
    /// Python does not tell.
    pub fn is_truncated(&self) -> bool {
        self.spare().packet.truncated
    }

    /// How many packets of the server have been longer than `max_packet_size` so far, and were cut
    /// or [dropped](crate::Truncation).
    pub fn truncations(&self) -> u64 {
        self.packets.truncations()
    }

    /// Sends one datagram to the peer, an empty one too. It may be called any number of times.
    ///
    /// Over UDP it leaves from the address that the packet was sent to, and a source that nobody
    /// has verified gets at most three times as many bytes as it has sent: see
    /// [`max_amplification`](crate::Options::max_amplification).
    ///
    /// # Errors
    ///
    /// `NotConnected` where the peer has no address; `EMSGSIZE` where `bytes` are more than a
    /// datagram holds; `WouldBlock` where a Unix peer's queue is full; `QuotaExceeded` holding
    /// [`Amplifies`](crate::Amplifies) where it would be too much for this source. The datagram has
    /// not been sent then.
    pub fn reply(&self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes, S::SEND_FLAGS)
    }

    #[inline]
    fn send(&self, bytes: &[u8], flags: c_int) -> io::Result<()> {
        let Spare { packet: Packet { sender, told, .. }, allowance, .. } = self.spare();
        if sender.len() == 0 || sender.is_unnamed() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the sender of this datagram has no address to reply to: its socket is not bound",
            ));
        }
        let local = if let Told::CameTo(local) = told { Some(*local) } else { None };
        allowance.spend(bytes.len())?;
        let sent = self.packets.socket.send(bytes, sender, local, flags);
        if sent.is_err() {
            allowance.refund(bytes.len());
        }
        sent
    }

    /// The server's socket, for what it can do beyond replying.
    pub fn get_ref(&self) -> &S {
        &self.packets.socket
    }
}

impl<A> Datagram<UdpSocket, A> {
    /// The address of this machine that the packet was sent to, where the server is bound to any
    /// (`0.0.0.0`, `[::]`): the one that replies leave from. `None` where it is bound to one
    /// address, and where the packet was sent to many machines (IPv6 multicast).
    pub fn local_ip(&self) -> Option<IpAddr> {
        match self.spare().packet.told {
            Told::CameTo(local) => Some(local.ip),
            _ => None,
        }
    }

    /// Says that the source of this packet is known to be who it claims to be, so that replies to
    /// it may be as long as they like: it has sent back a cookie, say, or its address is one that
    /// nobody else can have on this network.
    ///
    /// In [`verify_request`](crate::Handler::verify_request) too.
    pub fn set_verified(&self) {
        self.spare().allowance.lift();
    }
}

impl<A> Datagram<UnixDatagram, A> {
    /// Who sent the packet, where the transport was told to ask
    /// ([`credentials`](crate::Options::credentials)): the process's ids when it sent it. A
    /// privileged one may have named others (unix(7), `SCM_CREDENTIALS`).
    pub fn credentials(&self) -> Option<Credentials> {
        match self.spare().packet.told {
            Told::SentBy(credentials) => Some(credentials),
            _ => None,
        }
    }
}

impl<S, A> Datagram<S, A> {
    #[inline]
    fn spare(&self) -> &Spare {
        match &self.spare {
            Some(spare) => spare,
            None => unreachable!("only `drop` gives it back"),
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match &mut self.spare {
            Some(spare) => &mut spare.output,
            None => unreachable!("only `drop` gives it back"),
        }
    }
}

impl<S: DatagramSocket, A> Request for Datagram<S, A> {
    fn deliver(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn watch(&mut self, activity: &Activity) {
        let sender = self.sender();
        if let Some(address) = sender.as_socket() {
            activity.name(address);
        } else if let Some(path) = sender.as_pathname() {
            activity.name(path.display());
        }
    }

    fn answer(&mut self, bytes: &[u8]) {
        let _ = self.send(bytes, libc::MSG_DONTWAIT);
    }

    /// Always an error: a packet has no connection that could have been lost, and a short one that
    /// ends too early for the handler is not its peer's disappearance.
    fn classify(&self, _error: &io::Error) -> FailureKind {
        FailureKind::Error
    }
}

impl<S, A> Drop for Datagram<S, A> {
    /// Gives the buffer back for the next packet; where enough are waiting, it is freed.
    #[inline]
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.packets.give_back(spare);
        }
    }
}

impl<S: DatagramSocket, A> Read for Datagram<S, A> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
        Ok(count)
    }
}

impl<S: DatagramSocket, A> BufRead for Datagram<S, A> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.spare().packet.data()[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read = self.data().len().min(self.read.saturating_add(amount));
    }
}

impl<S: DatagramSocket, A> Write for Datagram<S, A> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.spare().output.is_empty() {
            return Ok(());
        }
        let sent = self.reply(&self.spare().output);
        self.output().clear();
        sent
    }
}

impl<S: AsFd, A> AsFd for Datagram<S, A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.socket.as_fd()
    }
}

impl<S, A: fmt::Debug> fmt::Debug for Datagram<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("length", &self.spare().packet.length)
            .field("truncated", &self.spare().packet.truncated)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
