//! Requests that are rows of a table: claimed, handled under any strategy, and acknowledged.
//!
//! `table fill` puts some there and `table serve` handles them; `table --help` has the rest. Several
//! processes may share one table, which is how one outgrows a machine. `serve` is what any server of
//! the crate is: a transport ([`rows`]), a strategy, and a handler ([`work`]).

#[path = "../../serve/arguments.rs"]
mod arguments;
mod by_hand;
mod clerk;
mod cli;
mod compare;
mod desk;
mod post;
mod rows;
mod store;
mod work;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;
use socketserver::{
    Concurrency, ForkServer, Forking, PreForking, Server, StopHandle, Sync, ThreadPool, Threading,
};

use cli::{Asked, Command, Strategy};
use desk::{Desk, Terms};
use rows::Rows;
use work::{Work, Worker};

fn main() -> ExitCode {
    let asked = match cli::parse() {
        Ok(asked) => asked,
        Err(what) => return fail(2, &what),
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::InvalidInput => fail(2, &error.to_string()),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn run(asked: &Asked) -> io::Result<()> {
    let terms = &asked.terms;
    if asked.command == Command::Help {
        return say(cli::HELP);
    }
    // Whether it can be had is said now. (A connection must not be there when a process is forked, so
    // this one is not kept.)
    drop(terms.database.open()?);
    match asked.command {
        Command::Serve => {
            serve(asked, terms)?;
            report(terms)
        }
        Command::Fill => terms.database.open()?.fill(asked.rounds.rows, &asked.body),
        Command::ByHand => {
            by_hand::serve(terms, &Work::new(asked.output.as_deref())?)?;
            report(terms)
        }
        Command::Compare => compare::compare(asked, terms, &asked.rounds),
        Command::Report | Command::Help => report(terms),
    }
}

fn report(terms: &Terms) -> io::Result<()> {
    let count = terms.database.open()?.count()?;
    say(&format!("{count}\n"))
}

/// The strategies.
fn serve(asked: &Asked, terms: &Terms) -> io::Result<()> {
    let pool = || ThreadPool::new(asked.workers);
    match asked.strategy {
        Strategy::Sync => under(Sync, asked, terms),
        Strategy::Threading => under(Threading::new(), asked, terms),
        Strategy::ThreadPool => under(pool(), asked, terms),
        Strategy::Forking => under(Forking::new(), asked, terms),
        Strategy::ForkServer => under(ForkServer::new(), asked, terms),
        Strategy::PreForking => under(PreForking::new(asked.workers, Sync)?, asked, terms),
        Strategy::PreForkingThreading => {
            under(PreForking::new(asked.workers, Threading::new())?, asked, terms)
        }
        Strategy::PreForkingThreadPool => {
            under(PreForking::new(asked.workers, ThreadPool::default())?, asked, terms)
        }
    }
}

fn under<C: Concurrency<Rows, Worker>>(
    strategy: C,
    asked: &Asked,
    terms: &Terms,
) -> io::Result<()> {
    let desk = Arc::new(Desk::new(terms.clone())?);
    let worker = Worker { work: Work::new(asked.output.as_deref())?, desk: Arc::clone(&desk) };
    let server = Server::new(Rows::new(&desk), strategy, worker)?;
    let mut server = server.service_interval(terms.interval);
    let stops = stop_on_signals(&server.stop_handle())?;
    server.serve_forever()?;
    server.close()?;
    // What has ended while it was closed, in children.
    desk.finish();
    for stop in stops {
        low_level::unregister(stop);
    }
    Ok(())
}

fn stop_on_signals(server: &StopHandle) -> io::Result<[signal_hook::SigId; 2]> {
    let register = |signal| {
        let server = server.clone();
        #[expect(unsafe_code, reason = "what runs in a signal handler has to be promised safe")]
        // SAFETY: the transport waits on a descriptor, so `StopHandle::stop` is async-signal-safe, and
        // the closure does nothing else.
        unsafe {
            low_level::register(signal, move || server.stop())
        }
    };
    Ok([register(SIGTERM)?, register(SIGINT)?])
}

fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// One line on stderr, in one write. Where stderr is gone, the exit code has to do.
fn note(what: &str) {
    let _ = io::stderr().write_all(format!("table {}: {what}\n", std::process::id()).as_bytes());
}

fn fail(code: u8, what: &str) -> ExitCode {
    note(what);
    ExitCode::from(code)
}
