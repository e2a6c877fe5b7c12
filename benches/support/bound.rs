//! A socket that is bound, for ours or by hand.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use socket2::SockRef;

use super::client::Address;
use super::role::Transport;

/// Of the packets that come over IP and of those that go over Unix sockets: what the system allows
/// as a rule (`net.core.rmem_max` and `wmem_max`), and doubles.
pub const BUFFER: usize = 212_992;

/// One of each transport.
pub enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
    UnixStream(UnixListener),
    UnixDatagram(UnixDatagram),
}

impl Bound {
    pub fn new(transport: Transport, directory: &Path) -> io::Result<(Self, Address)> {
        let path = directory.join("server");
        Ok(match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let address = Address::Ip(listener.local_addr()?);
                (Self::Tcp(listener), address)
            }
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
                let address = Address::Ip(socket.local_addr()?);
                (Self::Udp(socket), address)
            }
            Transport::UnixStream => {
                (Self::UnixStream(UnixListener::bind(&path)?), Address::Path(path))
            }
            Transport::UnixDatagram => {
                let socket = UnixDatagram::bind(&path)?;
                SockRef::from(&socket).set_send_buffer_size(BUFFER)?;
                (Self::UnixDatagram(socket), Address::Path(path))
            }
        })
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
            Self::UnixStream(socket) => socket.as_fd(),
            Self::UnixDatagram(socket) => socket.as_fd(),
        }
    }
}
