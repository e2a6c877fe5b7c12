//! Limits, counters and policies for panics where requests run in processes, and what ends or limits
//! the whole process: each case runs on the only thread of a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::panic;
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm, fork};
use socketserver::{
    Concurrency, Counters, CrashOnPanic, Drain, Event, FailureKind, ForkServer, Forking,
    ForkingTcpServer, Handler, Limits, Next, OnPanic, Outcome, Refusal, Server, StopAfterPanics,
    StopHandle, Sync, Tcp, TcpRequest, ThreadPool, Threading, WhenFull,
};
use support::alone;
use support::net::{PATIENCE, all, connect, is_closed};
use support::one_byte::{release, tcp};
use support::processes::{descriptors, eventually, no_child_is_left, peek, signal};
use support::time::let_pass;
use support::tokens::{Actor, Tokens, Way};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const A_WHILE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    alone::run(&[
        ("a_permit_is_a_childs_of_forking_until_it_is_reaped", || permits(Forking::new)),
        ("a_permit_is_a_childs_of_a_fork_server_until_it_is_reaped", || permits(ForkServer::new)),
        ("a_child_over_the_limit_is_never_started", never_more_than_two),
        ("nobody_is_refused_for_a_child_that_has_ended", ended_before_a_refusal),
        ("a_copy_in_a_child_of_the_application_has_nothing_in_flight", copy_in_a_child),
        ("a_permit_comes_back_where_no_descriptor_tells_of_it", without_descriptors),
        ("the_hooks_of_the_server_are_called_in_its_process_alone", hooks_in_the_parent),
        ("a_child_reads_the_counters", counters_in_a_child),
        ("a_panic_in_child_init_is_the_childs_end", panic_in_child_init),
        ("a_server_stops_after_the_panics_of_its_children", stop_after_panics),
        ("panics_in_all_places_under_forking_are_counted_once", all_ways_under_forking),
        ("a_panic_crashes_a_sync_server", || crashes(Sync)),
        ("a_panic_crashes_a_threading_server", || crashes(Threading::new())),
        ("a_panic_crashes_a_server_with_a_thread_pool", || crashes(ThreadPool::new(1))),
        ("a_panic_of_a_child_crashes_the_server", || crashes(Forking::new())),
        ("three_quarters_of_the_descriptors_may_be_in_use", default_limit),
        ("nothing_remains_of_a_sync_server_with_a_drain", || nothing_remains(Sync)),
        (
            "nothing_remains_of_a_threading_server_with_a_drain",
            || nothing_remains(Threading::new()),
        ),
        ("nothing_remains_of_a_server_with_a_thread_pool_and_a_drain", || {
            nothing_remains(ThreadPool::new(4))
        }),
    ])
}

/// Says which process it is, and then does as its client says.
struct Obeys {
    said: File,
}

impl Obeys {
    fn new() -> Result<Self> {
        Ok(Self { said: tempfile::Builder::new().append(true).tempfile()?.into_file() })
    }

    fn says(&self, what: &str) {
        // One write is one line, whichever process it comes from.
        (&self.said).write_all(format!("{} {what}\n", process::id()).as_bytes()).unwrap();
    }
}

impl Handler<TcpRequest> for Obeys {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(&process::id().to_ne_bytes())?;
        let mut how = [0];
        conn.read_exact(&mut how)?;
        assert!(how != *b"p", "scripted");
        conn.write_all(&how)?;
        Ok(Next::Done)
    }

    fn panicked(&self) -> OnPanic {
        self.says("panicked");
        OnPanic::Contain
    }

    fn event(&self, event: Event) {
        self.says(&format!("{event:?}"));
    }
}

/// The process that has a client's request.
fn process_of(mut client: &TcpStream) -> Result<u32> {
    let mut number = [0; 4];
    client.read_exact(&mut number)?;
    Ok(u32::from_ne_bytes(number))
}

/// Waits until all children have ended, and been reaped.
fn reap<H: Handler<TcpRequest>>(server: &mut ForkingTcpServer<H>) -> Result {
    while server.active_children().next().is_some() {
        assert_eq!(server.handle_request_timeout(Duration::from_millis(1))?, Outcome::TimedOut);
    }
    Ok(())
}

fn permits<C: Concurrency<Tcp, Obeys>>(strategy: fn() -> C) -> Result {
    let counters = Counters::new()?;
    let mut server = Server::new(tcp()?, strategy(), Obeys::new()?)?
        .limits(Limits::new().at_once(1))?
        .counters(&counters);
    let address = server.local_addr()?;
    let ends: [fn(u32, &TcpStream) -> Result; 3] = [
        |_, client| Ok(release(client)?),
        |child, _| signal(child, Signal::SIGKILL),
        |_, mut client| Ok(client.write_all(b"p")?),
    ];
    let mut client = connect(address)?;
    for end in ends {
        let next = connect(address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let child = process_of(&client)?;
        assert_eq!(server.handle_request_timeout(A_WHILE)?, Outcome::TimedOut);
        assert_eq!(counters.active(), 1);
        end(child, &client)?;
        client = next;
    }
    assert_eq!(server.handle_request()?, Outcome::Handled);
    release(&client)?;
    server.close()?;
    assert_eq!((counters.accepted(), counters.finished(), counters.active()), (4, 2, 0));
    let failed = [FailureKind::Lost, FailureKind::Panic].map(|kind| counters.failed_by(kind));
    assert_eq!(failed, [1, 1]);
    assert!(no_child_is_left());
    Ok(())
}

/// Stops its server when the last client has been refused.
struct Stops(StopHandle);

impl Handler<TcpRequest> for Stops {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.read_exact(&mut [0])?;
        Ok(Next::Done)
    }

    fn event(&self, event: Event) {
        if event == Event::Refused(Refusal::Full) {
            self.0.stop();
        }
    }
}

fn never_more_than_two() -> Result {
    let counters = Counters::new()?;
    let limits = Limits::new().at_once(2).when_full(WhenFull::Refuse);
    let server = Server::with_stop(tcp()?, Forking::new(), Stops)?;
    let mut server = server.limits(limits)?.counters(&counters);
    let address = server.local_addr()?;
    let clients = (0..3).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;
    server.serve_forever()?;

    assert_eq!(server.active_children().count(), 2);
    assert_eq!((counters.active(), counters.refused_for(Refusal::Full)), (2, 1));
    clients[..2].iter().try_for_each(release)?;
    server.close()?;
    assert_eq!((counters.active(), counters.finished()), (0, 2));
    Ok(())
}

fn ended_before_a_refusal() -> Result {
    let limits = Limits::new().at_once(1).when_full(WhenFull::Refuse);
    let server = Server::new(tcp()?, Forking::new(), Obeys::new()?)?;
    let mut server = server.limits(limits)?;
    let address = server.local_addr()?;
    for _ in 0..3 {
        let client = connect(address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let child = process_of(&client)?;
        release(&client)?;
        peek(child)?;
    }
    server.close()?;
    Ok(())
}

#[expect(unsafe_code, reason = "fork(2) is unsafe for what a child might do")]
fn copy_in_a_child() -> Result {
    let limits = Limits::new().at_once(1);
    let server = Server::new(tcp()?, Threading::new(), Obeys::new()?)?;
    let mut server = server.limits(limits)?.drain(Drain::new());
    let address = server.local_addr()?;
    let client = connect(address)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    process_of(&client)?;
    // SAFETY: the only other thread waits in a read, and holds no lock.
    match unsafe { fork() }? {
        ForkResult::Child => {
            alarm::set(5);
            let next = connect(address);
            let served = server.handle_request_timeout(PATIENCE);
            let released = next.map(|next| release(&next));
            let closed = server.close();
            let well = matches!(served, Ok(Outcome::Handled)) && released.is_ok() && closed.is_ok();
            process::exit(i32::from(!well));
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
            release(&client)?;
            // It may have finished before.
            let report = server.close()?;
            assert_eq!((report.cut, report.abandoned), (0, 0));
        }
    }
    Ok(())
}

/// Leaves its server without a descriptor to watch a child by, while there is one.
struct Starves;

fn descriptors_up_to(limit: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, limit.min(hard), hard).unwrap();
}

impl Handler<TcpRequest> for Starves {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.read_exact(&mut [0])?;
        // The server waits by then.
        let_pass(A_WHILE);
        Ok(Next::Done)
    }

    fn verify_request(&self, conn: &TcpRequest) -> io::Result<bool> {
        // All below its own are in use.
        descriptors_up_to(u64::try_from(conn.get_ref().as_raw_fd()).map_err(io::Error::other)?);
        Ok(true)
    }

    fn event(&self, event: Event) {
        if event == Event::Finished {
            descriptors_up_to(u64::MAX);
        }
    }
}

fn without_descriptors() -> Result {
    let counters = Counters::new()?;
    let mut server = Server::new(tcp()?, Forking::new(), Starves)?
        .limits(Limits::new().at_once(1))?
        .counters(&counters);
    let address = server.local_addr()?;
    let clients = [connect(address)?, connect(address)?];
    clients.iter().try_for_each(release)?;

    assert_eq!(server.handle_request()?, Outcome::Handled);
    // Without a deadline, which would have it look too.
    assert_eq!(server.handle_request()?, Outcome::Handled);
    descriptors_up_to(u64::MAX);
    server.close()?;
    assert_eq!(counters.finished(), 2);
    Ok(())
}

fn hooks_in_the_parent() -> Result {
    let mut server = Server::new(tcp()?, Forking::new(), Obeys::new()?)?;
    let address = server.local_addr()?;
    for how in [b"f", b"p"] {
        let client = connect(address)?;
        (&client).write_all(how)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_ne!(process_of(&client)?, process::id());
        reap(&mut server)?;
    }
    let said = fs::read_to_string(format!("/proc/self/fd/{}", server.handler().said.as_raw_fd()))?;
    let own = process::id();
    let wanted = ["Accepted", "Finished", "Accepted", "Failed(Panic)", "panicked"];
    let wanted: String = wanted.iter().map(|what| format!("{own} {what}\n")).collect();
    assert_eq!(said, wanted);
    server.close()?;
    Ok(())
}

/// Tells what it reads of the counters in its process.
fn counters_in_a_child() -> Result {
    let counters = Counters::new()?;
    let seen = counters.clone();
    let mut server = Server::new_fn(tcp()?, Forking::new(), move |conn: &mut TcpRequest| {
        write!(conn, "{seen}")
    })?
    .counters(&counters);
    let address = server.local_addr()?;
    for wanted in [
        "accepted 1, active 1, finished 0, failed 0, refused 0",
        "accepted 2, active 1, finished 1, failed 0, refused 0",
    ] {
        let client = connect(address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(String::from_utf8(all(client)?)?, wanted);
        reap(&mut server)?;
    }
    server.close()?;
    Ok(())
}

/// Its children panic before they have done anything.
struct Stillborn;

impl Handler<TcpRequest> for Stillborn {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(b"handled")?;
        Ok(Next::Done)
    }

    fn child_init(&self) {
        panic!("scripted");
    }
}

fn panic_in_child_init() -> Result {
    let counters = Counters::new()?;
    let mut server = Server::new(tcp()?, Forking::new(), Stillborn)?
        .limits(Limits::new().per_source(1, socketserver::by_ip))?
        .drain(Drain::new())
        .counters(&counters);
    let client = connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert!(is_closed(client)?);
    server.close()?;
    assert_eq!((counters.accepted(), counters.failed(), counters.active()), (1, 1, 0));
    assert_eq!(counters.failed_by(FailureKind::Panic), 1);
    Ok(())
}

fn stop_after_panics() -> Result {
    let counters = Counters::new()?;
    let handler = StopAfterPanics::new(Obeys::new()?, 3, PATIENCE)?;
    let mut server = Server::new(tcp()?, Forking::new(), handler)?.counters(&counters);
    let address = server.local_addr()?;
    let clients = (0..3).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;
    clients.iter().try_for_each(|mut client| client.write_all(b"p"))?;
    server.serve_forever()?;
    assert_eq!(counters.failed_by(FailureKind::Panic), 3);
    server.close()?;
    Ok(())
}

fn all_ways_under_forking() -> Result {
    let ways = [
        Way::Well,
        Way::Rejected,
        Way::PanicsTwice,
        Way::PanicsInConnection,
        Way::PanicsInShutdown,
        Way::Panics(socketserver::Stage::Verify),
        Way::Panics(socketserver::Stage::Establish),
        Way::Panics(socketserver::Stage::Deliver),
        Way::Well,
    ];
    let counters = Counters::new()?;
    let server = Server::new(Tokens::new(ways), Forking::new(), Actor::default())?;
    let mut server =
        server.counters(&counters).drain(Drain::new()).limits(Limits::new().at_once(1))?;
    server.serve_forever()?;
    let told = server.handler().clone().0;
    server.close()?;
    assert_eq!((counters.accepted(), counters.active()), (9, 0));
    assert_eq!((counters.finished(), counters.refused()), (4, 1));
    assert_eq!(counters.failed_by(FailureKind::Panic), 4);
    // The payload's, and those in `connection` and `shutdown_request`, are the end of no request.
    assert_eq!(told.panics.load(std::sync::atomic::Ordering::SeqCst), 4 + 3);
    Ok(())
}

#[expect(unsafe_code, reason = "fork(2) is unsafe for what a child might do")]
fn crashes<C: Concurrency<Tokens, CrashOnPanic<Actor>>>(strategy: C) -> Result {
    let ways = [Way::Panics(socketserver::Stage::Handle), Way::Well];
    let mut server = Server::new(Tokens::new(ways), strategy, CrashOnPanic(Actor::default()))?;
    // SAFETY: this is the only thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None)?;
            assert!(matches!(ended, WaitStatus::Signaled(_, Signal::SIGABRT, _)), "{ended:?}");
            Ok(())
        }
        ForkResult::Child => {
            panic::set_hook(Box::new(|_| {}));
            let served = server.serve_forever().and_then(|()| server.close());
            process::exit(i32::from(served.is_err()));
        }
    }
}

fn default_limit() -> Result {
    descriptors_up_to(64);
    let server = Server::new_fn(tcp()?, Threading::new(), |conn: &mut TcpRequest| {
        conn.read_exact(&mut [0])
    })?;
    let counters = Counters::new()?;
    let running = server.limits(Limits::new())?.counters(&counters).spawn()?;
    let address: SocketAddr = running.local_addr()?;
    // Their own descriptors are another process's.
    descriptors_up_to(1024);
    let clients = (0..49).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;
    eventually("48 are in flight", || counters.active() == 48)?;
    let_pass(A_WHILE);
    assert_eq!(counters.accepted(), 48, "three quarters of 64");
    clients.iter().try_for_each(release)?;
    eventually("all are served", || counters.finished() == 49)?;
    running.close()?;
    Ok(())
}

fn threads() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

fn nothing_remains<C>(strategy: C) -> Result
where
    C: Concurrency<Tcp, Obeys> + Send + 'static,
{
    let (handler, limits) = (Obeys::new()?, Limits::new().at_once(2));
    let (before, threads_before) = (descriptors()?, threads()?);
    let drain = Drain::new().finish_within(A_WHILE).cut_within(PATIENCE);
    let tcp = tcp()?;
    let server = Server::new(tcp, strategy, handler)?.limits(limits)?.drain(drain);
    let running = server.spawn()?;
    let silent = connect(running.local_addr()?)?;
    process_of(&silent)?;
    let reader = thread::spawn(move || all(silent));
    let report = running.close()?;
    assert_eq!((report.cut, report.abandoned), (1, 0));
    assert_eq!(reader.join().map_err(|_| "the reader panicked")??, b"");
    // The handler's file is gone too.
    let mut wanted = before;
    wanted.retain(|what| !what.contains("deleted"));
    assert_eq!(descriptors()?, wanted);
    eventually("the threads have gone", || threads().is_ok_and(|now| now == threads_before))
}
