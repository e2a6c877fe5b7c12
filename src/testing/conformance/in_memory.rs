//! Clients of the transports in memory.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use super::reach::{Client, Reach, rest};
use crate::LocalAddr;
use crate::testing::{Memory, MemoryDatagramSocket, MemoryDatagrams, MemoryStream};

/// In memory, what is there is there at once.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// [`Memory`]: what strategies and mixins are tested over, among others.
#[derive(Debug, Clone, Copy, Default)]
pub struct OverMemory;

impl Reach for OverMemory {
    type Transport = Memory;
    type Address = SocketAddr;
    type Client = MemoryStream;

    fn open(&self) -> io::Result<(Memory, SocketAddr)> {
        let transport = Memory::options().bind("10.0.0.1:0")?;
        let address = transport.local_addr()?;
        Ok((transport, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<MemoryStream> {
        MemoryStream::connect(to)
    }
}

impl Client for MemoryStream {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>> {
        self.set_read_timeout(Some(patience))?;
        rest(self as &mut dyn Read, answer)
    }

    fn abort(self) -> io::Result<()> {
        self.reset();
        Ok(())
    }
}

/// [`MemoryDatagrams`]: packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct OverMemoryDatagrams;

/// A client of [`MemoryDatagrams`].
#[derive(Debug)]
pub struct MemoryDatagramClient {
    socket: MemoryDatagramSocket,
    server: SocketAddr,
}

impl Reach for OverMemoryDatagrams {
    type Transport = MemoryDatagrams;
    type Address = SocketAddr;
    type Client = MemoryDatagramClient;

    const IS_PACKET: bool = true;

    fn open(&self) -> io::Result<(MemoryDatagrams, SocketAddr)> {
        let transport = MemoryDatagrams::options().bind("10.0.0.1:0")?;
        let address = transport.local_addr()?;
        Ok((transport, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<MemoryDatagramClient> {
        MemoryDatagramClient::connect(*to)
    }
}

impl MemoryDatagramClient {
    /// A client of the server at this address.
    ///
    /// # Errors
    ///
    /// As [`MemoryDatagramSocket::bind`].
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: MemoryDatagramSocket::bind("10.0.0.2:0")?, server })
    }
}

impl Client for MemoryDatagramClient {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, self.server).map(drop)
    }

    fn half_close(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, answer: bool, patience: Duration) -> io::Result<Vec<u8>> {
        self.socket.set_read_timeout(Some(if answer { patience } else { AT_ONCE }))?;
        let mut bytes = vec![0; 1024];
        match self.socket.recv_from(&mut bytes) {
            Err(error) if !answer && error.kind() == ErrorKind::WouldBlock => Ok(Vec::new()),
            other => Ok(bytes[..other?.0].to_vec()),
        }
    }
}
