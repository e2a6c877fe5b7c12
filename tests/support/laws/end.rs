//! A client's end, of a socket or in memory.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
#[cfg(feature = "testing")]
use socketserver::testing::{Link, MemoryDatagramSocket, MemoryStream};

use super::WATCHDOG;
use super::client::{Address, Wire};
use super::world::World;

/// One that has its address, and is not connected yet.
pub(super) enum Bound {
    Socket(Socket),
    #[cfg(feature = "testing")]
    Link(Link),
    #[cfg(feature = "testing")]
    Packets(MemoryDatagramSocket),
}

pub(super) enum End {
    Socket(Socket),
    #[cfg(feature = "testing")]
    Stream(MemoryStream),
    #[cfg(feature = "testing")]
    Packets(MemoryDatagramSocket, SocketAddr),
}

impl Bound {
    /// It, and how the guest book has its address.
    pub(super) fn new(wire: Wire, world: &World, client: usize) -> io::Result<(Self, String)> {
        let kind = if wire.is_packet() { Type::DGRAM } else { Type::STREAM };
        match wire {
            Wire::Tcp | Wire::Udp | Wire::Beside => {
                let socket = Socket::new(Domain::IPV4, kind, None)?;
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
                let address = socket.local_addr()?.as_socket();
                Ok((Self::Socket(socket), address.text()))
            }
            Wire::UnixStream | Wire::UnixDatagram => {
                let socket = Socket::new(Domain::UNIX, kind, None)?;
                let home = world.home(client);
                socket.bind(&SockAddr::unix(&home)?)?;
                Ok((Self::Socket(socket), home.display().to_string()))
            }
            #[cfg(feature = "testing")]
            Wire::Memory { pieces } => {
                let own = SocketAddr::from(([10, 0, 0, 2], u16::try_from(client).unwrap()));
                let mut link = Link::new().client(own);
                if pieces > 0 {
                    link = link.reads_of(pieces).writes_of(pieces);
                }
                Ok((Self::Link(link), own.text()))
            }
            #[cfg(feature = "testing")]
            Wire::MemoryDatagrams => {
                let socket = MemoryDatagramSocket::bind("10.0.0.2:0")?;
                let address = socket.local_addr()?.text();
                Ok((Self::Packets(socket), address))
            }
        }
    }

    /// Connects without waiting for anybody to accept.
    pub(super) fn connect(self, server: &SockAddr) -> io::Result<End> {
        let end = match self {
            Self::Socket(socket) => {
                socket.connect(server)?;
                End::Socket(socket)
            }
            #[cfg(feature = "testing")]
            Self::Link(link) => End::Stream(link.connect(server.as_socket().unwrap())?),
            #[cfg(feature = "testing")]
            Self::Packets(socket) => End::Packets(socket, server.as_socket().unwrap()),
        };
        end.set_waiting(true)?;
        Ok(end)
    }
}

impl End {
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.send(bytes).map(drop),
            #[cfg(feature = "testing")]
            Self::Stream(stream) => io::Write::write_all(&mut &*stream, bytes),
            #[cfg(feature = "testing")]
            Self::Packets(socket, server) => socket.send_to(bytes, server).map(drop),
        }
    }

    pub(super) fn half_close(&self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.shutdown(Shutdown::Write),
            #[cfg(feature = "testing")]
            Self::Stream(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "testing")]
            Self::Packets(..) => Ok(()),
        }
    }

    /// Is to go away with a reset, where there is such a thing.
    pub(super) fn reset(&self, wire: Wire) -> io::Result<()> {
        match self {
            Self::Socket(socket) if matches!(wire, Wire::Tcp | Wire::Beside) => {
                socket.set_linger(Some(Duration::ZERO))
            }
            Self::Socket(_) => Ok(()),
            #[cfg(feature = "testing")]
            Self::Stream(stream) => {
                stream.reset();
                Ok(())
            }
            #[cfg(feature = "testing")]
            Self::Packets(..) => Ok(()),
        }
    }

    /// Whether a read waits for what is sure to come.
    pub(super) fn set_waiting(&self, waits: bool) -> io::Result<()> {
        match self {
            Self::Socket(socket) => {
                socket.set_nonblocking(!waits)?;
                socket.set_read_timeout(Some(WATCHDOG))
            }
            #[cfg(feature = "testing")]
            Self::Stream(stream) => stream.set_read_timeout(Some(patience(waits))),
            #[cfg(feature = "testing")]
            Self::Packets(socket, _) => socket.set_read_timeout(Some(patience(waits))),
        }
    }

    /// Among those that a child closes.
    pub(super) fn enter(&self, world: &World) {
        if let Self::Socket(socket) = self {
            world.ends().insert(socket.as_raw_fd());
        }
    }

    pub(super) fn leave(&self, world: &World) {
        if let Self::Socket(socket) = self {
            world.ends().remove(&socket.as_raw_fd());
        }
    }
}

impl Read for &End {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Socket(socket) => (&*socket).read(bytes),
            #[cfg(feature = "testing")]
            End::Stream(stream) => (&*stream).read(bytes),
            #[cfg(feature = "testing")]
            End::Packets(socket, _) => socket.recv_from(bytes).map(|(count, _)| count),
        }
    }
}

/// In memory, what is there is there at once.
#[cfg(feature = "testing")]
fn patience(waits: bool) -> Duration {
    if waits { WATCHDOG } else { Duration::from_nanos(1) }
}
