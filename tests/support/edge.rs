//! Transports that wrap one of the four, as a test meets them.

use std::io;
#[cfg(feature = "tls")]
use std::io::Write;
#[cfg(feature = "proxy")]
use std::net::SocketAddr;
#[cfg(any(feature = "proxy", feature = "tls"))]
use std::net::TcpStream;
use std::os::unix::net as unix;
use std::path::Path;

use socketserver::{Authenticated, UnixStream, Users};
#[cfg(feature = "proxy")]
use socketserver::{Proxied, Tcp};
#[cfg(feature = "tls")]
use socketserver::{Tls, TlsStream};

#[cfg(feature = "tls")]
use super::net::PATIENCE;
use super::net::{Reach, all};
#[cfg(feature = "tls")]
use super::relay::{Relay, server_config};

/// Lets in the user that this process runs as.
impl Reach for Authenticated<UnixStream, Users> {
    type Client = unix::UnixStream;

    fn open(dir: &Path) -> io::Result<Self> {
        let uid = nix::unistd::geteuid().as_raw();
        Ok(Self::new(UnixStream::open(dir)?, Users::new().uid(uid)))
    }

    fn send(to: &unix::SocketAddr, dir: &Path, bytes: &[u8]) -> io::Result<unix::UnixStream> {
        UnixStream::send(to, dir, bytes)
    }

    fn receive(client: unix::UnixStream) -> io::Result<Vec<u8>> {
        all(client)
    }
}

/// Trusts everybody.
#[cfg(feature = "proxy")]
impl Reach for Proxied<Tcp> {
    type Client = TcpStream;

    fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self::new(Tcp::open(dir)?, |_| true))
    }

    fn send(to: &SocketAddr, dir: &Path, bytes: &[u8]) -> io::Result<TcpStream> {
        let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";
        Tcp::send(to, dir, &[header, bytes].concat())
    }

    fn receive(client: TcpStream) -> io::Result<Vec<u8>> {
        all(client)
    }
}

/// Its clients speak in the clear to a relay.
#[cfg(feature = "tls")]
impl<T: Reach<Request: TlsStream, Client = TcpStream>> Reach for Tls<T> {
    type Client = unix::UnixStream;

    fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self::new(T::open(dir)?, server_config()))
    }

    fn send(to: &T::Addr, dir: &Path, bytes: &[u8]) -> io::Result<unix::UnixStream> {
        let (mut client, _) = Relay::start(T::send(to, dir, b"")?)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.write_all(bytes)?;
        Ok(client)
    }

    fn receive(client: unix::UnixStream) -> io::Result<Vec<u8>> {
        all(client)
    }
}
