//! A program of ONC RPC, over TCP and UDP: `rpc.x` beside this file says what it can do.
//!
//! `cargo run --release --features rpc --example rpc -- --addr 127.0.0.1:0` prints where it listens,
//! say at port 40123 (156 * 256 + 187), and then
//! `rpcinfo -a 127.0.0.1.156.187 -T tcp 536872249 1` calls its null procedure.

mod both;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::UNIX_EPOCH;

use lexopt::{Arg, Parser, ValueExt};
use socketserver::rpc::{Bounded, Call, Fault, Program, Registered, Rpc};
use socketserver::{
    Beside, Concurrency, Forking, Handler, LocalAddr, Selecting, Server, Sync, ThreadPool,
    Threading, Transport,
};

use both::{Both, Signals, announce, bind, drain};

const PROGRAM: u32 = 0x2000_0539;
const VERSIONS: RangeInclusive<u32> = 1..=1;

const HELP: &str = "\
rpc: a program of ONC RPC, number 0x20000539, version 1

Usage: rpc [OPTIONS]

  --addr IP:PORT     where to listen, over TCP and UDP, with port 0 for a free one
                     [default: 127.0.0.1:0]
  --strategy S       threading [default], thread-pool, forking; sync, which has
                     one connection after the other; selecting, which has all
                     connections in a table and packets on another thread
  --rpcbind IP:PORT  registers with the port mapper there, say 127.0.0.1:111;
                     not with selecting
";

/// Procedure 1 sends its argument back, and 2 says how many seconds have gone by since 1970.
struct Example;

impl Program for Example {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program == PROGRAM).then_some(VERSIONS)
    }

    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match call.procedure() {
            1 => {
                let text: Bounded<String, 1024> = call.arguments()?;
                call.reply(&text)
            }
            2 => {
                let () = call.arguments()?;
                let since = UNIX_EPOCH.elapsed().map_err(|_| Fault::SystemErr)?;
                call.reply(&since.as_secs())
            }
            _ => Err(Fault::ProcUnavail),
        }
    }
}

struct Cli {
    addr: SocketAddr,
    strategy: String,
    rpcbind: Option<SocketAddr>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(cli) = parse()? else {
        print!("{HELP}");
        return Ok(());
    };
    Ok(serve(&cli)?)
}

/// The options; none where somebody asks for help.
fn parse() -> Result<Option<Cli>, lexopt::Error> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut cli = Cli { addr, strategy: "threading".to_owned(), rpcbind: None };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("addr") => cli.addr = parser.value()?.parse()?,
            Arg::Long("strategy") => cli.strategy = parser.value()?.string()?,
            Arg::Long("rpcbind") => cli.rpcbind = Some(parser.value()?.parse()?),
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(cli))
}

fn serve(cli: &Cli) -> io::Result<()> {
    match &*cli.strategy {
        "sync" => one(cli, Sync),
        "threading" => one(cli, Threading::new()),
        "thread-pool" => one(cli, ThreadPool::default()),
        "forking" => one(cli, Forking::new()),
        "selecting" => two(cli),
        other => Err(invalid(&format!("--strategy {other} is none of those that --help has"))),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// One server for both, registered or not.
fn one<C>(cli: &Cli, strategy: C) -> io::Result<()>
where
    C: Concurrency<Both, Rpc<Example>> + Concurrency<Registered<Both>, Rpc<Example>>,
{
    let (tcp, udp) = bind(cli.addr)?;
    let at = tcp.local_addr()?;
    let both = Beside::new(tcp, udp)?;
    match cli.rpcbind {
        None => run(both, strategy, at),
        Some(rpcbind) => run(Registered::new(both, rpcbind, PROGRAM, VERSIONS)?, strategy, at),
    }
}

fn run<T, C>(transport: T, strategy: C, at: SocketAddr) -> io::Result<()>
where
    T: Transport,
    C: Concurrency<T, Rpc<Example>>,
    Rpc<Example>: Handler<T::Request>,
{
    let mut server = Server::new(transport, strategy, Rpc::new(Example))?.drain(drain());
    Signals::new()?.stop(&server.stop_handle())?;
    announce(at)?;
    server.serve_forever()?;
    server.close().map(drop)
}

/// A packet has nothing to wait for in a table, so each has a server: packets on a thread of its own.
fn two(cli: &Cli) -> io::Result<()> {
    if cli.rpcbind.is_some() {
        return Err(invalid("--rpcbind does not go with --strategy selecting"));
    }
    let (tcp, udp) = bind(cli.addr)?;
    let at = tcp.local_addr()?;
    let packets = Server::new(udp, Sync, Rpc::new(Example))?;
    let mut connections = Server::new(tcp, Selecting::new(Sync), Rpc::new(Example))?.drain(drain());
    Signals::new()?.stop(&connections.stop_handle())?;
    let packets = packets.spawn()?;
    announce(at)?;
    connections.serve_forever()?;
    // Packets are answered until here; none takes long.
    connections.close()?;
    packets.close().map(drop)
}
