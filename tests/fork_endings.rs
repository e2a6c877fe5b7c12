//! How children end under `Forking` and `ForkServer`, and what is made of it: statuses, counters, and
//! the deadlines of a drain. Each case runs in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigHandler, Signal};
use socketserver::{
    Concurrency, Counters, Drain, Failure, FailureKind, ForkServer, Forking, Handler, Next,
    OnPanic, Outcome, Server, Tcp, TcpRequest,
};
use support::net;
use support::one_byte::{release, tcp};
use support::processes::no_child_is_left;
use support::time::let_pass;
use support::{alone, processes};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("statuses_of_forking_are_counted", || statuses(Forking::new)),
        ("statuses_of_a_fork_server_are_counted", || statuses(ForkServer::new)),
        ("children_of_forking_are_terminated_when_that_is_due", || terminated(Forking::new)),
        ("children_of_a_fork_server_are_terminated_when_that_is_due", || {
            terminated(ForkServer::new)
        }),
        ("children_of_forking_that_will_not_go_are_killed", || killed(Forking::new)),
        ("children_of_a_fork_server_that_will_not_go_are_killed", || killed(ForkServer::new)),
        ("one_more_stop_ends_the_wait_for_forkings_children", || hurried(Forking::new)),
        ("one_more_stop_ends_the_wait_for_a_fork_servers_children", || hurried(ForkServer::new)),
        ("panics_that_forkings_children_live_through_are_told", || outlived(Forking::new)),
        ("panics_that_a_fork_servers_children_live_through_are_told", || outlived(ForkServer::new)),
        ("child_init_is_called_in_each_child_of_forking", || initialized(Forking::new)),
        ("child_init_is_called_in_each_child_of_a_fork_server", || initialized(ForkServer::new)),
    ])
}

/// Does as its client says.
struct Obeys;

#[expect(unsafe_code, reason = "signal(2) is unsafe for what a handler might do")]
fn ignore(signal: Signal) -> io::Result<()> {
    // SAFETY: to ignore a signal runs no code.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }?;
    Ok(())
}

impl Handler<TcpRequest> for Obeys {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut how = [0];
        conn.read_exact(&mut how)?;
        match &how {
            b"f" => return Ok(Next::Done),
            b"e" => return Err(io::Error::other("as it is told")),
            b"g" => return Err(io::ErrorKind::ConnectionReset.into()),
            b"t" => return Err(io::ErrorKind::TimedOut.into()),
            b"k" => processes::signal(std::process::id(), Signal::SIGKILL)
                .map_err(|_| io::ErrorKind::Other)?,
            b"i" => ignore(Signal::SIGTERM)?,
            b"w" => {}
            _ => panic!("as it is told"),
        }
        // Nothing else comes.
        conn.write_all(b"!")?;
        conn.read_exact(&mut [0]).map(Next::from)
    }
}

type Obeying<C> = Server<Tcp, C, Obeys>;

fn obeying<C: Concurrency<Tcp, Obeys>>(strategy: impl Fn() -> C) -> Result<Obeying<C>> {
    Ok(Server::new(tcp()?, strategy(), Obeys)?)
}

/// A client that has been obeyed as far as that goes.
fn told<C: Concurrency<Tcp, Obeys>>(server: &mut Obeying<C>, how: u8) -> Result<TcpStream> {
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(&[how])?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    Ok(client)
}

/// One whose handler waits.
fn waits<C: Concurrency<Tcp, Obeys>>(server: &mut Obeying<C>, how: u8) -> Result<TcpStream> {
    let mut client = told(server, how)?;
    client.read_exact(&mut [0])?;
    Ok(client)
}

fn statuses<C: Concurrency<Tcp, Obeys>>(strategy: impl Fn() -> C) -> Result {
    let counters = Counters::new()?;
    let mut server = obeying(strategy)?.counters(&counters);
    for how in b"ffegtkp" {
        assert!(net::is_closed(told(&mut server, *how)?)?);
    }
    server.close()?;
    assert_eq!((counters.accepted(), counters.finished(), counters.failed()), (7, 2, 5));
    let kinds = [
        FailureKind::Error,
        FailureKind::PeerGone,
        FailureKind::TimedOut,
        FailureKind::Lost,
        FailureKind::Panic,
    ];
    assert_eq!(kinds.map(|kind| counters.failed_by(kind)), [1; 5]);
    assert_eq!(counters.active(), 0);
    Ok(())
}

const AGES: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(30);

fn terminated<C: Concurrency<Tcp, Obeys>>(strategy: impl Fn() -> C) -> Result {
    let drain = Drain::new().finish_within(MOMENT).cut_within(AGES);
    let mut server = obeying(strategy)?.drain(drain);
    let clients = [waits(&mut server, b'w')?, waits(&mut server, b'w')?];
    assert!(net::is_closed(told(&mut server, b'f')?)?);

    let report = server.close()?;

    // The third may have been reaped before, or not.
    assert_eq!((report.cut, report.abandoned), (2, 0), "{report}");
    assert!(no_child_is_left());
    for client in clients {
        assert!(net::is_closed(client)?);
    }
    Ok(())
}

fn killed<C: Concurrency<Tcp, Obeys>>(strategy: impl Fn() -> C) -> Result {
    let drain = Drain::new().finish_within(Duration::ZERO).cut_within(MOMENT);
    let mut server = obeying(strategy)?.drain(drain);
    let clients = [waits(&mut server, b'i')?, waits(&mut server, b'i')?];

    let report = server.close()?;

    assert_eq!((report.finished, report.cut, report.abandoned), (0, 2, 0), "{report}");
    assert!(no_child_is_left());
    for client in clients {
        assert!(net::is_closed(client)?);
    }
    Ok(())
}

fn hurried<C: Concurrency<Tcp, Obeys>>(strategy: impl Fn() -> C) -> Result {
    let mut server = obeying(strategy)?.drain(Drain::new());
    let stop = server.stop_handle();
    let client = waits(&mut server, b'w')?;
    let closed = AtomicBool::new(false);
    let waiting = thread::scope(|scope| {
        let stopping = scope.spawn(|| {
            // The first may come while the session lasts, and hurries nobody then.
            while !closed.load(SeqCst) {
                let_pass(MOMENT);
                stop.stop();
            }
        });
        let report = server.close();
        closed.store(true, SeqCst);
        stopping.join().map(|()| report)
    });
    let report = waiting.map_err(|_| "a panic")??;
    assert_eq!((report.finished, report.cut), (0, 1), "{report}");
    assert!(net::is_closed(client)?);
    Ok(())
}

/// Says in which process its hooks are called, and fails where a client wants it.
struct Initialized;

thread_local! {
    static CHILD: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

impl Handler<TcpRequest> for Initialized {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.read_exact(&mut [0])?;
        let right = CHILD.get() == std::process::id();
        conn.write_all(if right { b"y" } else { b"n" }).map(Next::from)
    }

    fn child_init(&self) {
        assert_ne!(CHILD.get(), 1, "as the test wants");
        CHILD.set(std::process::id());
    }
}

fn initialized<C: Concurrency<Tcp, Initialized>>(strategy: impl Fn() -> C) -> Result {
    let mut server = Server::new(tcp()?, strategy(), Initialized)?;
    for _ in 0..2 {
        let client = net::connect(server.local_addr()?)?;
        release(&client)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(net::all(client)?, b"y");
    }
    server.close()?;
    assert_eq!(CHILD.get(), 0, "not in this process");

    // A panic ends the child, and is counted as what it is.
    CHILD.set(1);
    let counters = Counters::new()?;
    let server = Server::new(tcp()?, strategy(), Initialized)?;
    let mut server = server.counters(&counters);
    let client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert!(net::is_closed(client)?);
    server.close()?;
    assert_eq!(counters.failed_by(FailureKind::Panic), 1);
    Ok(())
}

/// All that can panic beside `handle` does.
#[derive(Default)]
struct Clumsy {
    panics: AtomicUsize,
}

impl Handler<TcpRequest> for Clumsy {
    fn handle(&self, _: &mut TcpRequest) -> io::Result<Next> {
        Err(io::Error::other("as it is told"))
    }

    fn finish(&self, _: &mut TcpRequest) -> io::Result<()> {
        panic!("after it has failed");
    }

    fn handle_error(&self, _: &mut TcpRequest, _: &Failure) {
        panic!("about that");
    }

    fn panicked(&self) -> OnPanic {
        self.panics.fetch_add(1, SeqCst);
        OnPanic::Contain
    }
}

fn outlived<C: Concurrency<Tcp, Clumsy>>(strategy: impl Fn() -> C) -> Result {
    let counters = Counters::new()?;
    let mut server =
        Server::new(tcp()?, strategy(), Clumsy::default())?.counters(&counters).drain(Drain::new());
    for _ in 0..2 {
        let client = net::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert!(net::is_closed(client)?);
        while counters.active() > 0 {
            assert_eq!(server.handle_request_timeout(MOMENT)?, Outcome::TimedOut);
        }
    }
    assert_eq!(server.handler().panics.load(SeqCst), 4);
    server.close()?;
    assert_eq!(counters.failed_by(FailureKind::Error), 2);
    Ok(())
}
