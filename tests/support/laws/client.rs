//! Clients of the transports, driven by hand.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net as unix;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::super::proxy::{addresses, v2};
use super::super::relay::Relay;
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
    /// `Authenticated<UnixStream, Users>`.
    Users,
    /// `Proxied<Tcp>`.
    Proxied,
    /// `Tls<Tcp>`.
    Tls,
    /// `Tls<Proxied<Tcp>>`.
    TlsProxied,
}

impl Wire {
    /// Those that this build has.
    pub fn all() -> Vec<Self> {
        let (proxy, tls) = (cfg!(feature = "proxy"), cfg!(feature = "tls"));
        let mut all =
            vec![Self::Tcp, Self::Udp, Self::UnixStream, Self::UnixDatagram, Self::Beside];
        all.push(Self::Users);
        let optional = [(Self::Proxied, proxy), (Self::Tls, tls), (Self::TlsProxied, proxy && tls)];
        all.extend(optional.into_iter().filter(|(_, is_there)| *is_there).map(|(wire, _)| wire));
        all
    }

    /// Whether a client has a thread of its own, which speaks TLS for it.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsProxied)
    }

    fn is_proxied(self) -> bool {
        matches!(self, Self::Proxied | Self::TlsProxied)
    }

    /// Whether the peer has to do something before its request is established, and may be gone
    /// instead.
    pub fn has_opening(self) -> bool {
        self.is_tls() || self.is_proxied()
    }

    pub fn is_packet(self) -> bool {
        matches!(self, Self::Udp | Self::UnixDatagram)
    }

    fn socket(self, home: &std::path::Path) -> io::Result<Socket> {
        let kind = if self.is_packet() { Type::DGRAM } else { Type::STREAM };
        match self {
            Self::Tcp | Self::Udp | Self::Beside | Self::Proxied | Self::Tls | Self::TlsProxied => {
                let socket = Socket::new(Domain::IPV4, kind, None)?;
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
                Ok(socket)
            }
            Self::UnixStream | Self::UnixDatagram | Self::Users => {
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

/// Who a client says that it is when it comes as a proxy.
pub fn name_of_client(number: usize) -> SocketAddr {
    let number = u8::try_from(number).unwrap();
    SocketAddr::from(([192, 0, 2, number], 4000 + u16::from(number)))
}

/// A header of either version.
fn header(number: usize) -> Vec<u8> {
    let name = name_of_client(number);
    if number % 2 == 0 {
        return v2(0x21, 0x11, &addresses(&name.to_string(), "198.51.100.1:80"));
    }
    format!("PROXY TCP4 {} 198.51.100.1 {} 80\r\n", name.ip(), name.port()).into_bytes()
}

pub struct Client {
    socket: Socket,
    /// What stands between that and the server.
    relay: Option<Relay>,
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
        if wire.is_proxied() {
            (&socket).write_all(&header(guest.client))?;
        }
        let (socket, relay) = if wire.is_tls() {
            let (clear, relay) = Relay::start(socket.into())?;
            (clear.into(), Some(relay))
        } else {
            (socket, None)
        };
        socket.set_read_timeout(Some(WATCHDOG))?;
        world.ends().insert(socket.as_raw_fd());
        let (Guest { client: number, script }, checked) = (guest, Cell::new(false));
        let world = Arc::clone(world);
        Ok(Self { socket, relay, wire, script, number, sent: 0, checked, world })
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
        let resets = matches!(self.wire, Wire::Tcp | Wire::Beside | Wire::Proxied);
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
            Ok(got) if got == wanted => self.check_farewell(all_heard),
            other => Err(format!("client {} wanted {wanted:?} and got {other:?}", self.number)),
        }
    }

    /// Over TLS, the end is a clean one where all went well, and only there.
    fn check_farewell(&self, all_heard: bool) -> Result<(), String> {
        let well = all_heard && self.script.answers(true);
        match &self.relay {
            Some(relay) if relay.was_clean() != well => {
                Err(format!("client {}: a clean end: {}", self.number, !well))
            }
            _ => Ok(()),
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
        if let Some(relay) = self.relay.take() {
            // The server's end of it may have come.
            let _ = self.socket.shutdown(Shutdown::Both);
            relay.join();
        }
    }
}
