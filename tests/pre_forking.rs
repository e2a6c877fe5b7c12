//! `PreForking`: what its processes do, and what becomes of them. Each case runs in a process of its
//! own, which forks another one for the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{self, ExitCode};

use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, Counters, FailureKind, Handler, Next, PreForking, Server, StopHandle, Sync, Tcp,
    TcpRequest, Threading, Workers,
};
use support::alone;
use support::apart::Apart;
use support::net::connect;
use support::one_byte::tcp;
use support::processes::{eventually, signal};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("requests_run_in_the_workers", requests_run_in_the_workers),
        ("a_handler_in_a_worker_stops_the_server", stop_from_a_handler),
        ("a_killed_worker_is_replaced_and_what_it_had_in_hand_is_lost", killed),
    ])
}

/// Says which process it is, and then does as its client says.
struct Obeys {
    stop: StopHandle,
}

impl Handler<TcpRequest> for Obeys {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(&process::id().to_ne_bytes())?;
        let mut how = [0];
        conn.read_exact(&mut how)?;
        match &how {
            b"p" => panic!("scripted"),
            b"s" => self.stop.stop(),
            _ => {}
        }
        conn.write_all(&how)?;
        Ok(Next::Done)
    }
}

/// What the test's process has of a server apart.
struct Seen {
    server: Apart,
    address: SocketAddr,
    workers: Workers,
    counters: Counters,
}

fn serve<C: Concurrency<Tcp, Obeys>>(strategy: PreForking<C>) -> Result<Seen> {
    let (tcp, counters, workers) = (tcp()?, Counters::new()?, strategy.workers());
    let address = socketserver::LocalAddr::local_addr(&tcp)?;
    let counts = counters.clone();
    let server = Apart::run(move || {
        let server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        let mut server = server.counters(&counts);
        server.serve_forever()?;
        Ok(server.close()?.to_string())
    })?;
    Ok(Seen { server, address, workers, counters })
}

/// A client, and the process that has its request.
fn begin(address: SocketAddr) -> Result<(TcpStream, u32)> {
    let mut client = connect(address)?;
    let mut number = [0; 4];
    client.read_exact(&mut number)?;
    Ok((client, u32::from_ne_bytes(number)))
}

/// Has the request end in this way.
fn end(mut client: TcpStream, how: u8) -> Result {
    client.write_all(&[how])?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    assert_eq!(answer, [how]);
    Ok(())
}

fn stop(seen: Seen) -> Result<String> {
    let (client, _) = begin(seen.address)?;
    end(client, b's')?;
    seen.server.end()
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
