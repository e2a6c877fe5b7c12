//! How the kit reaches the transports that it does not know by itself: it is an outsider's code.
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use nix::errno::Errno;
use socketserver::testing::{Link, Memory, MemoryStream, Reach};
use socketserver::{Beside, LocalAddr, Many, Tcp, Udp, UnixDatagram, UnixStream};
use tempfile::TempDir;

/// Another number with each call.
fn fresh() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Relaxed)
}

/// `Udp` on a free port of 127.0.0.1.
pub struct OverUdp;

impl Reach for OverUdp {
    type Transport = Udp;
    type Address = SocketAddr;
    type Client = UdpSocket;

    const IS_PACKET: bool = true;

    fn open(&self) -> io::Result<(Udp, SocketAddr)> {
        let transport = Udp::options().bind("127.0.0.1:0")?;
        let address = transport.local_addr()?;
        Ok((transport, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<UdpSocket> {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        client.connect(to)?;
        Ok(client)
    }
}

/// Where socket files are made, and have to be gone afterwards.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    fn fresh(&self) -> PathBuf {
        self.0.path().join(fresh().to_string())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn left(&self) -> io::Result<Vec<String>> {
        let files = fs::read_dir(self.0.path())?;
        files.map(|file| Ok(file?.path().display().to_string())).collect()
    }
}

pub struct OverUnixStream(pub Files);

impl Reach for OverUnixStream {
    type Transport = UnixStream;
    type Address = PathBuf;
    type Client = unix::UnixStream;

    fn open(&self) -> io::Result<(UnixStream, PathBuf)> {
        let path = self.0.fresh();
        Ok((UnixStream::options().bind(&path)?, path))
    }

    fn connect(&self, to: &PathBuf) -> io::Result<unix::UnixStream> {
        unix::UnixStream::connect(to)
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.0.left()
    }
}

pub struct OverUnixDatagram(pub Files);

impl Reach for OverUnixDatagram {
    type Transport = UnixDatagram;
    type Address = PathBuf;
    type Client = unix::UnixDatagram;

    const IS_PACKET: bool = true;

    fn open(&self) -> io::Result<(UnixDatagram, PathBuf)> {
        let path = self.0.fresh();
        Ok((UnixDatagram::options().bind(&path)?, path))
    }

    fn connect(&self, to: &PathBuf) -> io::Result<unix::UnixDatagram> {
        // One that is answered has a name.
        let name = format!("socketserver-{}-{}", process::id(), fresh());
        let client = unix::UnixDatagram::bind_addr(&unix::SocketAddr::from_abstract_name(name)?)?;
        client.connect(to)?;
        Ok(client)
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.0.left()
    }
}

/// TCP beside another transport, and among several.
pub struct OverSeveral(pub Files);

impl Reach for OverSeveral {
    type Transport = Beside<UnixStream, Many<Tcp>>;
    type Address = SocketAddr;
    type Client = TcpStream;

    fn open(&self) -> io::Result<(Self::Transport, SocketAddr)> {
        let tcp = || Tcp::options().bind("127.0.0.1:0");
        let many = Many::new([tcp()?, tcp()?])?;
        let address = many.local_addr()?.remove(1);
        Ok((Beside::new(UnixStream::options().bind(self.0.fresh())?, many)?, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to)
    }

    fn remains(&self) -> io::Result<Vec<String>> {
        self.0.left()
    }
}

/// Connections in memory, in pieces of so many bytes (of 0, as they come), through a transport whose
/// looks fail now and then.
pub struct Piecemeal(pub usize);

impl Reach for Piecemeal {
    type Transport = Memory;
    type Address = SocketAddr;
    type Client = MemoryStream;

    fn open(&self) -> io::Result<(Memory, SocketAddr)> {
        // An error that belongs to one request, and leaves it there: the loop passes over it.
        let failing = |options: socketserver::Options<Memory>, number| {
            options.fail_get_request(number, Errno::EPROTO.into())
        };
        let transport = [1, 3, 4, 8].into_iter().fold(Memory::options(), failing);
        let transport = transport.bind("10.0.0.1:0")?;
        let address = transport.local_addr()?;
        Ok((transport, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<MemoryStream> {
        match self.0 {
            0 => MemoryStream::connect(to),
            pieces => Link::new().reads_of(pieces).writes_of(pieces).connect(to),
        }
    }
}
