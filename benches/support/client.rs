//! A client of each transport.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::role::Transport;

/// What every request consists of.
pub const LINE: &[u8] = b"the quick brown fox\n";

/// No answer takes so long; a lost one fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a server is to be reached.
#[derive(Debug, Clone)]
pub enum Address {
    Ip(SocketAddr),
    Path(PathBuf),
}

impl Address {
    fn ip(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Ip(address) => Ok(*address),
            Self::Path(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn path(&self) -> io::Result<&Path> {
        match self {
            Self::Path(path) => Ok(path),
            Self::Ip(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// A client that sends one request after the other: each over a connection of its own, or all from
/// one datagram socket.
#[derive(Debug)]
pub enum Client {
    Tcp(SocketAddr, Option<TcpStream>),
    Unix(PathBuf, Option<UnixStream>),
    Udp(UdpSocket),
    UnixDatagram(UnixDatagram, PathBuf),
}

impl Client {
    /// `own` is a path that the client may bind to.
    pub fn new(transport: Transport, server: &Address, own: &Path) -> io::Result<Self> {
        match transport {
            Transport::Tcp => Ok(Self::Tcp(server.ip()?, None)),
            Transport::UnixStream => Ok(Self::Unix(server.path()?.to_owned(), None)),
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.connect(server.ip()?)?;
                Ok(Self::Udp(socket))
            }
            Transport::UnixDatagram => {
                let socket = UnixDatagram::bind(own)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.connect(server.path()?)?;
                Ok(Self::UnixDatagram(socket, own.to_owned()))
            }
        }
    }

    /// Sends a request, over a new connection where it needs one.
    pub fn send(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(server, connection) => {
                let stream = TcpStream::connect(*server)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                connection.insert(stream).write_all(LINE)
            }
            Self::Unix(server, connection) => {
                let stream = UnixStream::connect(server)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                connection.insert(stream).write_all(LINE)
            }
            Self::Udp(socket) => socket.send(LINE).map(drop),
            Self::UnixDatagram(socket, _) => socket.send(LINE).map(drop),
        }
    }

    /// Receives the answer and checks it; of a connection, the end too.
    pub fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; LINE.len() + 1];
        let count = match self {
            Self::Tcp(_, connection) => to_the_end(connection.take(), &mut bytes)?,
            Self::Unix(_, connection) => to_the_end(connection.take(), &mut bytes)?,
            Self::Udp(socket) => socket.recv(&mut bytes)?,
            Self::UnixDatagram(socket, _) => socket.recv(&mut bytes)?,
        };
        check(&bytes[..count])
    }

    /// Another exchange over the connection that is open.
    pub fn send_again(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_, Some(stream)) => stream.write_all(LINE),
            Self::Unix(_, Some(stream)) => stream.write_all(LINE),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes the connection that is open.
    pub fn close(&mut self) {
        match self {
            Self::Tcp(_, connection) => drop(connection.take()),
            Self::Unix(_, connection) => drop(connection.take()),
            Self::Udp(_) | Self::UnixDatagram(..) => {}
        }
    }

    /// The answer to one exchange over the connection that stays open.
    pub fn receive_line(&mut self) -> io::Result<()> {
        let mut bytes = [0; LINE.len()];
        match self {
            Self::Tcp(_, Some(stream)) => stream.read_exact(&mut bytes)?,
            Self::Unix(_, Some(stream)) => stream.read_exact(&mut bytes)?,
            _ => return Err(io::ErrorKind::NotConnected.into()),
        }
        check(&bytes)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Self::UnixDatagram(_, own) = self {
            let _ = std::fs::remove_file(own);
        }
    }
}

fn to_the_end(connection: Option<impl Read>, bytes: &mut [u8]) -> io::Result<usize> {
    let mut stream = connection.ok_or(io::ErrorKind::NotConnected)?;
    let mut filled = 0;
    loop {
        match stream.read(&mut bytes[filled..])? {
            0 => return Ok(filled),
            count => filled += count,
        }
    }
}

fn check(answer: &[u8]) -> io::Result<()> {
    if answer == LINE {
        Ok(())
    } else {
        Err(io::Error::other(format!("answered by {} bytes: {answer:?}", answer.len())))
    }
}
