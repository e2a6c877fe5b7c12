//! Clients of the four transports, driven by hand.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net as unix;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::WATCHDOG;
use super::script::{Heard, Script};
use super::world::{Guest, World};

/// The bytes of a message: a line with the script's word, and a line with the client's number.
pub const LENGTH: usize = 7;
const FIRST_LINE: usize = 3;

/// A transport, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Tcp,
    Udp,
    UnixStream,
    UnixDatagram,
    /// TCP beside another transport, and among several.
    Beside,
}

impl Wire {
    pub fn is_packet(self) -> bool {
        matches!(self, Self::Udp | Self::UnixDatagram)
    }

    fn socket(self, home: &std::path::Path) -> io::Result<Socket> {
        let kind = if self.is_packet() { Type::DGRAM } else { Type::STREAM };
        match self {
            Self::Tcp | Self::Udp | Self::Beside => {
                let socket = Socket::new(Domain::IPV4, kind, None)?;
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
                Ok(socket)
            }
            Self::UnixStream | Self::UnixDatagram => {
                let socket = Socket::new(Domain::UNIX, kind, None)?;
                socket.bind(&SockAddr::unix(home)?)?;
                Ok(socket)
            }
        }
    }
}

/// An address as the guest book has it.
pub trait Address {
    fn text(&self) -> String;
}

impl Address for SocketAddr {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Address for unix::SocketAddr {
    fn text(&self) -> String {
        self.as_pathname().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

impl<A: Address> Address for Option<A> {
    fn text(&self) -> String {
        self.as_ref().map(A::text).unwrap_or_default()
    }
}

/// What a handler has heard of a connection's message when so many bytes of it have been sent.
pub fn heard(sent: usize) -> Heard {
    match sent {
        ..FIRST_LINE => Heard::Nothing,
        FIRST_LINE..LENGTH => Heard::FirstLine,
        LENGTH.. => Heard::All,
    }
}

pub struct Client {
    socket: Socket,
    wire: Wire,
    script: Script,
    number: usize,
    sent: usize,
    checked: Cell<bool>,
    world: Arc<World>,
}

impl Client {
    /// Connects without waiting for anybody to accept.
    pub fn connect(
        world: &Arc<World>,
        wire: Wire,
        server: &SockAddr,
        guest: Guest,
    ) -> io::Result<Self> {
        let home = world.homes.path().join(guest.client.to_string());
        let socket = loop {
            let socket = wire.socket(&home)?;
            let address = socket.local_addr()?;
            let text = match address.as_socket() {
                Some(address) => address.text(),
                None => home.display().to_string(),
            };
            if world.expect(text, guest) {
                break socket;
            }
        };
        socket.connect(server)?;
        socket.set_read_timeout(Some(WATCHDOG))?;
        world.ends().insert(socket.as_raw_fd());
        let (Guest { client: number, script }, checked) = (guest, Cell::new(false));
        Ok(Self { socket, wire, script, number, sent: 0, checked, world: Arc::clone(world) })
    }

    fn body(&self) -> String {
        format!("{:03}\n", self.number)
    }

    /// Sends the message up to its byte `end`.
    pub fn send(&mut self, end: usize) -> io::Result<()> {
        let message = format!("{}\n{}", self.script.word(), self.body());
        assert_eq!(message.len(), LENGTH);
        let part = &message.as_bytes()[self.sent..end];
        self.sent = end;
        if part.is_empty() {
            return Ok(());
        }
        match self.socket.send(part) {
            // Its request may be over before it has said all: the ledger tells whether it may.
            Err(error) if is_gone(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    pub fn half_close(&self) -> io::Result<()> {
        match self.socket.shutdown(Shutdown::Write) {
            Err(error) if is_gone(&error) => Ok(()),
            other => other,
        }
    }

    /// Goes away with a reset, where the transport has such a thing.
    pub fn abort(self) -> io::Result<()> {
        let resets = matches!(self.wire, Wire::Tcp | Wire::Beside);
        if resets { self.socket.set_linger(Some(Duration::ZERO)) } else { Ok(()) }
    }

    /// Reads what the server had to say, which it has said by now, and says how that is wrong. A
    /// second time, there must be nothing more.
    pub fn check_reply(&self, all_heard: bool) -> Result<(), String> {
        let first = !self.checked.replace(true);
        let answered = first && all_heard && self.script.answers(self.wire.is_packet());
        let wanted = if answered { self.body().trim_end().to_owned() } else { String::new() };
        let got = if self.wire.is_packet() { self.packet(answered) } else { self.rest(answered) };
        match got {
            Ok(got) if got == wanted => Ok(()),
            other => Err(format!("client {} wanted {wanted:?} and got {other:?}", self.number)),
        }
    }

    fn packet(&self, answered: bool) -> io::Result<String> {
        self.socket.set_nonblocking(!answered)?;
        let mut bytes = [0; 64];
        match (&self.socket).read(&mut bytes) {
            Err(error) if !answered && error.kind() == ErrorKind::WouldBlock => Ok(String::new()),
            other => Ok(String::from_utf8_lossy(&bytes[..other?]).into_owned()),
        }
    }

    fn rest(&self, answered: bool) -> io::Result<String> {
        let mut bytes = String::new();
        match (&self.socket).read_to_string(&mut bytes) {
            // A server that closes with bytes unread resets the connection.
            Err(error) if !answered && is_gone(&error) => Ok(bytes),
            other => other.map(|_| bytes),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected
    )
}

impl Drop for Client {
    fn drop(&mut self) {
        self.world.ends().remove(&self.socket.as_raw_fd());
    }
}
