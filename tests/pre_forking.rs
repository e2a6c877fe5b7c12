//! `PreForking`: what its processes do, and what becomes of them. Each case runs in a process of its
//! own, which forks another one for the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

use nix::sys::signal::Signal;
use socketserver::{FailureKind, PreForking, Sync, Threading};
use support::alone;
use support::processes::{eventually, signal};
use support::workers::{begin, end, serve, stop};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("requests_run_in_the_workers", requests_run_in_the_workers),
        ("a_handler_in_a_worker_stops_the_server", stop_from_a_handler),
        ("a_killed_worker_is_replaced_and_what_it_had_in_hand_is_lost", killed),
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
