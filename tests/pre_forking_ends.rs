//! How servers of `PreForking` end, and how their workers do: asked, cut, killed, or never come up.
//! Each case runs in a process of its own, which forks another one for the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, Counters, Drain, FailureKind, Handler, InWorker, LocalAddr, Next, PreForking,
    Server, StopHandle, Sync, Tcp, TcpRequest, Threading, handler_fn,
};
use support::apart::Apart;
use support::net::{all, assert_nobody_listens, connect};
use support::one_byte::tcp;
use support::processes::{eventually, lives, no_child_is_left, signal};
use support::workers::{Obeys, Seen, begin, end, serve, serve_with, stop};
use support::{alone, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("workers_that_never_come_up_are_an_error_in_the_end", never_come_up),
        ("a_worker_that_does_not_come_up_is_tried_again", comes_up_later),
        ("a_stop_interrupts_the_pauses", stop_in_a_pause),
        ("what_is_in_flight_is_finished_and_reported", finishes),
        ("what_takes_too_long_is_cut_off_under_sync", || cuts(serve_drained(Sync)?)),
        ("what_takes_too_long_is_cut_off_under_threading", || {
            cuts(serve_drained(Threading::new())?)
        }),
        ("a_second_stop_cuts_off", second_stop),
        ("what_can_not_be_cut_off_is_killed", kills),
        ("a_stop_is_heard_by_handlers_while_it_is_announced", announced),
        ("workers_end_when_their_supervisor_is_killed", killed_supervisor),
        ("so_they_do_while_its_end_is_announced", killed_in_the_announcement),
        ("a_worker_that_is_told_at_its_birth_ends", told_at_birth),
        ("a_worker_that_is_terminated_finishes_and_is_replaced", terminated_worker),
        ("close_need_not_wait", close_at_once),
    ])
}

/// Its processes are not to come up while a file is there; it notes what it is told in another.
struct Weak {
    bad: PathBuf,
    told: File,
}

impl Handler<TcpRequest> for Weak {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(b"served")?;
        Ok(Next::Done)
    }

    fn child_init(&self) {
        if self.bad.exists() {
            process::exit(7);
        }
    }

    fn get_request_failed(&self, error: &io::Error) {
        (&self.told).write_all(format!("{error}\n").as_bytes()).unwrap();
    }
}

struct Case {
    seen: Seen,
    bad: PathBuf,
    told: PathBuf,
    _dir: tempfile::TempDir,
}

fn weak(processes: usize) -> Result<Case> {
    let dir = tempfile::tempdir()?;
    let (bad, told) = (dir.path().join("bad"), dir.path().join("told"));
    File::create(&bad)?;
    let handler = Weak { bad: bad.clone(), told: File::create(&told)? };
    let seen = serve_with(PreForking::new(processes, Sync)?, |_| handler, |server| server)?;
    Ok(Case { seen, bad, told, _dir: dir })
}

fn never_come_up() -> Result {
    let case = weak(2)?;
    let (begun, workers) = (Instant::now(), case.seen.workers.clone());
    let error = case.seen.server.end().expect_err("none comes up").to_string();
    assert!(error.contains("ended with status 7"), "{error}");
    // 5, 10, 20 … 1280 ms, cut to a second.
    assert!(begun.elapsed() >= Duration::from_millis(1000));
    assert!((10..=20).contains(&workers.started()), "{workers:?}");
    // Nobody has waited for the last.
    assert!(workers.died() + 2 >= workers.started() && workers.serving() == 0, "{workers:?}");
    let told = fs::read_to_string(case.told)?;
    assert_eq!(told.lines().count(), 1, "{told}");
    Ok(())
}

fn comes_up_later() -> Result {
    let case = weak(2)?;
    eventually("some have failed", || case.seen.workers.died() >= 4)?;
    fs::remove_file(&case.bad)?;
    eventually("they serve", || case.seen.workers.serving() == 2)?;
    // A bad release: those that serve are left in their place.
    File::create(&case.bad)?;
    let (before, died) = (case.seen.workers.process_ids(), case.seen.workers.died());
    case.seen.workers.restart();
    eventually("some have failed", || case.seen.workers.died() >= died + 3)?;
    let ids = case.seen.workers.process_ids();
    assert!(before.iter().all(|id| ids.contains(id)), "{before:?} {ids:?}");
    assert_eq!(all(connect(case.seen.address)?)?, b"served");
    fs::remove_file(&case.bad)?;
    eventually("they are replaced", || {
        let ids = case.seen.workers.process_ids();
        ids.len() == 2 && before.iter().all(|id| !ids.contains(id))
    })?;
    case.seen.server.signal(Signal::SIGKILL)?;
    Ok(())
}

fn stop_in_a_pause() -> Result {
    let dir = tempfile::tempdir()?;
    let bad = dir.path().join("bad");
    File::create(&bad)?;
    let handler = Weak { bad, told: File::create(dir.path().join("told"))? };
    let strategy = PreForking::new(1, Sync)?;
    let workers = strategy.workers();
    let (tcp, seen) = (tcp()?, workers.clone());
    let server = Apart::run(move || {
        let mut server = Server::new(tcp, strategy, handler)?;
        signals::stop_on_usr2(server.stop_handle())?;
        server.serve_forever()?;
        server.close()?;
        assert!(no_child_is_left());
        Ok("stopped".into())
    })?;
    // After the eighth it pauses for 640 ms.
    eventually("they fail", || seen.died() >= 8)?;
    server.signal(Signal::SIGUSR2)?;
    assert_eq!(server.end()?, "stopped");
    assert!(workers.started() <= 9, "{workers:?}");
    Ok(())
}

fn finishes() -> Result {
    let seen = serve(PreForking::new(2, Threading::new())?)?;
    let clients = (0..6).map(|_| begin(seen.address)).collect::<Result<Vec<_>>>()?;
    let (client, _) = begin(seen.address)?;
    end(client, b's')?;
    eventually("nobody serves", || seen.workers.serving() == 0)?;
    for (client, _) in clients {
        end(client, b'x')?;
    }
    let counters = seen.counters.clone();
    let report = seen.server.end()?;
    // The one that has stopped it may be about to end.
    let finished =
        |count| report.starts_with(&format!("finished {count}, cut 0, abandoned 0, refused 0"));
    assert!(finished(6) || finished(7), "{report}");
    assert_eq!((counters.accepted(), counters.finished()), (7, 7));
    Ok(())
}

fn serve_drained<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result<Seen> {
    let drain = Drain::new().finish_within(Duration::from_millis(50));
    serve_with(PreForking::new(2, strategy)?, |stop| Obeys { stop }, |server| server.drain(drain))
}

fn cuts(seen: Seen) -> Result {
    let (mut slow, _) = begin(seen.address)?;
    let (client, _) = begin(seen.address)?;
    end(client, b's')?;
    assert_eq!(slow.read(&mut [0])?, 0, "cut off");
    let counters = seen.counters.clone();
    let report = seen.server.end()?;
    // The one that has stopped it may have been about to end.
    assert!(report.starts_with("finished "), "{report}");
    assert!(report.contains(", cut 1, abandoned 0, refused 0"), "{report}");
    assert_eq!((counters.accepted(), counters.finished(), counters.active()), (2, 1, 0));
    assert_nobody_listens(seen.address);
    Ok(())
}

fn second_stop() -> Result {
    let strategy = PreForking::new(1, Sync)?;
    let (tcp, workers) = (tcp()?, strategy.workers());
    let address = tcp.local_addr()?;
    let server = Apart::run(move || {
        let server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        let mut server = server.drain(Drain::new());
        signals::stop_on_usr2(server.stop_handle())?;
        server.serve_forever()?;
        Ok(server.close()?.to_string())
    })?;
    eventually("it serves", || workers.serving() == 1)?;
    let (mut slow, _) = begin(address)?;
    server.signal(Signal::SIGUSR2)?;
    eventually("nobody serves", || workers.serving() == 0)?;
    server.signal(Signal::SIGUSR2)?;
    assert_eq!(slow.read(&mut [0])?, 0, "cut off");
    let report = server.end()?;
    assert!(report.starts_with("finished 0, cut 1"), "{report}");
    Ok(())
}

fn kills() -> Result {
    let drain = Drain::new().finish_within(Duration::ZERO).cut_within(Duration::from_millis(50));
    let handler = |stop: StopHandle| {
        handler_fn(move |conn: &mut TcpRequest| {
            conn.write_all(&process::id().to_ne_bytes())?;
            let mut how = [0];
            conn.read_exact(&mut how)?;
            if how == *b"s" {
                stop.stop();
                return Ok(());
            }
            conn.write_all(&how)?;
            loop {
                std::hint::black_box(());
            }
        })
    };
    let seen = serve_with(PreForking::new(2, Sync)?, handler, |server| server.drain(drain))?;
    let (mut slow, process) = begin(seen.address)?;
    slow.write_all(b"x")?;
    slow.read_exact(&mut [0])?;
    let (mut client, _) = begin(seen.address)?;
    client.write_all(b"s")?;
    let counters = seen.counters.clone();
    let report = seen.server.end()?;
    // The one that has stopped it may be cut as it ends.
    assert!(report.contains(", abandoned 1"), "{report}");
    assert!(!lives(process));
    assert_eq!((counters.accepted(), counters.active()), (2, 0));
    assert_eq!(counters.failed_by(FailureKind::Lost), 1);
    Ok(())
}

fn announced() -> Result {
    let drain = Drain::new().announce(Duration::from_secs(600));
    let handler = |stop: StopHandle| {
        handler_fn(move |conn: &mut TcpRequest| {
            let mut how = [0];
            conn.read_exact(&mut how)?;
            if how == *b"s" {
                stop.stop();
            }
            conn.write_all(&[u8::from(stop.is_stopping())])
        })
    };
    let seen = serve_with(PreForking::new(2, Sync)?, handler, |server| server.drain(drain))?;
    let ask = |how: u8| -> Result<bool> {
        let mut client = connect(seen.address)?;
        client.write_all(&[how])?;
        Ok(all(client)? == [1])
    };
    assert!(!ask(b'x')?);
    assert!(ask(b's')?);
    // Two at a time are two workers.
    eventually("all workers know of it", || {
        let one = connect(seen.address).unwrap();
        let known = ask(b'x').unwrap();
        (&one).write_all(b"x").unwrap();
        known && all(one).unwrap() == [1]
    })?;
    assert!(ask(b's')?, "it ends the announcement");
    let server = seen.server;
    server.end()?;
    assert_nobody_listens(seen.address);
    Ok(())
}

fn killed_supervisor() -> Result {
    let seen = serve(PreForking::new(2, Threading::new())?)?;
    let (client, process) = begin(seen.address)?;
    let ids = seen.workers.process_ids();
    seen.server.signal(Signal::SIGKILL)?;
    eventually("nobody listens", || {
        connect(seen.address).is_err() && ids.iter().filter(|id| lives(**id)).count() <= 1
    })?;
    assert!(lives(process), "it finishes what it has");
    end(client, b'x')?;
    eventually("all have ended", || ids.iter().all(|id| !lives(*id)))
}

fn killed_in_the_announcement() -> Result {
    let drain = Drain::new().announce(Duration::from_secs(600));
    let handler = |stop: StopHandle| {
        handler_fn(move |conn: &mut TcpRequest| {
            stop.stop();
            conn.write_all(b"stopped")
        })
    };
    let seen = serve_with(PreForking::new(2, Sync)?, handler, |server| server.drain(drain))?;
    let ids = seen.workers.process_ids();
    assert_eq!(all(connect(seen.address)?)?, b"stopped");
    seen.server.signal(Signal::SIGKILL)?;
    eventually("all have ended", || ids.iter().all(|id| !lives(*id)))
}

/// SIGTERM, by which workers are told, has a handler of the application until they have theirs.
fn told_at_birth() -> Result {
    let strategy = PreForking::new(1, Sync)?;
    let (tcp, workers) = (tcp()?, strategy.workers());
    let server = Apart::run(move || {
        let mut server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        signals::stop_on(Signal::SIGTERM, server.stop_handle())?;
        server.serve_forever()?;
        Ok(server.close()?.to_string())
    })?;
    for _ in 0..100 {
        workers.set_processes(5)?;
        eventually("more begin", || workers.process_ids().len() > 1)?;
        workers.set_processes(1)?;
        eventually("one is left", || workers.process_ids().len() == 1)?;
    }
    server.signal(Signal::SIGTERM)?;
    server.end()?;
    assert_eq!(workers.died(), 0);
    Ok(())
}

fn terminated_worker() -> Result {
    let seen = serve(PreForking::new(1, Threading::new())?)?;
    let (client, process) = begin(seen.address)?;
    signal(process, Signal::SIGTERM)?;
    // It does not serve any more, and is replaced when it has ended.
    end(client, b'x')?;
    eventually("another one serves", || {
        let ids = seen.workers.process_ids();
        seen.workers.serving() == 1 && ids.len() == 1 && ids[0] != process
    })?;
    assert_eq!(seen.workers.died(), 0);
    let (client, other) = begin(seen.address)?;
    assert_ne!(process, other);
    end(client, b'x')?;
    stop(seen)?;
    Ok(())
}

fn close_at_once() -> Result {
    let strategy = PreForking::new(1, Threading::new())?.block_on_close(false);
    let (tcp, counters) = (tcp()?, Counters::new()?);
    let (address, counts) = (tcp.local_addr()?, counters.clone());
    let (mut ended, end_of_it) = std::os::unix::net::UnixStream::pair()?;
    let server = Apart::run(move || {
        let server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        let mut server = server.counters(&counts);
        server.serve_forever()?;
        let report = server.close()?;
        (&end_of_it).write_all(&[u8::try_from(report.abandoned)?])?;
        Ok(String::new())
    })?;
    let (client, process) = begin(address)?;
    let (other, _) = begin(address)?;
    end(other, b's')?;
    let mut abandoned = [0];
    ended.read_exact(&mut abandoned)?;
    // The one that has stopped it may be about to end.
    assert!(matches!(abandoned, [1 | 2]), "{abandoned:?}");
    assert!(lives(process));
    end(client, b'x')?;
    server.end()?;
    Ok(())
}
