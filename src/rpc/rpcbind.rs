//! Talking to rpcbind(8): version 4 of program 100000 (RFC 1833, section 2), which knows IPv6.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::message;
use super::record;
use super::xdr::{Bounded, Garbage, Xdr};

/// Where rpcbind(8) listens: 127.0.0.1:111. It takes registrations from nowhere else.
pub const RPCBIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 111);

const PROGRAM: u32 = 100_000;
const VERSION: u32 = 4;

const SET: u32 = 1;
const UNSET: u32 = 2;
const DUMP: u32 = 4;

/// How long it may take to say something.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for thousands of programs in its longest reply.
const LONGEST_REPLY: usize = 1 << 20;

/// What it knows all things by: none of its words is as long.
type Word = Bounded<String, 1024>;

fn word(text: String) -> Word {
    Word::new(text).unwrap_or_default()
}

/// A program in one version, and where it is.
#[derive(PartialEq)]
pub(super) struct Mapping {
    program: u32,
    version: u32,
    netid: Word,
    address: Word,
}

impl Mapping {
    pub(super) fn new(program: u32, version: u32, at: Endpoint) -> Self {
        let (netid, address) = (word(at.netid().to_owned()), word(at.universal_address()));
        Self { program, version, netid, address }
    }
}

impl Xdr for Mapping {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (self.program, self.version).encode(bytes);
        self.netid.encode(bytes);
        self.address.encode(bytes);
        // Its owner: it knows better who that is.
        Word::default().encode(bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let (program, version, netid, address, _owner): (_, _, _, _, Word) = Xdr::decode(input)?;
        Ok(Self { program, version, netid, address })
    }
}

/// Mappings, each with a word before it that says that there is one: a linked list of XDR.
pub(super) struct Listed(pub(super) Vec<Mapping>);

impl Xdr for Listed {
    fn encode(&self, bytes: &mut Vec<u8>) {
        for mapping in &self.0 {
            true.encode(bytes);
            mapping.encode(bytes);
        }
        false.encode(bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let mut listed = Vec::new();
        while let Some(mapping) = Xdr::decode(input)? {
            listed.push(mapping);
        }
        Ok(Self(listed))
    }
}

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
    pub(super) fn set(&mut self, mapping: &Mapping) -> io::Result<bool> {
        self.call(SET, mapping)
    }

    /// Has the program be found nowhere by this kind of address; whether it was anywhere.
    pub(super) fn unset(&mut self, mapping: &Mapping) -> io::Result<bool> {
        self.call(UNSET, mapping)
    }

    /// All that is to be found. (To ask for one address at a time does not do: that is of the kind that
    /// it is asked over.)
    pub(super) fn dump(&mut self) -> io::Result<Listed> {
        self.call(DUMP, &())
    }

    fn call<R: Xdr>(&mut self, procedure: u32, arguments: &impl Xdr) -> io::Result<R> {
        // It answers one call after the other on this connection.
        let xid = procedure;
        let mut call = record::ROOM.to_vec();
        message::put_call(xid, PROGRAM, VERSION, procedure, &mut call);
        arguments.encode(&mut call);
        record::mark(&mut call)?;
        self.0.get_mut().write_all(&call)?;
        let reply = record::read(&mut self.0, LONGEST_REPLY)?;
        let mut success = Vec::new();
        message::put_success(xid, &mut success);
        let refused = || io::Error::new(ErrorKind::InvalidData, "it has not run the procedure");
        let mut results = reply.strip_prefix(&*success).ok_or_else(refused)?;
        R::decode(&mut results).map_err(|garbage| io::Error::new(ErrorKind::InvalidData, garbage))
    }
}
