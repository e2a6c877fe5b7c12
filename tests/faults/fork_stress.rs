//! Forks of a process whose threads are busy with all that a child needs, by the hundred thousand:
//! how many children hang, with `ForkServer` and with a fork on trust; and what a request costs
//! beside a parent with much memory. Prints figures, and fails where a `ForkServer`'s child hangs.
//!
//! `cargo test --test fork_stress`, with the number of requests after `--` where 100 000 take too
//! long. No part runs for longer than five minutes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socketserver::{
    AssumeForkSafe, Concurrency, ForkServer, Forking, HandlerFn, Outcome, Server, Tcp, TcpRequest,
};
use support::one_byte::tcp;
use support::processes::{children_of, signal};
use support::role;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(300);
/// Whoever has not answered by then hangs.
const A_HANG: Duration = Duration::from_secs(2);
/// So many hangs are enough to see.
const HANGS: u32 = 20;
const THREADS: usize = 4;
const MEGABYTE: usize = 1 << 20;

fn main() -> ExitCode {
    let roles =
        [("hammered", hammered as fn(&[String]) -> Result), ("on_trust", on_trust), ("cost", cost)];
    role::play(&roles).unwrap_or_else(|| match all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn all() -> Result {
    let count = env::args().skip(1).find(|arg| arg.parse::<u32>().is_ok());
    let count = count.unwrap_or_else(|| "100000".into());
    part("hammered", &[&count])?;
    part("on_trust", &["2000"])?;
    for megabytes in ["1", "64", "256"] {
        part("cost", &[megabytes])?;
    }
    Ok(())
}

fn part(name: &str, arguments: &[&str]) -> Result {
    // What the hammers print goes nowhere; the figures go to stderr.
    let status =
        role::command(name)?.args(arguments).stdout(std::process::Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) }
}

static LOCK: Mutex<u64> = Mutex::new(0);

/// What may hang in a child where another thread was in the middle of it.
fn busy() {
    println!("{:?}", env::var_os("PATH"));
    *LOCK.lock().expect("nobody panics with it") += 1;
    black_box(vec![1_u8; 10_000]);
    let _ = panic::catch_unwind(|| panic!("as ever"));
}

fn answers(conn: &mut TcpRequest) -> io::Result<()> {
    busy();
    conn.write_all(b"!")
}

/// Threads that are busy for as long as the process lives.
fn hammer() {
    for _ in 0..THREADS {
        thread::spawn(|| {
            loop {
                busy();
            }
        });
    }
}

fn number(arguments: &[String]) -> Result<u32> {
    Ok(arguments.first().ok_or("how many?")?.parse()?)
}

fn hush() {
    panic::set_hook(Box::new(|_| {
        print!("{:?}", env::var_os("RUST_BACKTRACE"));
    }));
}

/// Whether a request was answered in time.
fn is_answered(mut client: &TcpStream) -> io::Result<bool> {
    client.set_read_timeout(Some(A_HANG))?;
    match client.read(&mut [0]) {
        Ok(count) => Ok(count == 1),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address)
}

/// `ForkServer` beside the hammers: no child may hang.
fn hammered(arguments: &[String]) -> Result {
    const AT_ONCE: u32 = 8;
    let count = number(arguments)?;
    hush();
    let server = Server::new_fn(tcp()?, ForkServer::new(), answers)?;
    let helper = server.concurrency().helper().ok_or("no helper")?;
    hammer();
    let running = server.spawn()?;
    let address = running.local_addr()?;
    let begun = Instant::now();
    let (mut done, mut hung) = (0, 0);
    while done < count && begun.elapsed() < LIMIT && hung < HANGS {
        let clients: Vec<_> = (0..AT_ONCE).map(|_| connect(address)).collect::<io::Result<_>>()?;
        for client in &clients {
            hung += u32::from(!is_answered(client)?);
        }
        done += AT_ONCE;
    }
    let each = begun.elapsed() / done.max(1);
    running.close()?;
    let left = children_of(helper)?.len();
    eprintln!(
        "ForkServer beside {THREADS} busy threads: {done} children, {hung} hung, {left} left, \
         {each:?} each"
    );
    if hung == 0 && left == 0 { Ok(()) } else { Err("a child hung, or was left".into()) }
}

/// The same by a fork of the process itself, which somebody has promised to be safe.
#[expect(unsafe_code, reason = "the promise, which is a lie here")]
fn on_trust(arguments: &[String]) -> Result {
    let count = number(arguments)?;
    hush();
    // SAFETY: it is not safe, which is what this shows: children that hang are killed, and the
    // parent touches nothing of theirs.
    let forking = Forking::new().assume_fork_safe(unsafe { AssumeForkSafe::new() });
    let mut server = Server::new_fn(tcp()?, forking, answers)?;
    hammer();
    let begun = Instant::now();
    let (mut done, mut hung) = (0, 0);
    while done < count && begun.elapsed() < LIMIT && hung < HANGS {
        let client = connect(server.local_addr()?)?;
        if server.handle_request()? != Outcome::Handled {
            return Err("a fork was refused".into());
        }
        done += 1;
        if !is_answered(&client)? {
            hung += 1;
            server.active_children().try_for_each(|child| signal(child, Signal::SIGKILL))?;
        }
    }
    eprintln!("a fork on trust beside the same: {done} children, {hung} hung");
    // What still runs may hang later.
    server.active_children().try_for_each(|child| signal(child, Signal::SIGKILL))?;
    server.close()?;
    Ok(())
}

/// What a request costs, from the connection to the end of the answer, beside so many megabytes.
fn cost(arguments: &[String]) -> Result {
    let megabytes = number(arguments)?;
    let says: fn(&mut TcpRequest) -> io::Result<()> = |conn| conn.write_all(b"!");
    // Before the memory, as a program makes it.
    let helped = Server::new_fn(tcp()?, ForkServer::new(), says)?;
    let ballast = vec![1_u8; megabytes as usize * MEGABYTE];
    let helped = each(helped)?;
    let forked = each(Server::new_fn(tcp()?, Forking::new(), says)?)?;
    black_box(&ballast);
    eprintln!("beside {megabytes} MB: Forking {forked:?} a request, ForkServer {helped:?}");
    Ok(())
}

type Says = HandlerFn<fn(&mut TcpRequest) -> io::Result<()>>;

fn each<C: Concurrency<Tcp, Says>>(mut server: Server<Tcp, C, Says>) -> Result<Duration> {
    const REQUESTS: u32 = 300;
    let address = server.local_addr()?;
    let mut all = Vec::new();
    for _ in 0..REQUESTS {
        let begun = Instant::now();
        let client = connect(address)?;
        server.handle_request()?;
        if !is_answered(&client)? {
            return Err("no answer".into());
        }
        all.push(begun.elapsed());
    }
    server.close()?;
    all.sort();
    Ok(all[all.len() / 2])
}
