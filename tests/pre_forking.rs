//! `PreForking`: what its processes do, and what becomes of them. Each case runs in a process of its
//! own, which forks another one for the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, Counters, CrashOnPanic, FailureKind, ForkRefused, ForkServer, Forking, Handler,
    InWorker, LocalAddr, Next, Outcome, PreForking, Request, Selecting, Server, StopAfterPanics,
    Sync, Tcp, TcpRequest, ThreadPool, Threading, Transport, Waiter,
};
use support::apart::Apart;
use support::net::{all, connect};
use support::one_byte::tcp;
use support::processes::{descriptors, eventually, lives, no_child_is_left, signal};
use support::workers::{Obeys, begin, end, serve, serve_with, stop};
use support::{alone, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("requests_run_in_the_workers", requests_run_in_the_workers),
        ("tables_and_pools_serve_in_the_workers", tables_and_pools),
        ("a_handler_in_a_worker_stops_the_server", stop_from_a_handler),
        ("a_killed_worker_is_replaced_and_what_it_had_in_hand_is_lost", killed),
        ("threads_are_an_error_that_says_so", threads_are_refused),
        ("signals_of_the_application_are_its_supervisors_alone", signals_for_all),
        ("nothing_remains_and_it_serves_again", nothing_remains),
        ("panics_of_all_workers_stop_the_server", panics_stop),
        ("a_panic_of_a_worker_crashes_the_server", panic_crashes),
        ("one_request_needs_no_worker", one_request),
        ("strategies_that_fork_run_in_workers", nested),
        ("a_transport_that_is_exhausted_ends_the_server", exhausted),
        ("each_worker_is_initialized_once", initialized),
    ])
}

fn requests_run_in_the_workers() -> Result {
    for nested in [false, true] {
        let seen = if nested {
            serve(PreForking::new(2, Threading::new())?)?
        } else {
            serve(PreForking::new(2, Sync)?)?
        };
        eventually("two serve", || seen.workers.serving() == 2)?;
        let ids = seen.workers.process_ids();
        assert_eq!(ids.len(), 2);
        for _ in 0..20 {
            let (client, process) = begin(seen.address)?;
            assert!(ids.contains(&process) && process != seen.server.pid());
            end(client, b'x')?;
        }
        let counters = seen.counters.clone();
        let report = stop(seen)?;
        assert!(report.starts_with("finished "), "{report}");
        assert_eq!((counters.accepted(), counters.finished(), counters.active()), (21, 21, 0));
    }
    Ok(())
}

/// One whose clients speak first, as they have to where they wait in a table.
fn ask(address: SocketAddr, how: u8) -> Result {
    let mut client = connect(address)?;
    client.write_all(&[how])?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    assert_eq!(answer.get(4..), Some(&[how][..]));
    Ok(())
}

fn tables_and_pools() -> Result {
    fn run<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
        let seen = serve(PreForking::new(2, strategy)?)?;
        for _ in 0..50 {
            ask(seen.address, b'x')?;
        }
        ask(seen.address, b's')?;
        seen.server.end()?;
        let counters = seen.counters;
        assert_eq!((counters.accepted(), counters.finished(), counters.active()), (51, 51, 0));
        Ok(())
    }
    run(ThreadPool::new(3))?;
    run(Selecting::new(Sync))?;
    run(Selecting::new(ThreadPool::new(3)))
}

fn stop_from_a_handler() -> Result {
    let seen = serve(PreForking::new(3, Sync)?)?;
    let (first, one) = begin(seen.address)?;
    let (second, other) = begin(seen.address)?;
    assert_ne!(one, other);
    end(first, b's')?;
    // What runs elsewhere is finished.
    eventually("nobody serves", || seen.workers.serving() == 0)?;
    end(second, b'x')?;
    let counters = seen.counters.clone();
    seen.server.end()?;
    assert_eq!((counters.accepted(), counters.finished(), counters.active()), (2, 2, 0));
    Ok(())
}

fn killed() -> Result {
    let seen = serve(PreForking::new(2, Sync)?)?;
    for round in 1..=20 {
        let (mut client, process) = begin(seen.address)?;
        signal(process, Signal::SIGKILL)?;
        assert!(client.read(&mut [0]).map_or(true, |count| count == 0));
        let counters = &seen.counters;
        eventually("it is lost", || counters.failed_by(FailureKind::Lost) == round)?;
        assert_eq!((counters.accepted(), counters.active()), (round, 0));
        assert_eq!(seen.workers.died() as u64, round);
    }
    let counters = seen.counters.clone();
    stop(seen)?;
    assert_eq!((counters.accepted(), counters.finished(), counters.failed()), (21, 1, 20));
    Ok(())
}

fn threads_are_refused() -> Result {
    let (send, receive) = mpsc::channel::<()>();
    let other = thread::spawn(move || receive.recv());
    let mut server = Server::new_fn(tcp()?, PreForking::new(2, Sync)?, |_conn| Ok(()))?;
    let error = server.serve_forever().expect_err("there are two threads");
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<ForkRefused>());
    assert_eq!(refused, Some(&ForkRefused::Threads(2)), "{error}");
    drop(send);
    let _ = other.join();
    server.close()?;
    Ok(())
}

fn signals_for_all() -> Result {
    let strategy = PreForking::new(2, Sync)?;
    let (tcp, workers) = (tcp()?, strategy.workers());
    let address = tcp.local_addr()?;
    let server = Apart::run(move || {
        let mut server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        signals::stop_on_usr2(server.stop_handle())?;
        server.serve_forever()?;
        Ok(server.close()?.to_string())
    })?;
    eventually("two serve", || workers.serving() == 2)?;
    let (client, _) = begin(address)?;
    for id in workers.process_ids() {
        signal(id, Signal::SIGUSR2)?;
    }
    // As a terminal does it.
    server.signal(Signal::SIGUSR2)?;
    eventually("nobody serves", || workers.serving() == 0)?;
    end(client, b'x')?;
    server.end()?;
    assert_eq!(workers.died(), 0);
    Ok(())
}

fn nothing_remains() -> Result {
    let strategy = PreForking::new(3, Threading::new())?;
    let (tcp, workers) = (tcp()?, strategy.workers());
    let address = tcp.local_addr()?;
    let server = Apart::run(move || {
        let before = descriptors()?;
        let mut server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        let held = descriptors()?;
        for _ in 0..3 {
            server.serve_forever()?;
        }
        server.close()?;
        assert!(no_child_is_left());
        let after = descriptors()?;
        assert!(after.len() < before.len() && held.len() > before.len(), "{before:?} {after:?}");
        Ok(String::new())
    })?;
    for round in 1..=3 {
        eventually("three serve", || workers.serving() == 3 && workers.started() == 3 * round)?;
        let (client, _) = begin(address)?;
        end(client, b's')?;
    }
    server.end()?;
    assert_eq!((workers.died(), workers.process_ids().len()), (0, 0));
    Ok(())
}

fn panics_stop() -> Result {
    let handler = |stop| StopAfterPanics::new(Obeys { stop }, 6, Duration::from_secs(60)).unwrap();
    let seen = serve_with(PreForking::new(3, Sync)?, handler, |server| server)?;
    for _ in 0..6 {
        let (mut client, _) = begin(seen.address)?;
        client.write_all(b"p")?;
        let _ = client.read(&mut [0]);
    }
    let counters = seen.counters.clone();
    seen.server.end()?;
    assert_eq!(counters.failed_by(FailureKind::Panic), 6);
    Ok(())
}

fn panic_crashes() -> Result {
    let handler = |stop| CrashOnPanic(Obeys { stop });
    let seen = serve_with(PreForking::new(2, Sync)?, handler, |server| server)?;
    let (mut client, _) = begin(seen.address)?;
    client.write_all(b"p")?;
    let ids = seen.workers.process_ids();
    let error = seen.server.end().expect_err("it crashes").to_string();
    assert!(error.contains("SIGABRT"), "{error}");
    eventually("all have ended", || ids.iter().all(|id| !lives(*id)))
}

fn one_request() -> Result {
    let server = PreForking::new(2, Sync)?;
    let workers = server.workers();
    let mut server = Server::new_fn(tcp()?, server, |conn| conn.write_all(b"x"))?;
    let client = connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(all(client)?, b"x");
    assert_eq!(workers.started(), 0);
    server.close()?;
    Ok(())
}

fn nested() -> Result {
    fn run<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
        let seen = serve(PreForking::new(2, strategy)?)?;
        eventually("two serve", || seen.workers.serving() == 2)?;
        let ids = seen.workers.process_ids();
        for _ in 0..10 {
            let (client, process) = begin(seen.address)?;
            assert!(!ids.contains(&process) && process != seen.server.pid());
            end(client, b'x')?;
        }
        let counters = seen.counters.clone();
        stop(seen)?;
        assert_eq!((counters.accepted(), counters.finished()), (11, 11), "{counters}");
        Ok(())
    }
    run(Forking::new())?;
    run(ForkServer::new())
}

/// Each process has a copy of the list.
struct Tasks(Mutex<u32>);

struct Task;

impl Request for Task {}

impl Transport for Tasks {
    type Request = Task;

    fn get_request(&self) -> io::Result<Option<Task>> {
        let mut left = self.0.lock().map_err(|_| io::Error::other("a task panicked"))?;
        Ok(left.checked_sub(1).map(|less| *left = less).map(|()| Task))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

fn exhausted() -> Result {
    let counters = Counters::new()?;
    let strategy = PreForking::new(3, Sync)?;
    let workers = strategy.workers();
    let mut server = Server::new_fn(Tasks(Mutex::new(5)), strategy, |_task| Ok(()))?;
    server = server.counters(&counters);
    server.serve_forever()?;
    server.close()?;
    assert_eq!((workers.started(), workers.died()), (3, 0));
    assert_eq!((counters.accepted(), counters.finished()), (15, 15));
    Ok(())
}

/// Counts its processes by a byte in a file.
struct Initialized(File);

impl Handler<TcpRequest> for Initialized {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(b"x")?;
        Ok(Next::Done)
    }

    fn child_init(&self) {
        (&self.0).write_all(b".").unwrap();
    }
}

fn initialized() -> Result {
    let file = tempfile::Builder::new().append(true).tempfile()?;
    let handler = Initialized(file.as_file().try_clone()?);
    let seen = serve_with(PreForking::new(3, Sync)?, |_| handler, |server| server)?;
    for _ in 0..10 {
        all(connect(seen.address)?)?;
    }
    eventually("three serve", || seen.workers.serving() == 3)?;
    assert_eq!(file.as_file().metadata()?.len(), 3);
    seen.server.signal(Signal::SIGKILL)?;
    Ok(())
}
