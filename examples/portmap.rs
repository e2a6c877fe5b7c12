//! A port mapper: program 100000 of ONC RPC in its version 2, which tells clients by the number of a
//! program at which port that is (RFC 1833, section 3).
//!
//! It does what `Registered` and rpcinfo(8) ask for: null, set, unset, getport and dump. The other two
//! procedures of version 2 there are not; whoever wants versions 3 and 4 has rpcbind(8).

mod both;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lexopt::{Arg, Parser};
use socketserver::rpc::{AuthStat, Call, Fault, Garbage, Program, Rpc, Xdr};
use socketserver::{Beside, LocalAddr, Server, Threading};

use both::{Both, Signals, announce, bind, drain};

const PROGRAM: u32 = 100_000;
const VERSION: u32 = 2;
/// So many mappings there are at most.
const MOST: usize = 1024;

const HELP: &str = "\
portmap: a port mapper (ONC RPC, program 100000, version 2)

Usage: portmap [OPTIONS]

  --addr IP:PORT  where to listen, over TCP and UDP [default: 127.0.0.1:111],
                  with port 0 for a free one
";

/// A program in one version, and where it is.
#[derive(Clone, Copy, PartialEq)]
struct Mapping {
    program: u32,
    version: u32,
    protocol: u32,
    port: u32,
}

impl Mapping {
    fn is_version_of(&self, other: &Self) -> bool {
        (self.program, self.version) == (other.program, other.version)
    }

    fn is_as(&self, other: &Self) -> bool {
        self.is_version_of(other) && self.protocol == other.protocol
    }
}

impl Xdr for Mapping {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (self.program, self.version, self.protocol, self.port).encode(bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let (program, version, protocol, port) = Xdr::decode(input)?;
        Ok(Self { program, version, protocol, port })
    }
}

/// The mappings, each followed by whether there is another: what XDR has for a linked list.
struct Listed(Vec<Mapping>);

impl Xdr for Listed {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.0.iter().for_each(|mapping| Some(*mapping).encode(bytes));
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

struct PortMapper(Mutex<Vec<Mapping>>);

impl PortMapper {
    fn mappings(&self) -> MutexGuard<'_, Vec<Mapping>> {
        // Nothing is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is there afterwards, and was not somewhere else.
    fn set(&self, new: Mapping) -> bool {
        let mut mappings = self.mappings();
        if let Some(old) = mappings.iter().find(|old| old.is_as(&new)) {
            return *old == new;
        }
        let room = mappings.len() < MOST;
        if room {
            mappings.push(new);
        }
        room
    }

    /// Whether there was such a program.
    fn unset(&self, gone: &Mapping) -> bool {
        let mut mappings = self.mappings();
        let before = mappings.len();
        mappings.retain(|mapping| !mapping.is_version_of(gone));
        mappings.len() < before
    }

    /// Its port, or 0.
    fn port(&self, wanted: &Mapping) -> u32 {
        let mappings = self.mappings();
        mappings.iter().find(|mapping| mapping.is_as(wanted)).map_or(0, |mapping| mapping.port)
    }
}

impl Program for PortMapper {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program == PROGRAM).then_some(VERSION..=VERSION)
    }

    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match call.procedure() {
            procedure @ (1 | 2) => {
                // Who is somewhere else has nothing to register here.
                if !call.caller().is_some_and(|caller| caller.ip().is_loopback()) {
                    return Err(Fault::Auth(AuthStat::TooWeak));
                }
                let mapping = call.arguments()?;
                let done = if procedure == 1 { self.set(mapping) } else { self.unset(&mapping) };
                call.reply(&done)
            }
            3 => {
                let port = self.port(&call.arguments()?);
                call.reply(&port)
            }
            4 => {
                let () = call.arguments()?;
                let listed = Listed(self.mappings().clone());
                call.reply(&listed)
            }
            _ => Err(Fault::ProcUnavail),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut addr = SocketAddr::from(([127, 0, 0, 1], 111));
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("addr") => addr = lexopt::ValueExt::parse(&parser.value()?)?,
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(serve(addr)?)
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let (tcp, udp) = bind(addr)?;
    let at = tcp.local_addr()?;
    // It is to be found as the others are.
    let own = |protocol| {
        let port = at.port().into();
        Mapping { program: PROGRAM, version: VERSION, protocol, port }
    };
    let mapper = PortMapper(Mutex::new(vec![own(6), own(17)]));
    let both: Both = Beside::new(tcp, udp)?;
    let mut server = Server::new(both, Threading::new(), Rpc::new(mapper))?.drain(drain());
    Signals::new()?.stop(&server.stop_handle())?;
    announce(at)?;
    server.serve_forever()?;
    server.close().map(drop)
}
