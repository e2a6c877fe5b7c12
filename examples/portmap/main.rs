//! A port mapper: program 100000 of ONC RPC, which tells clients by the number of a program where that
//! is (RFC 1833), over IPv4 in its version 2 and over IPv6 too in its versions 3 and 4.
//!
//! It does what `Registered`, libtirpc and rpcinfo(8) ask for: null, set, unset, getport or getaddr,
//! and dump. Whoever wants the other procedures has rpcbind(8).

#[path = "../both/mod.rs"]
mod both;
mod mapping;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lexopt::{Arg, Parser};
use socketserver::rpc::{AuthStat, Call, Endpoints, Fault, Program, Rpc};
use socketserver::{Beside, LocalAddr, Server, Threading};

use both::{Both, Signals, announce, bind, drain};
use mapping::{Listed, Mapping, Old, Word};

const PROGRAM: u32 = 100_000;
const VERSIONS: RangeInclusive<u32> = 2..=4;
/// The one that knows ports of IPv4 alone.
const OLD: u32 = 2;
/// So many mappings there are at most.
const MOST: usize = 1024;

const HELP: &str = "\
portmap: a port mapper (ONC RPC, program 100000, versions 2 to 4)

Usage: portmap [OPTIONS]

  --addr IP:PORT  where to listen, over TCP and UDP [default: 127.0.0.1:111],
                  with port 0 for a free one; [::]:111 is IPv4 and IPv6
";

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
            return old.address == new.address;
        }
        let room = mappings.len() < MOST;
        if room {
            mappings.push(new);
        }
        room
    }

    /// Whether there was such a one.
    fn unset(&self, is_gone: impl Fn(&Mapping) -> bool) -> bool {
        let mut mappings = self.mappings();
        let before = mappings.len();
        mappings.retain(|mapping| !is_gone(mapping));
        mappings.len() < before
    }

    fn find(&self, wanted: &Mapping) -> Option<Mapping> {
        self.mappings().iter().find(|mapping| mapping.is_as(wanted)).cloned()
    }

    /// Version 2.
    fn call_old(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match call.procedure() {
            1 => {
                let new = Mapping::from_old(call.arguments()?);
                call.reply(&new.is_some_and(|new| self.set(new)))
            }
            2 => {
                let (program, version, ..): Old = call.arguments()?;
                let is_gone =
                    |old: &Mapping| old.is_version_of(program, version) && old.to_old().is_some();
                call.reply(&self.unset(is_gone))
            }
            3 => {
                let wanted = Mapping::from_old(call.arguments()?);
                let found = wanted.and_then(|wanted| self.find(&wanted)?.to_old());
                call.reply(&found.map_or(0, |(.., port)| port))
            }
            4 => {
                let () = call.arguments()?;
                let listed = self.mappings().iter().filter_map(Mapping::to_old).collect();
                call.reply(&Listed::<Old>(listed))
            }
            _ => Err(Fault::ProcUnavail),
        }
    }

    /// Versions 3 and 4, which are the same here.
    fn call_new(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match call.procedure() {
            1 => {
                let new = call.arguments()?;
                call.reply(&self.set(new))
            }
            2 => {
                let gone: Mapping = call.arguments()?;
                // All kinds of addresses, where none is named.
                let is_gone = |old: &Mapping| {
                    old.is_version_of(gone.program, gone.version)
                        && (gone.netid.is_empty() || old.netid == gone.netid)
                };
                call.reply(&self.unset(is_gone))
            }
            3 => {
                // The address that comes with it is the one that the caller has found us at.
                let wanted: Mapping = call.arguments()?;
                let found = self.find(&wanted);
                let address =
                    found.map_or(Word::default(), |at| at.address_beside(&wanted.address));
                call.reply(&address)
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

impl Program for PortMapper {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program == PROGRAM).then_some(VERSIONS)
    }

    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        // Who is somewhere else has nothing to register here.
        let is_near = call.caller().is_some_and(|caller| caller.ip().is_loopback());
        match call.procedure() {
            1 | 2 if !is_near => Err(Fault::Auth(AuthStat::TooWeak)),
            _ if call.version() == OLD => self.call_old(call),
            _ => self.call_new(call),
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
    let both: Both = Beside::new(tcp, udp)?;
    // It is to be found as the others are.
    let endpoints = both.endpoints()?;
    let own = |version| endpoints.iter().map(move |at| Mapping::new(PROGRAM, version, at));
    let is_so = |own: &Mapping| own.version != OLD || own.to_old().is_some();
    let mappings = VERSIONS.flat_map(own).filter(is_so).collect();
    let mapper = PortMapper(Mutex::new(mappings));
    let mut server = Server::new(both, Threading::new(), Rpc::new(mapper))?.drain(drain());
    Signals::new()?.stop(&server.stop_handle())?;
    announce(at)?;
    server.serve_forever()?;
    server.close().map(drop)
}
