//! Many requests, one of a hundred panicking and one failing: no wrong answer, every failure
//! counted, and afterwards the server holds what it held before.
//!
//! `SOCKETSERVER_REQUESTS` is how many: twenty thousand by default, a million for those who have a
//! few minutes. Where each has a process of its own it is a tenth of that.

mod support;

use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ExitCode, Stdio};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socketserver::{
    Concurrency, Counters, FailureKind, ForkServer, Forking, Handler, Next, ReadLine, Server, Sync,
    Tcp, TcpRequest, ThreadPool, Threading,
};
use support::footprint::{Process, until};
use support::net::{self, PATIENCE};
use support::{role, signals};

const REQUESTS: u64 = 20_000;
/// In KiB: how much more may be resident at the end than after the warm-up.
const GROWTH: u64 = 1024;
/// So many threads wait for the next request at most.
const KEPT: usize = 64;

type Tested<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if let Some(code) = role::play(&[("server", server)]) {
        return code;
    }
    let trials = ["sync", "threading", "thread_pool", "forking", "fork_server"].map(|strategy| {
        Trial::test(format!("{strategy}_endures"), move || {
            endures(strategy).map_err(|error| Failed::from(error.to_string()))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// Answers with the line, but for those that say what goes wrong.
struct Lines;

impl Handler<TcpRequest> for Lines {
    fn handle(&self, request: &mut TcpRequest) -> io::Result<Next> {
        let mut line = String::new();
        request.read_line_bounded(&mut line, 100)?;
        match line.as_str() {
            "panic\n" => panic!("as it was told to"),
            "fail\n" => return Err(io::Error::other("as it was told to")),
            _ => request.write_all(line.as_bytes())?,
        }
        Ok(Next::Done)
    }
}

/// The part of the server: serves until SIGUSR2, then says what it has counted.
fn server(arguments: &[String]) -> Tested {
    match arguments.first().map(String::as_str) {
        Some("sync") => serve(Sync),
        Some("threading") => serve(Threading::new()),
        Some("thread_pool") => serve(ThreadPool::new(KEPT)),
        Some("forking") => serve(Forking::new()),
        Some("fork_server") => serve(ForkServer::new()),
        other => Err(format!("no strategy is named {other:?}").into()),
    }
}

fn serve(concurrency: impl Concurrency<Tcp, Lines>) -> Tested {
    let counters = Counters::new()?;
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, concurrency, Lines)?.counters(&counters);
    signals::stop_on_usr2(server.stop_handle())?;
    println!("{}", server.local_addr()?);
    server.serve_forever()?;
    server.close()?;
    let failed = |kind| counters.failed_by(kind);
    println!("{}\n{}", counters.accepted(), counters.finished());
    println!("{}\n{}", failed(FailureKind::Panic), failed(FailureKind::Error));
    println!("{}\n{}", counters.active(), counters.failed() + counters.refused());
    Ok(())
}

/// What of a process must not be more afterwards.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    crowd: usize,
}

impl Held {
    fn of(process: Process) -> Tested<Self> {
        Ok(Self {
            descriptors: process.descriptors()?,
            threads: process.threads()?,
            crowd: process.crowd()?,
        })
    }

    /// `Threading` and `ThreadPool` may keep threads for what comes next, and have three descriptors
    /// for them to wait at, which may not have been there when the address was said.
    fn is_as(self, before: Self, strategy: &str) -> bool {
        let (kept, own) = if strategy.starts_with("thread") { (KEPT, 3) } else { (0, 0) };
        let is_as = |now, before, more| (before..=before + more).contains(&now);
        is_as(self.descriptors, before.descriptors, own)
            && is_as(self.threads, before.threads, kept)
            && is_as(self.crowd, before.crowd, kept)
    }
}

fn endures(strategy: &str) -> Tested {
    let wanted = env::var("SOCKETSERVER_REQUESTS").ok().map_or(Ok(REQUESTS), |n| n.parse())?;
    let requests = if strategy.starts_with("fork") { wanted / 10 } else { wanted };
    let mut server = role::command("server")?.arg(strategy).stderr(Stdio::null()).spawn()?;
    let mut said = BufReader::new(server.stdout.take().ok_or("no stdout")?);
    let mut address = String::new();
    said.read_line(&mut address)?;
    let address = address.trim_end().parse()?;

    let process = Process(server.id());
    let before = Held::of(process)?;
    let ask = |number: u64| -> Tested {
        let (request, wanted) = match number % 100 {
            7 => ("panic\n".to_owned(), String::new()),
            13 => ("fail\n".to_owned(), String::new()),
            _ => (format!("request {number}\n"), format!("request {number}\n")),
        };
        let mut client = net::connect(address)?;
        client.write_all(request.as_bytes())?;
        let answer = net::all(client)?;
        if answer == wanted.as_bytes() {
            Ok(())
        } else {
            Err(format!("{request}{answer:?}").into())
        }
    };
    let begun = Instant::now();
    (0..requests / 10).try_for_each(ask)?;
    let warm = process.memory("VmRSS")?;
    (requests / 10..requests).try_for_each(ask)?;
    let took = begun.elapsed();

    until("all is as before", PATIENCE, || Ok(Held::of(process)?.is_as(before, strategy)))
        .map_err(|error| format!("{error}: {before:?}, {:?}", Held::of(process)))?;
    let grown = process.memory("VmRSS")?.saturating_sub(warm);
    let counts = counts(server, said)?;
    let bad = requests / 100;
    println!("{strategy}: {requests} in {took:.1?}, {counts:?}, {grown} KiB more resident");
    let wanted = [requests, requests - 2 * bad, bad, bad, 0, 2 * bad];
    assert_eq!(counts, wanted, "accepted, finished, panics, errors, active, not finished");
    assert!(grown <= GROWTH, "{grown} KiB more than after the warm-up");
    Ok(())
}

/// Ends the server; returns what it has counted.
fn counts(server: Child, mut said: impl Read) -> Tested<Vec<u64>> {
    kill(Pid::from_raw(i32::try_from(server.id())?), Signal::SIGUSR2)?;
    role::finished(server)?;
    let mut counts = String::new();
    said.read_to_string(&mut counts)?;
    counts.lines().map(|line| Ok(line.parse()?)).collect()
}
