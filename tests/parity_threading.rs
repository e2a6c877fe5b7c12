//! Rows C1 to C8 of `docs/from-python.md`: what becomes of threads, at close and at the end of the
//! process. Each case has a process of its own; those about the end of one look at a second.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, ExitCode};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{
    Failure, FailureKind, Handler, Next, Outcome, Server, Tcp, Threading, ThreadingTcpServer,
    ThreadingUdpServer,
};
use support::net::{self, Echo, PATIENCE, Reach};
use support::{alone, role};
use wait_timeout::ChildExt;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// C1: so many requests can only meet if each has its thread.
fn each_request_has_a_thread_of_its_own() -> Result {
    const TOGETHER: usize = 50;
    let barrier = Arc::new(Barrier::new(TOGETHER));
    let running = ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
        let met = barrier.wait();
        conn.write_all(if met.is_leader() { b"leader" } else { b"other" })
    })?
    .spawn()?;
    let clients: Vec<_> =
        (0..TOGETHER).map(|_| net::connect(running.local_addr()?)).collect::<io::Result<_>>()?;
    let answers: Vec<_> = clients.into_iter().map(net::all).collect::<io::Result<_>>()?;
    assert_eq!(answers.iter().filter(|answer| *answer == b"leader").count(), 1);
    assert_eq!(answers.iter().filter(|answer| *answer == b"other").count(), TOGETHER - 1);
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// C2: a role with so large a stack for each thread that none can be had.
fn no_thread_can_be_had(_: &[String]) -> Result {
    struct Told(Sender<FailureKind>);
    impl<R> Handler<R> for Told {
        fn handle(&self, _request: &mut R) -> io::Result<Next> {
            Ok(Next::Done)
        }

        fn handle_error(&self, _request: &mut R, failure: &Failure) {
            let _ = self.0.send(failure.kind());
        }
    }
    let (told, says) = channel();
    let mut server = ThreadingTcpServer::bind("127.0.0.1:0", Told(told))?;
    for _ in 0..3 {
        let client = net::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Failed);
        assert_eq!(says.try_recv()?, FailureKind::NotStarted);
        assert_eq!(net::all(client)?, b"", "a clean end, no reset");
    }
    assert_eq!(server.concurrency().active(), 0);
    assert!(says.try_recv().is_err(), "told more than once");
    server.close()?;
    Ok(())
}

/// C2: Python's `server_close` raises then.
fn a_thread_that_cannot_be_had_is_told_and_its_peer_let_go() -> Result {
    let stack = (1_u64 << 47).to_string();
    role::finished(role::command("no thread can be had")?.env("RUST_MIN_STACK", stack).spawn()?)
}

/// C3, C4: a server whose one request waits for its client when the server is closed or dropped.
///
/// Says on stdout where it is to be reached, "closing", "closed" and what the handler says.
fn closes_during_a_request(arguments: &[String]) -> Result {
    let [block, daemon, end] = arguments else { return Err("three arguments".into()) };
    let strategy = Threading::new().block_on_close(block.parse()?).daemon_threads(daemon.parse()?);
    let (began, begun) = channel();
    let mut server = Server::new_fn(Tcp::options().bind("127.0.0.1:0")?, strategy, move |conn| {
        let _ = began.send(());
        let mut byte = [0];
        conn.read_exact(&mut byte)?;
        say("handled");
        conn.write_all(b"done")
    })?;
    say(&server.local_addr()?.to_string());
    server.handle_request()?;
    begun.recv_timeout(PATIENCE)?;
    say("closing");
    match end.as_str() {
        "close" => _ = server.close()?,
        _ => drop(server),
    }
    say("closed");
    Ok(())
}

/// One line on stdout, at once.
fn say(what: &str) {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{what}").and_then(|()| stdout.flush());
}

/// The role above, when it has said "closing".
struct Closing {
    process: Child,
    says: BufReader<ChildStdout>,
    client: TcpStream,
}

/// How long something is watched that has to stay as it is.
const WHILE: Duration = Duration::from_millis(300);

impl Closing {
    fn start(block_on_close: bool, daemon_threads: bool, end: &str) -> Result<Self> {
        let mut process = role::command("closes during a request")?
            .args([&block_on_close.to_string(), &daemon_threads.to_string(), end])
            .spawn()?;
        let mut says = BufReader::new(process.stdout.take().ok_or("no stdout")?);
        let mut address = String::new();
        says.read_line(&mut address)?;
        let client = net::connect(address.trim().parse()?)?;
        let mut closing = Self { process, says, client };
        closing.expect("closing")?;
        Ok(closing)
    }

    fn expect(&mut self, wanted: &str) -> Result {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        assert_eq!(line.trim_end(), wanted);
        Ok(())
    }

    fn assert_runs(&mut self) -> Result {
        assert_eq!(self.process.wait_timeout(WHILE)?, None, "the process has ended");
        Ok(())
    }

    fn let_go(&mut self) -> Result {
        Ok(self.client.write_all(b"x")?)
    }

    fn assert_request_was_finished(mut self) -> Result {
        assert_eq!(net::all(&mut self.client)?, b"done");
        role::finished(self.process)
    }

    fn assert_request_was_cut_off(mut self) -> Result {
        // The end of its output is the end of the process, whose request nobody has let go.
        let mut rest = String::new();
        self.says.read_to_string(&mut rest)?;
        assert_eq!(rest, "");
        assert!(net::is_closed(&mut self.client)?);
        role::finished(self.process)
    }
}

/// C4, C5: without a deadline, as in Python.
fn by_default_close_joins() -> Result {
    let mut server = Closing::start(true, false, "close")?;
    server.assert_runs()?;
    server.let_go()?;
    server.expect("handled")?;
    server.expect("closed")?;
    server.assert_request_was_finished()
}

/// C4: the end of a scope waits for nothing, and the end of the process neither.
fn by_default_a_dropped_server_is_cut_off() -> Result {
    let mut server = Closing::start(true, false, "drop")?;
    server.expect("closed")?;
    server.assert_request_was_cut_off()
}

/// C4: what Python's interpreter does for threads that are not daemons.
fn without_block_on_close_the_process_waits() -> Result {
    for end in ["close", "drop"] {
        let mut server = Closing::start(false, false, end)?;
        server.expect("closed")?;
        server.assert_runs()?;
        server.let_go()?;
        server.expect("handled")?;
        server.assert_request_was_finished()?;
    }
    Ok(())
}

/// C3.
fn daemon_threads_end_with_the_process() -> Result {
    for block_on_close in [true, false] {
        let mut server = Closing::start(block_on_close, true, "close")?;
        server.expect("closed")?;
        server.assert_request_was_cut_off()?;
    }
    Ok(())
}

/// C6.
fn a_stop_does_not_wait_for_requests() -> Result {
    let (began, begun) = channel();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let running = ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
        let _ = began.send(());
        let wait: &Receiver<()> = &released.lock().expect("not poisoned");
        wait.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        conn.write_all(b"after the stop")
    })?
    .spawn()?;
    let client = net::connect(running.local_addr()?)?;
    begun.recv_timeout(PATIENCE)?;
    running.stop();
    let server = running.join()?;
    assert_eq!(server.concurrency().active(), 1);
    release.send(())?;
    server.close()?;
    assert_eq!(net::all(client)?, b"after the stop");
    Ok(())
}

/// What this process holds: descriptors, threads, kilobytes of address space.
fn held() -> Result<(usize, usize, usize)> {
    let status = fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).ok_or("no VmSize")?;
    let size = size.trim().trim_end_matches("kB").trim().parse()?;
    Ok((fs::read_dir("/proc/self/fd")?.count(), fs::read_dir("/proc/self/task")?.count(), size))
}

/// C7: a thread that is kept after its end keeps its stack, 2 MB of address space.
fn thousands_of_requests_leave_nothing_behind() -> Result {
    // Half of what so many stacks take, and more than an allocator reserves for itself.
    const LIMIT: usize = 1000 * 2048;
    let dir = tempfile::tempdir()?;
    for strategy in [
        Threading::new(),
        Threading::new().block_on_close(false),
        Threading::new().daemon_threads(true),
    ] {
        let running = Server::new(Tcp::open(dir.path())?, strategy, Echo)?.spawn()?;
        let address = running.local_addr()?;
        let ask = || Tcp::ask(&address, dir.path(), b"again\n");
        for _ in 0..100 {
            ask()?;
        }
        let before = held()?;
        for _ in 0..2000 {
            assert_eq!(ask()?, b"again\n");
        }
        running.stop();
        let server = running.join()?;
        let deadline = Instant::now() + PATIENCE;
        while server.concurrency().active() > 0 || held()?.1 > before.1 {
            assert!(Instant::now() < deadline, "threads: {before:?}, then {:?}", held()?);
            thread::yield_now();
        }
        let after = held()?;
        assert!(after.0 <= before.0, "descriptors: {before:?}, then {after:?}");
        assert!(after.2 < before.2 + LIMIT, "memory: {before:?}, then {after:?}");
        server.close()?;
    }
    Ok(())
}

/// Panics where it is told to, and says what it was told of that.
struct Panics(Sender<FailureKind>);

impl<R: BufRead + Write> Handler<R> for Panics {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = String::new();
        request.read_line(&mut line)?;
        assert_ne!(line, "bad\n", "as it is told");
        request.write_all(line.as_bytes())?;
        Ok(Next::Done)
    }

    fn handle_error(&self, _request: &mut R, failure: &Failure) {
        let _ = self.0.send(failure.kind());
    }
}

/// C8: for packets as for connections.
fn a_panic_ends_its_request_alone() -> Result {
    let (told, says) = channel();
    let running = ThreadingTcpServer::bind("127.0.0.1:0", Panics(told))?.spawn()?;
    let (address, dir) = (running.local_addr()?, tempfile::tempdir()?);
    for _ in 0..3 {
        assert_eq!(Tcp::ask(&address, dir.path(), b"bad\n")?, b"");
        assert_eq!(says.recv_timeout(PATIENCE)?, FailureKind::Panic);
        assert_eq!(Tcp::ask(&address, dir.path(), b"good\n")?, b"good\n");
    }
    running.stop();
    running.join()?.close()?;

    let (told, says) = channel();
    let running = ThreadingUdpServer::bind("127.0.0.1:0", Panics(told))?.spawn()?;
    let client = net::packets()?;
    client.connect(running.local_addr()?)?;
    client.send(b"bad\n")?;
    assert_eq!(says.recv_timeout(PATIENCE)?, FailureKind::Panic);
    client.send(b"good\n")?;
    assert_eq!(net::packet(&client)?, b"good\n");
    running.stop();
    running.join()?.close()?;
    Ok(())
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    let played = role::play(&[
        ("no thread can be had", no_thread_can_be_had),
        ("closes during a request", closes_during_a_request),
    ]);
    played.unwrap_or_else(|| {
        alone::run(cases![
            each_request_has_a_thread_of_its_own,
            a_thread_that_cannot_be_had_is_told_and_its_peer_let_go,
            by_default_close_joins,
            by_default_a_dropped_server_is_cut_off,
            without_block_on_close_the_process_waits,
            daemon_threads_end_with_the_process,
            a_stop_does_not_wait_for_requests,
            thousands_of_requests_leave_nothing_behind,
            a_panic_ends_its_request_alone,
        ])
    })
}
