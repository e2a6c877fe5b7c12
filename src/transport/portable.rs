//! Requests that go to another process.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net;
use std::sync::Arc;

use socket2::SockAddr;

use super::{Tcp, Transport, Udp, UnixDatagram, UnixStream, udp, unix};
use crate::packed::{put, take};
use crate::request::{
    Datagram, DatagramSocket, Packets, StreamRequest, TcpRequest, UdpRequest, UnixDatagramRequest,
    UnixStreamRequest,
};
use crate::sys;

/// A transport whose requests can be sent to another process: what
/// [`ForkServer`](crate::ForkServer) needs, which makes a process for each.
///
/// The four transports of this crate are. A transport that wraps another says how its requests are
/// taken apart, and leaves the rest to the inner one.
///
/// # Examples
///
/// ```
/// # use socketserver::{ForkedChild, Request, Waiter};
/// use std::io;
/// use std::os::fd::{BorrowedFd, OwnedFd};
/// use socketserver::{Portable, Tcp, TcpRequest, Transport};
///
/// /// Numbers its connections.
/// struct Numbered(Tcp);
///
/// struct NumberedRequest(u64, TcpRequest);
/// # impl Request for NumberedRequest {}
///
/// impl Transport for Numbered {
///     // …
/// #   type Request = NumberedRequest;
/// #   fn get_request(&self) -> io::Result<Option<NumberedRequest>> {
/// #       Ok(self.0.get_request()?.map(|inner| NumberedRequest(0, inner)))
/// #   }
/// #   fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> { self.0.wait(waiter) }
/// #   fn after_fork(&self, child: &ForkedChild<'_>) { self.0.after_fork(child); }
/// }
///
/// impl Portable for Numbered {
///     fn pack<'r>(
///         &self,
///         request: &'r NumberedRequest,
///         bytes: &mut Vec<u8>,
///     ) -> io::Result<Option<BorrowedFd<'r>>> {
///         bytes.extend(request.0.to_le_bytes());
///         self.0.pack(&request.1, bytes)
///     }
///
///     fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<NumberedRequest> {
///         let (number, rest) = bytes.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
///         let inner = self.0.unpack(rest, descriptor)?;
///         Ok(NumberedRequest(u64::from_le_bytes(*number), inner))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't send its requests to another process, as `ForkServer` does",
    label = "not a transport of requests that can be packed and unpacked",
    note = "`Tcp`, `Udp`, `UnixStream` and `UnixDatagram` can; for a transport of your own, \
            implement `Portable`, or use `Forking`"
)]
pub trait Portable: Transport {
    /// Appends to `bytes` what the request is made of, and returns the descriptor that goes with
    /// it. Nothing has been read from the peer by then, nor has the request been
    /// [established](crate::Request::establish). It is called in the serve loop, and must not wait.
    ///
    /// # Errors
    ///
    /// Where the request can't be packed; it is refused, and
    /// [`handle_error`](crate::Handler::handle_error) told.
    fn pack<'r>(
        &self,
        request: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>>;

    /// Makes the request anew, in the process that handles it, of what [`pack`](Self::pack) gave.
    /// The transport is as it was when the server was made, and has been through
    /// [`after_fork`](Transport::after_fork).
    ///
    /// # Errors
    ///
    /// Where nothing can be made of it: `InvalidData`. There is nobody to tell but stderr, and the
    /// peer sees the end of its connection.
    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request>;

    /// Whether this transport can pack the request, where there are [`Many`](crate::Many) of its
    /// kind: packets have to be answered through the socket that they came by. A connection has a
    /// socket of its own, and so the default is `true`. A transport that wraps another passes it on.
    fn is_from(&self, _request: &Self::Request) -> bool {
        true
    }
}

fn put_address(address: &SockAddr, bytes: &mut Vec<u8>) -> io::Result<()> {
    put(sys::address_bytes(address), bytes)
}

fn take_address(bytes: &[u8]) -> io::Result<(SockAddr, &[u8])> {
    let (address, rest) = take(bytes)?;
    Ok((sys::address_of(address)?, rest))
}

fn socket_of(descriptor: Option<OwnedFd>) -> io::Result<OwnedFd> {
    descriptor.ok_or_else(|| ErrorKind::InvalidData.into())
}

impl Portable for Tcp {
    fn pack<'r>(
        &self,
        request: &'r TcpRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        put_address(&SockAddr::from(*request.peer()), bytes)?;
        Ok(Some(request.as_fd()))
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<TcpRequest> {
        let (peer, _) = take_address(bytes)?;
        let peer = peer.as_socket().ok_or(ErrorKind::InvalidData)?;
        Ok(StreamRequest::new(socket_of(descriptor)?.into(), peer, self.settings))
    }
}

impl Portable for UnixStream {
    fn pack<'r>(
        &self,
        request: &'r UnixStreamRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        if !request.peer().is_unnamed() {
            put_address(&unix::to_sockaddr(request.peer())?, bytes)?;
        }
        Ok(Some(request.as_fd()))
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<UnixStreamRequest> {
        let peer = if bytes.is_empty() {
            // Which is how an unnamed one is made.
            net::SocketAddr::from_pathname("")?
        } else {
            unix::to_std(&take_address(bytes)?.0).ok_or(ErrorKind::InvalidData)?
        };
        Ok(StreamRequest::new(socket_of(descriptor)?.into(), peer, self.settings))
    }
}

/// The socket is the transport's, which the other process has too.
impl Portable for Udp {
    fn pack<'r>(
        &self,
        request: &'r UdpRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        pack_packet(request, bytes)
    }

    fn unpack(&self, bytes: &[u8], _descriptor: Option<OwnedFd>) -> io::Result<UdpRequest> {
        unpack_packet(&self.packets, bytes, udp::peer)
    }

    fn is_from(&self, request: &UdpRequest) -> bool {
        request.is_of(&self.packets)
    }
}

/// As [`Udp`].
impl Portable for UnixDatagram {
    fn pack<'r>(
        &self,
        request: &'r UnixDatagramRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        pack_packet(request, bytes)
    }

    fn unpack(
        &self,
        bytes: &[u8],
        _descriptor: Option<OwnedFd>,
    ) -> io::Result<UnixDatagramRequest> {
        unpack_packet(&self.packets, bytes, |sender| (unix::to_std(sender), 0))
    }

    fn is_from(&self, request: &UnixDatagramRequest) -> bool {
        request.is_of(&self.packets)
    }
}

fn pack_packet<'r, S: DatagramSocket, A>(
    request: &Datagram<S, A>,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<BorrowedFd<'r>>> {
    put_address(request.sender(), bytes)?;
    request.pack(bytes);
    Ok(None)
}

fn unpack_packet<S: DatagramSocket, A>(
    packets: &Arc<Packets<S>>,
    bytes: &[u8],
    peer: impl FnOnce(&SockAddr) -> (A, usize),
) -> io::Result<Datagram<S, A>> {
    let (sender, rest) = take_address(bytes)?;
    Datagram::unpack(packets, sender, rest, peer).ok_or_else(|| ErrorKind::InvalidData.into())
}
