//! More clients than a server lets in, and a stop while requests are in flight.

use std::error::Error;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, Counters, Drain, ForkServer, Forking, Limits, Refusal, Server, Tcp, ThreadPool,
    Threading, WhenFull,
};

use crate::footprint::until;
use crate::net::Echo;
use crate::served::{LIMIT, Served, Tested};
use crate::subject::{self, Fate, Held};
use crate::trials::{Need, trial};
use crate::{role, signals};

/// So many are let in, and so many come.
const ROOM: usize = 100;
const CLIENTS: usize = 1000;
/// What is in flight may take so long to finish, and then so long to end.
const FINISH: Duration = Duration::from_secs(1);
const CUT: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = Vec::new();
    for strategy in ["threading", "thread_pool", "forking", "fork_server"] {
        all.push(trial(format!("{strategy}_with_a_crowd_at_the_limit"), &[Need::Ours], || {
            crowd(strategy)
        }));
        all.push(trial(
            format!("{strategy}_stopped_with_requests_in_flight"),
            &[Need::Ours],
            || stopped(strategy),
        ));
    }
    all
}

/// The part of a server with a limit and an end; stopped by SIGUSR2, it says what became of all.
pub(crate) fn limited(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    match arguments.first().map(String::as_str) {
        Some("forking") => serve(Forking::new().max_children(2 * ROOM)?),
        Some("fork_server") => serve(ForkServer::new().max_children(2 * ROOM)?),
        Some("thread_pool") => serve(ThreadPool::new(2 * ROOM)),
        _ => serve(Threading::new()),
    }
}

fn serve(concurrency: impl Concurrency<Tcp, Echo>) -> Result<(), Box<dyn Error>> {
    let counters = Counters::new()?;
    let tcp = Tcp::options().request_queue_size(1024).bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, concurrency, Echo)?
        .limits(Limits::new().at_once(ROOM).when_full(WhenFull::Refuse))?
        .drain(Drain::new().finish_within(FINISH).cut_within(CUT))
        .counters(&counters);
    signals::stop_on_usr2(server.stop_handle())?;
    println!("LISTENING {}", server.local_addr()?);
    server.serve_forever()?;
    let report = server.close()?;
    // The other end of stdout is gone.
    eprintln!("{report}; {counters}, full {}", counters.refused_for(Refusal::Full));
    Ok(())
}

/// Stops it, and returns what it says and how long it took.
fn stop(server: Served) -> Tested<(String, Duration)> {
    let asked = Instant::now();
    server.signal(Signal::SIGUSR2)?;
    let (status, said) = server.end()?;
    let last = said.lines().last().unwrap_or_default().to_owned();
    if status.success() { Ok((last, asked.elapsed())) } else { Err(said.into()) }
}

/// Those who are let in are served, all others are closed at once; afterwards there is room again.
fn crowd(strategy: &str) -> Tested<String> {
    let server = Served::run(role::command("limited")?.arg(strategy))?;
    let process = subject::process(&server);
    let alone = process.in_hand()?;
    let mut inside: Vec<Held> =
        (0..ROOM).map(|_| Held::open(&server.address)).collect::<Tested<_>>()?;
    until("they are let in", LIMIT, || Ok(process.in_hand()? == alone + ROOM))?;

    let mut slowest = Duration::ZERO;
    for _ in ROOM..CLIENTS {
        let asked = Instant::now();
        let fate = Held::open(&server.address)?.end(LIMIT)?;
        slowest = slowest.max(asked.elapsed());
        if fate != Fate::Closed {
            return Err(format!("one more was {fate:?}").into());
        }
    }
    let served = inside.iter_mut().filter_map(|held| held.is_served().ok()).filter(|s| *s).count();
    drop(inside);
    until("they are gone", LIMIT, || Ok(process.in_hand()? <= alone))?;
    subject::ask_held(&server.address)?;
    let (said, _) = stop(server)?;
    let figures = format!(
        "{served} of {ROOM} inside served, {} others closed, the slowest after {slowest:.1?}; {said}",
        CLIENTS - ROOM
    );
    let counted = format!("full {}", CLIENTS - ROOM);
    if served == ROOM && said.contains(&counted) { Ok(figures) } else { Err(figures.into()) }
}

/// What does not finish in time is cut off, and the report says so.
fn stopped(strategy: &str) -> Tested<String> {
    let server = Served::run(role::command("limited")?.arg(strategy))?;
    let process = subject::process(&server);
    let alone = process.in_hand()?;
    let mut silent: Vec<Held> =
        (0..ROOM / 2).map(|_| Held::open(&server.address)).collect::<Tested<_>>()?;
    for held in &mut silent {
        held.begin()?;
    }
    until("they are let in", LIMIT, || Ok(process.in_hand()? == alone + ROOM / 2))?;
    let (said, took) = stop(server)?;
    let figures = format!("{} in flight, ended after {took:.2?}: {said}", ROOM / 2);
    let counted = format!("cut {}, abandoned 0", ROOM / 2);
    if said.contains(&counted) && took >= FINISH { Ok(figures) } else { Err(figures.into()) }
}
