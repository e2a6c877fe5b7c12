//! A packet.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{self as unix, UnixDatagram};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use socket2::{SockAddr, SockRef};

use super::Request;
use crate::failure::FailureKind;
use crate::sys;

/// A packet of [`Udp`](crate::Udp).
pub type UdpRequest = Datagram<UdpSocket, SocketAddr>;

/// A packet of [`UnixDatagram`](crate::UnixDatagram). Its peer is `None` where the client has not
/// bound its socket: such a client can't be answered.
pub type UnixDatagramRequest = Datagram<UnixDatagram, Option<unix::SocketAddr>>;

/// What a [`Datagram`] needs of its socket. Sealed: implemented by [`UdpSocket`] and
/// [`std::os::unix::net::UnixDatagram`].
pub trait DatagramSocket: sealed::DatagramSocket + AsFd + fmt::Debug {}

mod sealed {
    pub trait DatagramSocket {
        /// `MSG_DONTWAIT` where the *peer* decides whether a send would have to wait.
        const SEND_FLAGS: i32;
    }
}

impl DatagramSocket for UdpSocket {}
impl DatagramSocket for UnixDatagram {}

impl sealed::DatagramSocket for UdpSocket {
    const SEND_FLAGS: i32 = 0;
}

impl sealed::DatagramSocket for UnixDatagram {
    // The queue is the receiver's (unix(7): max_dgram_qlen), and one that does not read it must
    // not hold the server.
    const SEND_FLAGS: i32 = nix::libc::MSG_DONTWAIT;
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
    length: usize,
    read: usize,
    truncated: bool,
    peer: A,
    packets: Arc<Packets<S>>,
}

impl<S: DatagramSocket, A> Datagram<S, A> {
    /// Takes one datagram from the socket's queue into a spare buffer, which goes back when the
    /// request is over.
    pub(crate) fn receive(
        packets: &Arc<Packets<S>>,
        peer: impl FnOnce(&SockAddr) -> A,
    ) -> io::Result<Self> {
        let mut spare = packets.take();
        match sys::receive(&packets.socket, &mut spare.bytes) {
            Ok(received) => {
                let peer = peer(&received.sender);
                spare.sender = received.sender;
                Ok(Self {
                    spare: Some(spare),
                    length: received.length,
                    read: 0,
                    truncated: received.truncated,
                    peer,
                    packets: Arc::clone(packets),
                })
            }
            Err(error) => {
                packets.give_back(spare);
                Err(error)
            }
        }
    }

    /// A packet that another process has received through the same socket.
    pub(crate) fn again(
        packets: &Arc<Packets<S>>,
        data: &[u8],
        truncated: bool,
        sender: SockAddr,
        peer: impl FnOnce(&SockAddr) -> A,
    ) -> io::Result<Self> {
        let mut spare = packets.take();
        let place = spare.bytes.get_mut(..data.len()).ok_or(io::ErrorKind::InvalidData)?;
        place.copy_from_slice(data);
        let peer = peer(&sender);
        spare.sender = sender;
        Ok(Self {
            spare: Some(spare),
            length: data.len(),
            read: 0,
            truncated,
            peer,
            packets: Arc::clone(packets),
        })
    }

    /// Where a reply goes.
    pub(crate) fn sender(&self) -> &SockAddr {
        &self.spare().sender
    }

    /// The packet's bytes, at most `max_packet_size` of them.
    pub fn data(&self) -> &[u8] {
        &self.spare().bytes[..self.length]
    }

    /// Who sent it: Python's `client_address`.
    #[doc(alias = "client_address")]
    pub fn peer(&self) -> &A {
        &self.peer
    }

    /// Whether the packet was longer than `max_packet_size` bytes, and its end has been lost.
    /// Python does not tell.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Sends one datagram to the peer, an empty one too. It may be called any number of times.
    ///
    /// # Errors
    ///
    /// `NotConnected` where the peer has no address; `EMSGSIZE` where `bytes` are more than a
    /// datagram holds; `WouldBlock` where a Unix peer's queue is full. The datagram has not been
    /// sent then.
    pub fn reply(&self, bytes: &[u8]) -> io::Result<()> {
        let sender = &self.spare().sender;
        if sender.len() == 0 || sender.is_unnamed() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the sender of this datagram has no address to reply to: its socket is not bound",
            ));
        }
        let socket = SockRef::from(&self.packets.socket);
        loop {
            match socket.send_to_with_flags(bytes, sender, S::SEND_FLAGS) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// The server's socket, for what it can do beyond replying.
    pub fn get_ref(&self) -> &S {
        &self.packets.socket
    }
}

impl<S, A> Datagram<S, A> {
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

    fn answer(&mut self, bytes: &[u8]) {
        let _ = self.reply(bytes);
    }

    /// Always an error: a packet has no connection that could have been lost, and a short one that
    /// ends too early for the handler is not its peer's disappearance.
    fn classify(&self, _error: &io::Error) -> FailureKind {
        FailureKind::Error
    }
}

impl<S, A> Drop for Datagram<S, A> {
    /// Gives the buffer back for the next packet; where enough are waiting, it is freed.
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
        Ok(&self.spare().bytes[self.read..self.length])
    }

    fn consume(&mut self, amount: usize) {
        self.read = self.length.min(self.read + amount);
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
            .field("length", &self.length)
            .field("truncated", &self.truncated)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What a packet needs beside itself, used again for the next one; apart from the request, so that
/// this is cheap to move.
#[derive(Debug)]
struct Spare {
    bytes: Box<[u8]>,
    sender: SockAddr,
    output: Vec<u8>,
}

/// A socket, and the buffers that wait for its next packet: any worker gives one back, and the
/// loop takes it.
#[derive(Debug)]
pub(crate) struct Packets<S> {
    pub(crate) socket: S,
    size: usize,
    back: Sender<Box<Spare>>,
    waiting: Receiver<Box<Spare>>,
}

impl<S> Packets<S> {
    /// How many wait at most: enough that a steady load allocates nothing.
    const MOST: usize = 64;

    pub(crate) fn new(socket: S, size: usize) -> Self {
        let (back, waiting) = crossbeam_channel::bounded(Self::MOST);
        Self { socket, size, back, waiting }
    }

    fn take(&self) -> Box<Spare> {
        self.waiting.try_recv().unwrap_or_else(|_| {
            let nobody = SocketAddr::from(([0, 0, 0, 0], 0)).into();
            let bytes = vec![0; self.size].into();
            Box::new(Spare { bytes, sender: nobody, output: Vec::new() })
        })
    }

    /// Where enough are waiting, this one is freed.
    fn give_back(&self, mut spare: Box<Spare>) {
        spare.output.clear();
        spare.output.shrink_to(self.size);
        let _ = self.back.try_send(spare);
    }
}
