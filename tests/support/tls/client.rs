//! Clients.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use socketserver::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::net;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A client's end, whatever it goes over.
pub type Client<S = TcpStream> = BufReader<StreamOwned<ClientConnection, S>>;

/// Sends one byte at a time.
pub struct Trickle(pub TcpStream);

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

/// Speaks TLS over `stream` from now on; nothing is said before the first word.
pub fn over<S: Read + Write>(stream: S, config: ClientConfig, name: &str) -> Result<Client<S>> {
    let conn = ClientConnection::new(Arc::new(config), name.to_owned().try_into()?)?;
    Ok(BufReader::new(StreamOwned::new(conn, stream)))
}

/// Connects, and goes through the handshake.
pub fn connect(to: SocketAddr, config: ClientConfig, name: &str) -> Result<Client> {
    let mut client = over(net::connect(to)?, config, name)?;
    shake(&mut client)?;
    Ok(client)
}

pub fn shake<S: Read + Write>(client: &mut Client<S>) -> io::Result<()> {
    let StreamOwned { conn, sock } = client.get_mut();
    while conn.is_handshaking() {
        conn.complete_io(sock)?;
    }
    Ok(())
}

pub fn say<S: Read + Write>(client: &mut Client<S>, what: &[u8]) -> io::Result<()> {
    client.get_mut().write_all(what)?;
    client.get_mut().flush()
}

/// Sends a line; the line that is the answer.
pub fn ask<S: Read + Write>(client: &mut Client<S>, line: &str) -> io::Result<String> {
    say(client, line.as_bytes())?;
    hear(client)
}

pub fn hear<S: Read + Write>(client: &mut Client<S>) -> io::Result<String> {
    let mut line = String::new();
    client.read_line(&mut line)?;
    Ok(line)
}

/// Says that no more will come.
pub fn farewell<S: Read + Write>(client: &mut Client<S>) -> io::Result<()> {
    client.get_mut().conn.send_close_notify();
    client.get_mut().flush()
}

/// All that comes up to the `close_notify`; without one, an error.
pub fn rest<S: Read + Write>(client: &mut Client<S>) -> io::Result<String> {
    let mut rest = String::new();
    client.read_to_string(&mut rest)?;
    Ok(rest)
}
