//! One of many clients on one thread: it sends at once, and takes the answer as it comes.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::client::Address;
use crate::support::role::Transport;

/// How a client goes about it.
#[derive(Debug)]
pub struct Caller {
    transport: Transport,
    server: SockAddr,
    /// A path to be bound to, where answers need one.
    own: Option<PathBuf>,
    /// Whether the connection serves for many requests.
    kept: bool,
    socket: Option<Socket>,
    received: usize,
}

impl Caller {
    pub fn new(transport: Transport, server: &Address, own: &Path, kept: bool) -> io::Result<Self> {
        let server = match server {
            Address::Ip(address) => SockAddr::from(*address),
            Address::Path(path) => SockAddr::unix(path)?,
        };
        let own = (transport == Transport::UnixDatagram).then(|| own.to_owned());
        Ok(Self { transport, server, own, kept, socket: None, received: 0 })
    }

    /// Opens a socket where there is none, and returns it.
    pub fn open(&mut self) -> io::Result<Option<&Socket>> {
        if self.socket.is_some() {
            return Ok(None);
        }
        let domain = self.server.domain();
        debug_assert!([Domain::IPV4, Domain::UNIX].contains(&domain));
        let kind = if self.transport.is_stream() { Type::STREAM } else { Type::DGRAM };
        let socket = Socket::new(domain, kind, None)?;
        if let Some(own) = &self.own {
            socket.bind(&SockAddr::unix(own)?)?;
        }
        socket.connect(&self.server)?;
        Ok(Some(self.socket.insert(socket)))
    }

    /// Sends a request.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.received = 0;
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        match socket.send(payload)? {
            sent if sent == payload.len() => Ok(()),
            sent => Err(io::Error::other(format!("{sent} of {} bytes sent", payload.len()))),
        }
    }

    /// Takes what is there; returns whether the answer is complete, and the connection at its end
    /// where it is not kept.
    pub fn receive(&mut self, payload: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        while let Some(socket) = &self.socket {
            let count = match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if payload.get(self.received..self.received + count) != Some(&buffer[..count]) {
                return Err(io::Error::other("answered by something else"));
            }
            self.received += count;
            let complete = self.received == payload.len();
            let ends = self.transport.is_stream() && !self.kept;
            if count == 0 && !(ends && complete) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if ends && count == 0 {
                self.socket = None;
            }
            if complete && (!ends || count == 0) {
                return Ok(true);
            }
        }
        Err(io::ErrorKind::NotConnected.into())
    }
}
