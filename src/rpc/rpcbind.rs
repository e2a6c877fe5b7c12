//! Talking to the port mapper: version 2 of program 100000 (RFC 1833, section 3), which rpcbind(8)
//! speaks too.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::message;
use super::record;
use super::xdr::Xdr;

/// Where rpcbind(8) listens: 127.0.0.1:111. It takes registrations from nowhere else.
pub const RPCBIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 111);

const PROGRAM: u32 = 100_000;
const VERSION: u32 = 2;

const SET: u32 = 1;
const UNSET: u32 = 2;
const GETPORT: u32 = 3;

/// How long it may take to say something.
const PATIENCE: Duration = Duration::from_secs(5);
/// Far more than any of its replies has.
const LONGEST_REPLY: usize = 1024;

/// A connection to the port mapper, for a few calls.
pub(super) struct Rpcbind(BufReader<TcpStream>);

impl Rpcbind {
    pub(super) fn connect(at: SocketAddr) -> io::Result<Self> {
        let connection = TcpStream::connect_timeout(&at, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(connection)))
    }

    /// Whether the program is to be found there from now on.
    pub(super) fn set(&mut self, program: u32, version: u32, at: Endpoint) -> io::Result<bool> {
        self.call(SET, &(program, version, at.protocol as u32, u32::from(at.port)))
    }

    /// Has the program be found nowhere, whatever the protocol; whether it was anywhere.
    pub(super) fn unset(&mut self, program: u32, version: u32) -> io::Result<bool> {
        self.call(UNSET, &(program, version, 0_u32, 0_u32))
    }

    /// Whether the program is to be found there.
    pub(super) fn is_set(&mut self, program: u32, version: u32, at: Endpoint) -> io::Result<bool> {
        let found: u32 = self.call(GETPORT, &(program, version, at.protocol as u32, 0_u32))?;
        Ok(found == u32::from(at.port))
    }

    fn call<R: Xdr>(&mut self, procedure: u32, mapping: &(u32, u32, u32, u32)) -> io::Result<R> {
        // It answers one call after the other on this connection.
        let xid = procedure;
        let mut call = record::ROOM.to_vec();
        message::put_call(xid, PROGRAM, VERSION, procedure, &mut call);
        mapping.encode(&mut call);
        record::mark(&mut call)?;
        self.0.get_mut().write_all(&call)?;
        let reply = record::read(&mut self.0, LONGEST_REPLY)?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut success = Vec::new();
        message::put_success(xid, &mut success);
        let refused = || io::Error::new(ErrorKind::InvalidData, "it has not run the procedure");
        let mut results = reply.strip_prefix(&*success).ok_or_else(refused)?;
        R::decode(&mut results).map_err(|garbage| io::Error::new(ErrorKind::InvalidData, garbage))
    }
}
