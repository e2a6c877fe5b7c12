//! `PreForking` under load: workers that are killed, replaced, added and removed. Each case runs in a
//! process of its own, which forks another one for the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, Counters, FailureKind, Handler, InWorker, Next, PreForking, Sync, Tcp, TcpRequest,
    Threading,
};
use support::alone;
use support::net::connect;
use support::processes::{eventually, signal};
use support::time::let_pass;
use support::workers::{Obeys, Seen, serve, serve_with, stop};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("workers_are_killed_and_only_what_they_had_in_hand_is_lost", || kill_storm(Sync)),
        ("workers_with_threads_are_killed_and_only_that_is_lost", || kill_storm(Threading::new())),
        ("a_restart_fails_nobody", || restart(Sync)),
        ("a_restart_with_threads_fails_nobody", || restart(Threading::new())),
        ("workers_come_and_go_and_fail_nobody", || come_and_go(Sync)),
        ("workers_with_threads_come_and_go_and_fail_nobody", || come_and_go(Threading::new())),
        ("workers_retire_and_fail_nobody", || retire(Sync)),
        ("workers_with_threads_retire_and_fail_nobody", || retire(Threading::new())),
    ])
}

const CLIENTS: usize = 4;

/// Clients that come one after the other, in so many threads.
struct Load {
    go_on: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    threads: Vec<JoinHandle<io::Result<Heard>>>,
}

/// What clients have met.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    served: u64,
    /// Those whose connection was made, and ended by whoever had it.
    lost: u64,
}

impl Load {
    fn begin(address: SocketAddr) -> Self {
        let (go_on, served) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let client = || {
            let (go_on, served) = (Arc::clone(&go_on), Arc::clone(&served));
            thread::spawn(move || {
                let mut heard = Heard::default();
                while go_on.load(SeqCst) {
                    if ask(address)? {
                        heard.served += 1;
                        served.fetch_add(1, SeqCst);
                    } else {
                        heard.lost += 1;
                    }
                }
                Ok(heard)
            })
        };
        let threads = (0..CLIENTS).map(|_| client()).collect();
        Self { go_on, served, threads }
    }

    /// Waits until so many more have been served.
    fn pass(&self, more: u64) -> Result {
        let until = self.served.load(SeqCst) + more;
        eventually("clients are served", || self.served.load(SeqCst) >= until)
    }

    fn end(self) -> Result<Heard> {
        self.go_on.store(false, SeqCst);
        let mut all = Heard::default();
        for thread in self.threads {
            let heard = thread.join().map_err(|_| "a client panicked")??;
            all.served += heard.served;
            all.lost += heard.lost;
        }
        Ok(all)
    }
}

/// One request; whether it was answered. An error is one of connecting, or an answer that is wrong.
fn ask(address: SocketAddr) -> io::Result<bool> {
    let mut client = connect(address)?;
    let mut answer = Vec::new();
    let asked = client.write_all(b"x").and_then(|()| client.read_to_end(&mut answer));
    match asked {
        Ok(5) if answer[4] == b'x' => Ok(true),
        Ok(_) => Ok(false),
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn assert_balanced(counters: &Counters) {
    let ended = counters.finished() + counters.failed() + counters.refused();
    assert_eq!((counters.accepted(), counters.active()), (ended, 0), "{counters}");
}

/// Whether all has gone well but for what was lost with a process.
fn check(seen: Seen, load: Load) -> Result<Heard> {
    let heard = load.end()?;
    let counters = seen.counters.clone();
    stop(seen)?;
    assert_balanced(&counters);
    assert_eq!(counters.finished(), heard.served + 1, "{counters}, {heard:?}");
    Ok(heard)
}

fn kill_storm<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let seen = serve(PreForking::new(3, strategy)?)?;
    let load = Load::begin(seen.address);
    let mut kills = 0;
    for round in 0..100_usize {
        let ids = seen.workers.process_ids();
        if let Some(id) = ids.get(round % ids.len().max(1)) {
            // It may be gone by now.
            kills += u64::from(signal(*id, Signal::SIGKILL).is_ok());
        }
        let_pass(Duration::from_millis(20));
    }
    load.pass(100)?;
    eventually("all serve again", || seen.workers.serving() == 3)?;
    let heard = load.end()?;
    assert!(kills > 50, "{kills}");
    // What a worker had taken and not counted yet is known to its client alone, and what it had
    // answered and not counted yet to the server: each is one request of a thread that was killed.
    let counters = seen.counters.clone();
    let died = seen.workers.died() as u64;
    stop(seen)?;
    assert_balanced(&counters);
    let most = died * CLIENTS as u64;
    assert!(
        heard.lost <= most && counters.failed_by(FailureKind::Lost) <= most,
        "{heard:?}, {died}"
    );
    let answered = counters.finished() + counters.failed_by(FailureKind::Lost);
    assert!(
        heard.served < answered + 1 && counters.finished() <= heard.served + 1,
        "{counters}, {heard:?}"
    );
    Ok(())
}

/// Whose processes take a while to come up.
struct Slow(Obeys);

impl Handler<TcpRequest> for Slow {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        self.0.handle(conn)
    }

    fn child_init(&self) {
        let_pass(Duration::from_millis(20));
    }
}

fn restart<C: InWorker + Concurrency<Tcp, Slow>>(strategy: C) -> Result {
    let slow = |stop| Slow(Obeys { stop });
    let seen = serve_with(PreForking::new(3, strategy)?, slow, |server| server)?;
    let load = Load::begin(seen.address);
    for round in 1..=5 {
        eventually("all serve", || seen.workers.serving() == 3)?;
        let before = seen.workers.process_ids();
        seen.workers.restart();
        eventually("nobody of those is left", || {
            let ids = seen.workers.process_ids();
            assert!(seen.workers.serving() >= 3, "one by one");
            assert!(ids.len() <= 3 + 3, "{ids:?}");
            before.iter().all(|id| !ids.contains(id)) && ids.len() == 3
        })?;
        assert_eq!(seen.workers.started(), 3 * (round + 1));
        load.pass(20)?;
    }
    assert_eq!(seen.workers.died(), 0);
    assert_eq!(check(seen, load)?.lost, 0);
    Ok(())
}

fn come_and_go<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let seen = serve(PreForking::new(1, strategy)?)?;
    let load = Load::begin(seen.address);
    for count in [4, 2, 7, 1, 3] {
        seen.workers.set_processes(count)?;
        let is_so = || seen.workers.serving() == count && seen.workers.process_ids().len() == count;
        eventually("so many serve", is_so)?;
        load.pass(20)?;
    }
    assert_eq!(seen.workers.died(), 0);
    assert_eq!(check(seen, load)?.lost, 0);
    Ok(())
}

fn retire<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    const MOST: u64 = 50;
    let seen = serve(PreForking::new(2, strategy)?.max_requests(MOST)?)?;
    let load = Load::begin(seen.address);
    load.pass(MOST * 10)?;
    eventually("many have retired", || seen.workers.started() >= 8)?;
    assert_eq!(seen.workers.died(), 0);
    let (workers, heard) = (seen.workers.clone(), check(seen, load)?);
    assert_eq!(heard.lost, 0);
    // None retires before its time.
    assert!(workers.started() as u64 <= 2 + heard.served / MOST, "{workers:?}, {heard:?}");
    Ok(())
}
