//! How a transport under test is made, and how a client talks to it.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net as unix;
use std::time::Duration;

use socket2::SockRef;

use crate::{LocalAddr, Tcp, Transport};

/// A transport under test: how it is made, and how a client reaches it.
///
/// The kit makes it afresh for each schedule. Its clients come one after the other, and their requests
/// have to be taken in that order; a transport that takes from several places is reached at one.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::net::{SocketAddr, TcpStream};
/// use socketserver::testing::Reach;
/// use socketserver::{LocalAddr, Tcp};
///
/// /// A transport of one's own would stand in the place of `Tcp`.
/// struct Mine;
///
/// impl Reach for Mine {
///     type Transport = Tcp;
///     type Address = SocketAddr;
///     type Client = TcpStream;
///
///     fn open(&self) -> io::Result<(Tcp, SocketAddr)> {
///         let transport = Tcp::options().bind("127.0.0.1:0")?;
///         let address = transport.local_addr()?;
///         Ok((transport, address))
///     }
///
///     fn connect(&self, to: &SocketAddr) -> io::Result<TcpStream> {
///         TcpStream::connect(to)
///     }
/// }
/// ```
pub trait Reach {
    /// The transport. Its requests are read and written by the kit's handler, as those of all four
    /// transports of this crate can be.
    type Transport: Transport<Request: BufRead + Write + Send> + Send + Sync + 'static;

    /// Whatever a client needs to find the transport.
    type Address;

    /// A client's end.
    type Client: Client;

    /// Whether a request has all its bytes when it is taken, and is answered by one packet: a
    /// datagram, a job. It is not, by default, but a connection, whose bytes come as they like.
    const IS_PACKET: bool = false;

    /// Whether a client has to do something before its request is
    /// [established](crate::Request::establish), such as a handshake: one that goes away may be gone by
    /// then.
    const HAS_OPENING: bool = false;

    /// Makes the transport, where nobody else is, and says where clients reach it.
    ///
    /// # Errors
    ///
    /// Where it can't be made; the check is over then.
    fn open(&self) -> io::Result<(Self::Transport, Self::Address)>;

    /// A new client: what it sends is a request. It must not wait for the server, which need not
    /// serve by then.
    ///
    /// # Errors
    ///
    /// Where it can't come; the check is over then.
    fn connect(&self, to: &Self::Address) -> io::Result<Self::Client>;

    /// What is left of a transport that has been closed, and the kit does not see by itself: a socket
    /// file. It is a broken law where there is something.
    ///
    /// # Errors
    ///
    /// Where it can't be looked; the check is over then.
    fn remains(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// A client's end, driven by hand. The clients of `std` implement it: [`TcpStream`],
/// [`UnixStream`](unix::UnixStream), and, connected to the server, [`UdpSocket`] and
/// [`UnixDatagram`](unix::UnixDatagram).
pub trait Client: Sized {
    /// Says something. A packet is said as a whole, and a connection's message in parts.
    ///
    /// # Errors
    ///
    /// Where it can't. That the server is gone is expected where its request may be over.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Says that no more will be said, and goes on listening. A client of packets is not asked to.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn half_close(&mut self) -> io::Result<()>;

    /// What the server has answered: over a connection all up to its end, which is waited for; or one
    /// packet, which is waited for where there is an `answer`, and where there is none is empty.
    /// Nothing that comes is waited for longer than `patience`.
    ///
    /// # Errors
    ///
    /// Where no answer comes in time, or no end. That a connection is reset is no error but its end,
    /// where there is no `answer`: a server that closes with bytes unread does that.
    fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>>;

    /// Goes away at once, with a reset where the transport has such a thing. By default it is dropped.
    ///
    /// # Errors
    ///
    /// Where it can't.
    fn abort(self) -> io::Result<()> {
        Ok(())
    }
}

/// That the other side is gone is no error for one who speaks to it.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected)
}

/// All up to the end of a connection, or to its reset where nothing else is to come.
pub(super) fn rest(connection: &mut dyn Read, answer: bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match connection.read_to_end(&mut bytes) {
        Err(error) if !answer && is_gone(&error) => Ok(bytes),
        other => other.map(|_| bytes),
    }
}

macro_rules! connections {
    ($($client:ty, $abort:expr;)*) => {$(
        impl Client for $client {
            fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
                self.write_all(bytes)
            }

            fn half_close(&mut self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }

            fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>> {
                self.set_read_timeout(Some(patience))?;
                rest(self, answer)
            }

            fn abort(self) -> io::Result<()> {
                $abort(&self)
            }
        }
    )*};
}

connections! {
    TcpStream, |client| SockRef::from(client).set_linger(Some(Duration::ZERO));
    unix::UnixStream, |_| Ok(());
}

macro_rules! packets {
    ($($client:ty)*) => {$(
        impl Client for $client {
            fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
                (*self).send(bytes).map(drop)
            }

            fn half_close(&mut self) -> io::Result<()> {
                Ok(())
            }

            fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>> {
                self.set_nonblocking(!answer)?;
                self.set_read_timeout(Some(patience))?;
                let mut bytes = vec![0; 65_536];
                match self.recv(&mut bytes) {
                    Err(error) if !answer && error.kind() == ErrorKind::WouldBlock => Ok(Vec::new()),
                    other => Ok(bytes[..other?].to_vec()),
                }
            }
        }
    )*};
}

packets! { UdpSocket unix::UnixDatagram }

/// [`Tcp`] on a free port of 127.0.0.1: what strategies and mixins are tested over, among others.
#[derive(Debug, Clone, Copy, Default)]
pub struct OverTcp;

impl Reach for OverTcp {
    type Transport = Tcp;
    type Address = SocketAddr;
    type Client = TcpStream;

    fn open(&self) -> io::Result<(Tcp, SocketAddr)> {
        let transport = Tcp::options().bind("127.0.0.1:0")?;
        let address = transport.local_addr()?;
        Ok((transport, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to)
    }
}
