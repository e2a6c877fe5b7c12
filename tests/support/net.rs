//! The four transports as a test meets them: opened somewhere free, and spoken to by a client that
//! never waits for ever.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net as unix;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socketserver::{
    Handler, LocalAddr, Next, ReadLine, Tcp, Transport, Udp, UnixDatagram, UnixStream,
};

/// Far beyond what any answer takes, so that only a lost one reaches it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A transport that the same test can be run over.
pub trait Reach: Transport + LocalAddr {
    type Client;

    /// Binds to a free port of this machine, or to a new name in `dir`.
    fn open(dir: &Path) -> io::Result<Self>;

    /// Sends a request; a connection stays open for more, and the server need not run yet.
    fn send(to: &Self::Addr, dir: &Path, bytes: &[u8]) -> io::Result<Self::Client>;

    /// What the server answers: all up to the end of the connection, or one packet.
    fn receive(client: Self::Client) -> io::Result<Vec<u8>>;

    /// What a request is answered.
    fn ask(to: &Self::Addr, dir: &Path, bytes: &[u8]) -> io::Result<Vec<u8>> {
        Self::receive(Self::send(to, dir, bytes)?)
    }
}

/// A name in `dir` that no other call has given.
fn fresh(dir: &Path) -> std::path::PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    dir.join(format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A TCP client that does not wait for ever.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let client = TcpStream::connect_timeout(&to, PATIENCE)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    Ok(client)
}

/// Whoever connects there is refused.
pub fn assert_nobody_listens(at: SocketAddr) {
    let refused = connect(at).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "nobody listens");
}

/// A UDP client on 127.0.0.1 that does not wait for ever.
pub fn packets() -> io::Result<UdpSocket> {
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

/// The next datagram's bytes.
pub fn packet(client: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 65_536];
    let length = client.recv(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// All that comes until the end of the input.
pub fn all(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the server has let go of this connection without a word: by an end, or by a reset where
/// it had not read what was sent.
pub fn is_closed(client: impl Read) -> io::Result<bool> {
    match all(client) {
        Ok(bytes) => Ok(bytes.is_empty()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
        Err(error) => Err(error),
    }
}

impl Reach for Tcp {
    type Client = TcpStream;

    fn open(_dir: &Path) -> io::Result<Self> {
        Self::options().bind("127.0.0.1:0")
    }

    fn send(to: &SocketAddr, _dir: &Path, bytes: &[u8]) -> io::Result<TcpStream> {
        let mut client = connect(*to)?;
        client.write_all(bytes)?;
        Ok(client)
    }

    fn receive(client: TcpStream) -> io::Result<Vec<u8>> {
        all(client)
    }
}

impl Reach for UnixStream {
    type Client = unix::UnixStream;

    fn open(dir: &Path) -> io::Result<Self> {
        Self::options().bind(fresh(dir))
    }

    fn send(to: &unix::SocketAddr, _dir: &Path, bytes: &[u8]) -> io::Result<unix::UnixStream> {
        let mut client = unix::UnixStream::connect_addr(to)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.write_all(bytes)?;
        Ok(client)
    }

    fn receive(client: unix::UnixStream) -> io::Result<Vec<u8>> {
        all(client)
    }
}

impl Reach for Udp {
    type Client = UdpSocket;

    fn open(_dir: &Path) -> io::Result<Self> {
        Self::options().bind("127.0.0.1:0")
    }

    fn send(to: &SocketAddr, _dir: &Path, bytes: &[u8]) -> io::Result<UdpSocket> {
        let client = packets()?;
        // Connected, it hears from the kernel where nobody is there.
        client.connect(to)?;
        client.send(bytes)?;
        Ok(client)
    }

    fn receive(client: UdpSocket) -> io::Result<Vec<u8>> {
        packet(&client)
    }
}

impl Reach for UnixDatagram {
    type Client = unix::UnixDatagram;

    fn open(dir: &Path) -> io::Result<Self> {
        Self::options().bind(fresh(dir))
    }

    fn send(to: &unix::SocketAddr, dir: &Path, bytes: &[u8]) -> io::Result<unix::UnixDatagram> {
        let client = unix::UnixDatagram::bind(fresh(dir))?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.send_to_addr(bytes, to)?;
        Ok(client)
    }

    fn receive(client: unix::UnixDatagram) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 65_536];
        let length = client.recv(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

#[cfg(feature = "testing")]
mod memory {
    use std::io::{self, Write};
    use std::net::SocketAddr;
    use std::path::Path;

    use socketserver::testing::{Memory, MemoryDatagramSocket, MemoryDatagrams, MemoryStream};

    use super::{PATIENCE, Reach, all};

    impl Reach for Memory {
        type Client = MemoryStream;

        fn open(_dir: &Path) -> io::Result<Self> {
            Self::options().bind("10.0.0.1:0")
        }

        fn send(to: &SocketAddr, _dir: &Path, bytes: &[u8]) -> io::Result<MemoryStream> {
            let mut client = MemoryStream::connect(to)?;
            client.set_read_timeout(Some(PATIENCE))?;
            client.write_all(bytes)?;
            Ok(client)
        }

        fn receive(client: MemoryStream) -> io::Result<Vec<u8>> {
            all(client)
        }
    }

    impl Reach for MemoryDatagrams {
        type Client = MemoryDatagramSocket;

        fn open(_dir: &Path) -> io::Result<Self> {
            Self::options().bind("10.0.0.1:0")
        }

        fn send(to: &SocketAddr, _dir: &Path, bytes: &[u8]) -> io::Result<MemoryDatagramSocket> {
            let client = MemoryDatagramSocket::bind("10.0.0.2:0")?;
            client.set_read_timeout(Some(PATIENCE))?;
            client.send_to(bytes, to)?;
            Ok(client)
        }

        fn receive(client: MemoryDatagramSocket) -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; 65_536];
            let (length, _) = client.recv_from(&mut bytes)?;
            bytes.truncate(length);
            Ok(bytes)
        }
    }
}

/// Answers with the line it was sent.
#[derive(Debug, Default, Clone, Copy)]
pub struct Echo;

impl<R: BufRead + Write> Handler<R> for Echo {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = Vec::new();
        request.read_bytes_bounded(&mut line, 65_536)?;
        request.write_all(&line)?;
        Ok(Next::Done)
    }
}
