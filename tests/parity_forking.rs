//! Rows K1 to K9 of `docs/from-python.md`: children, from the fork to the last status. Each case
//! runs on the only thread of a process of its own, so its clients connect before it serves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{self, Command, ExitCode};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use socketserver::{
    Failure, FailureKind, ForkRefused, Forking, ForkingTcpServer, ForkingUdpServer, Handler, Next,
    Outcome, Server, StopHandle, Tcp, TcpRequest,
};
use support::net;
use support::processes::{children_of, no_child_is_left, peek};
use support::story::{self, Event, Script};
use support::time::let_pass;
use support::trace::Trace;
use support::{alone, role};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Asks its client for a byte, and waits for it; notes its steps.
struct Waits {
    trace: Trace,
    stop: OnceLock<StopHandle>,
    stops: bool,
}

impl Handler<TcpRequest> for Waits {
    fn handle(&self, request: &mut TcpRequest) -> io::Result<Next> {
        self.trace.note("begin");
        request.write_all(b"?")?;
        if self.stops {
            self.stop.get().expect("set before serving").stop();
        }
        let mut byte = [0];
        request.read_exact(&mut byte)?;
        request.write_all(b"done")?;
        self.trace.note("end");
        Ok(Next::Done)
    }
}

/// A server whose requests end when their clients say so.
fn waiting(strategy: Forking, stops: bool) -> Result<(ForkingTcpServer<Waits>, Trace)> {
    let trace = Trace::new()?;
    let waits = Waits { trace: trace.clone(), stop: OnceLock::new(), stops };
    // As for a port that is no secret, so that the next server can have it.
    let tcp = Tcp::options().allow_reuse_address(true).bind("127.0.0.1:0")?;
    let server = Server::new(tcp, strategy, waits)?;
    server.handler().stop.set(server.stop_handle()).map_err(|_| "set twice")?;
    Ok((server, trace))
}

fn let_go(mut client: TcpStream) -> io::Result<Vec<u8>> {
    client.write_all(b"x")?;
    net::all(client)
}

/// D8, D10 to D13 for children; see `parity_dispatch` for the others.
fn the_hooks_have_one_order_under_forking() -> Result {
    story::play(Forking::new, true, false)
}

/// K1.
fn a_child_ends_with_a_status_that_tells() -> Result {
    for (how, wanted) in [(b'f', 0), (b'e', 1), (b'p', 101)] {
        let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", |conn| {
            let mut how = [0];
            conn.read_exact(&mut how)?;
            match &how {
                b"f" => Ok(()),
                b"e" => Err(io::Error::other("as it is told")),
                _ => panic!("as it is told"),
            }
        })?;
        let mut client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        let pid = server.active_children().next().ok_or("no child")?;
        // Not before: what has ended by then has been reaped.
        client.write_all(&[how])?;
        assert_eq!(peek(pid)?, WaitStatus::Exited(Pid::from_raw(i32::try_from(pid)?), wanted));
        server.close()?;
    }
    Ok(())
}

/// K1: the parent closes its copy, and does not end the connection with it.
fn the_parent_lets_the_childs_connection_be() -> Result {
    let (mut server, _) = waiting(Forking::new(), false)?;
    let client = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    assert_eq!(let_go(client)?, b"?done");
    server.close()?;
    Ok(())
}

/// K1, K2: neither after a success nor by a panic, which unwinds, does a child come back.
fn a_child_never_returns_into_the_loop() -> Result {
    struct Guard(Trace);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.note("dropped");
        }
    }
    for events in [&[][..], &[("handle", Event::Panic)][..], &[("setup", Event::Error)][..]] {
        let trace = Trace::new()?;
        {
            let _guard = Guard(trace.clone());
            let script = Script { events, trace: trace.clone() };
            let mut server = ForkingTcpServer::bind("127.0.0.1:0", script)?;
            let _client = net::connect(server.local_addr()?)?;
            server.handle_request()?;
            trace.note("returned");
            server.close()?;
        }
        let words = trace.words()?;
        for word in ["returned", "dropped"] {
            assert_eq!(words.iter().filter(|w| *w == word).count(), 1, "{events:?}: {words:?}");
        }
    }
    Ok(())
}

/// K2, as a role: says something before and after the fork, without the end of a line, and at its
/// normal end.
#[expect(unsafe_code, reason = "atexit(3) is foreign")]
fn talks(_: &[String]) -> Result {
    extern "C" fn bye() {
        let _ = nix::unistd::write(io::stdout(), b"bye");
    }
    // SAFETY: `bye` is there as long as the process, and only writes.
    assert_eq!(unsafe { nix::libc::atexit(bye) }, 0);
    let mut server = ForkingUdpServer::bind_fn("127.0.0.1:0", |_| {
        print!("child ");
        Ok(())
    })?;
    net::packets()?.send_to(b"go", server.local_addr()?)?;
    print!("parent ");
    server.handle_request()?;
    server.close()?;
    Ok(())
}

/// K2: Python's child loses what it has printed. Neither ends as its parent does.
fn what_waits_in_stdout_is_printed_once() -> Result {
    let output = role::command("talks")?.output()?;
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout)?, "parent child bye");
    Ok(())
}

/// K3: Python is blocked there, and hears nothing.
fn a_full_house_hears_the_stop() -> Result {
    let (mut server, _) = waiting(Forking::new().max_children(1)?, true)?;
    let address = server.local_addr()?;
    let (first, second) = (net::connect(address)?, net::connect(address)?);
    // The child stops it and goes on; there is no room for the second.
    server.serve_forever()?;
    assert_eq!(server.active_children().count(), 1);
    assert_eq!(let_go(first)?, b"?done");
    server.close()?;
    assert!(net::is_closed(second)?);
    Ok(())
}

/// K3.
fn no_more_children_than_allowed_run_at_a_time() -> Result {
    const MOST: usize = 3;
    struct Short(Trace, AtomicUsize, OnceLock<StopHandle>);
    impl<R> Handler<R> for Short {
        fn handle(&self, _request: &mut R) -> io::Result<Next> {
            self.0.note("begin");
            while self.0.words()?.iter().filter(|word| *word == "begin").count() < MOST {
                thread::yield_now();
            }
            // Long enough for one more to begin meanwhile, if it may.
            let_pass(Duration::from_millis(40));
            self.0.note("end");
            Ok(Next::Done)
        }

        fn service_actions(&self) {
            if self.1.fetch_add(1, Ordering::SeqCst) + 1 == 8 {
                self.2.get().expect("set before serving").stop();
            }
        }
    }
    let trace = Trace::new()?;
    let short = Short(trace.clone(), AtomicUsize::new(0), OnceLock::new());
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, Forking::new().max_children(MOST)?, short)?;
    server.handler().2.set(server.stop_handle()).map_err(|_| "set twice")?;
    let clients: Vec<_> =
        (0..8).map(|_| net::connect(server.local_addr()?)).collect::<io::Result<_>>()?;
    server.serve_forever()?;
    server.close()?;
    let mut running = 0_usize;
    let mut most = 0;
    for word in trace.words()? {
        running = if word == "begin" { running + 1 } else { running - 1 };
        most = most.max(running);
    }
    assert_eq!((running, most), (0, MOST));
    for client in clients {
        assert!(net::is_closed(client)?);
    }
    Ok(())
}

/// K3: Python never leaves its loop then.
fn no_children_at_all_is_refused() -> Result {
    let error = Forking::new().max_children(0).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("max_children"), "{error}");
    Ok(())
}

/// K3: Python takes the status of whoever ends first.
fn other_peoples_children_keep_their_status() -> Result {
    let (mut server, _) = waiting(Forking::new().max_children(1)?, false)?;
    let address = server.local_addr()?;
    for round in 0..1000 {
        let status = 1 + round % 100;
        let mut other = Command::new("sh").args(["-c", &format!("exit {status}")]).spawn()?;
        // It has ended before the server looks for children of its own.
        peek(other.id())?;
        let client = net::connect(address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(let_go(client)?, b"?done");
        assert_eq!(other.wait()?.code(), Some(status));
    }
    server.close()?;
    Ok(())
}

/// K4, as a role: a server that has nothing to do between its two clients.
fn idles(_: &[String]) -> Result {
    let (mut server, _) = waiting(Forking::new(), false)?;
    println!("{}", server.local_addr()?);
    server.serve_forever()?;
    Ok(())
}

/// K4: not at the next request.
fn an_idle_server_reaps_at_once() -> Result {
    let mut server = role::command("idles")?.spawn()?;
    let mut address = String::new();
    let says = server.stdout.take().ok_or("no stdout")?;
    io::BufReader::new(says).read_line(&mut address)?;
    let client = net::connect(address.trim().parse()?)?;
    assert_eq!(let_go(client)?, b"?done");
    let deadline = Instant::now() + net::PATIENCE;
    while let children @ 1.. = children_of(server.id())?.len() {
        assert!(Instant::now() < deadline, "{children} children have not been reaped");
        thread::yield_now();
    }
    server.kill()?;
    server.wait()?;
    Ok(())
}

/// K5: Python keeps twenty zombies with room for five.
fn single_steps_keep_the_limit_and_reap() -> Result {
    const MOST: usize = 5;
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let mut server =
        Server::new_fn(tcp, Forking::new().max_children(MOST)?, |conn| conn.write_all(b"done"))?;
    for _ in 0..20 {
        let client = net::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(net::all(client)?, b"done");
        assert!(server.active_children().count() <= MOST);
        assert!(children_of(process::id())?.len() <= MOST);
    }
    server.close()?;
    assert!(no_child_is_left());
    Ok(())
}

/// K6.
fn close_waits_for_the_children() -> Result {
    let (mut server, trace) = waiting(Forking::new(), false)?;
    let address = server.local_addr()?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = net::connect(address)?;
        client.write_all(b"x")?;
        clients.push(client);
        server.handle_request()?;
    }
    server.close()?;
    assert_eq!(trace.words()?.iter().filter(|word| *word == "end").count(), 3);
    assert!(no_child_is_left());
    Ok(())
}

/// K6, K7: nor do they keep the address, or take connections that nobody serves.
fn children_that_are_not_waited_for_hold_no_listener() -> Result {
    let (mut server, _) = waiting(Forking::new().block_on_close(false), false)?;
    let address = server.local_addr()?;
    let mut client = net::connect(address)?;
    server.handle_request()?;
    // The handler has begun: the child is what it is to be.
    client.read_exact(&mut [0])?;
    let child = server.active_children().next().ok_or("no child")?;
    server.close()?;
    assert_eq!(
        waitpid(Pid::from_raw(i32::try_from(child)?), Some(WaitPidFlag::WNOHANG))?,
        WaitStatus::StillAlive
    );

    net::assert_nobody_listens(address);
    Tcp::options().bind(address)?;

    assert_eq!(let_go(client)?, b"done");
    assert!(matches!(waitpid(None, None)?, WaitStatus::Exited(_, 0)));
    Ok(())
}

/// K8: the parent keeps no connection that a later child would get a copy of.
fn a_child_has_no_other_childs_connection() -> Result {
    let trace = Trace::new()?;
    let counted = trace.clone();
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
        counted.note(&fs::read_dir("/proc/self/fd")?.count().to_string());
        conn.write_all(b"?")?;
        io::copy(conn, &mut io::sink()).map(drop)
    })?;
    let address: SocketAddr = server.local_addr()?;
    let clients: Vec<_> = (0..4).map(|_| net::connect(address)).collect::<io::Result<_>>()?;
    for mut client in &clients {
        server.handle_request()?;
        client.read_exact(&mut [0])?;
    }
    assert_eq!(server.active_children().count(), 4, "they wait for their clients");
    // Each waits for its client, which is in this process: they would wait for each other.
    for pid in server.active_children() {
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(pid)?), nix::sys::signal::SIGKILL)?;
    }
    server.close()?;
    let counts = trace.words()?;
    assert_eq!(counts.iter().filter(|count| **count == counts[0]).count(), 4, "{counts:?}");
    Ok(())
}

/// K9: Python warns, and its children may hang.
fn a_process_with_threads_is_refused_every_fork() -> Result {
    struct Told(OnceLock<(FailureKind, Option<ForkRefused>)>);
    impl<R> Handler<R> for Told {
        fn handle(&self, _request: &mut R) -> io::Result<Next> {
            Ok(Next::Done)
        }

        fn handle_error(&self, _request: &mut R, failure: &Failure) {
            let inner = failure.as_error().and_then(io::Error::get_ref);
            let refused = inner.and_then(|inner| inner.downcast_ref::<ForkRefused>());
            self.0.set((failure.kind(), refused.copied())).expect("told once");
        }
    }
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let mut server = ForkingTcpServer::bind("127.0.0.1:0", Told(OnceLock::new()))?;
    let client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Failed);
    let told = server.handler().0.get().copied();
    assert_eq!(told, Some((FailureKind::NotStarted, Some(ForkRefused::Threads(2)))));
    assert!(net::is_closed(client)?);
    assert!(no_child_is_left());
    go.send(())?;
    other.join().map_err(|_| "the thread panicked")??;
    server.close()?;
    Ok(())
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    role::play(&[("talks", talks), ("idles", idles)]).unwrap_or_else(|| {
        alone::run(cases![
            the_hooks_have_one_order_under_forking,
            a_child_ends_with_a_status_that_tells,
            the_parent_lets_the_childs_connection_be,
            a_child_never_returns_into_the_loop,
            what_waits_in_stdout_is_printed_once,
            a_full_house_hears_the_stop,
            no_more_children_than_allowed_run_at_a_time,
            no_children_at_all_is_refused,
            other_peoples_children_keep_their_status,
            an_idle_server_reaps_at_once,
            single_steps_keep_the_limit_and_reap,
            close_waits_for_the_children,
            children_that_are_not_waited_for_hold_no_listener,
            a_child_has_no_other_childs_connection,
            a_process_with_threads_is_refused_every_fork,
        ])
    })
}
