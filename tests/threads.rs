//! The threads of `Threading`: who takes a request also handles it, so few are made; but each
//! request has its thread for itself, and never waits for another one. Each case has a process of
//! its own, whose threads are counted.

mod support;

use std::cell::Cell;
use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use socketserver::{
    Failure, FailureKind, Handler, Next, Server, StopHandle, TcpRequest, Threading,
    ThreadingTcpServer, ThreadingUdpServer,
};
use support::gate::{Keeper, gate};
use support::net;
use support::no_threads::allow_no_further_thread;
use support::one_byte::{echo_one, release, tcp};
use support::processes::eventually;
use support::{alone, role};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// So many wait for requests at most.
const KEPT: usize = 64;
/// A sanitizer has a thread of its own, from the first that is started on.
const OTHERS: usize = 1;

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    net::all(net::connect(address)?)
}

/// The threads that requests have run on.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashSet<ThreadId>>>);

impl Seen {
    fn note(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(thread::current().id());
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn threads_are_used_again() -> Result {
    const REQUESTS: usize = 1000;
    let seen = Seen::default();
    let notes = seen.clone();
    let running = ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
        notes.note();
        conn.write_all(b"x")
    })?
    .spawn()?;
    let address = running.local_addr()?;
    for _ in 0..REQUESTS {
        assert_eq!(ask(address)?, b"x");
    }
    running.close()?;
    assert!(seen.count() <= KEPT + 1, "{} threads for {REQUESTS} connections", seen.count());

    let seen = Seen::default();
    let notes = seen.clone();
    let running = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |packet| {
        notes.note();
        packet.reply(b"x")
    })?
    .spawn()?;
    let client = net::packets()?;
    client.connect(running.local_addr()?)?;
    for _ in 0..REQUESTS {
        client.send(b"?")?;
        assert_eq!(net::packet(&client)?, b"x");
    }
    running.close()?;
    assert!(seen.count() <= KEPT + 1, "{} threads for {REQUESTS} packets", seen.count());
    Ok(())
}

thread_local! {
    static REQUESTS_HERE: Cell<u32> = const { Cell::new(0) };
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

fn fresh_threads_have_fresh_thread_locals() -> Result {
    let earlier = |strategy: Threading| -> Result<Vec<u8>> {
        let server = Server::new_fn(tcp()?, strategy, |conn| {
            let earlier = REQUESTS_HERE.replace(REQUESTS_HERE.get() + 1);
            conn.write_all(&[u8::from(earlier > 0)])
        })?;
        let running = server.spawn()?;
        let address = running.local_addr()?;
        let answers = (0..200).map(|_| ask(address)).collect::<io::Result<Vec<_>>>()?;
        running.close()?;
        Ok(answers.concat())
    };
    assert_eq!(earlier(Threading::new().fresh_threads(true))?, [0; 200]);
    assert!(earlier(Threading::new())?.contains(&1));
    Ok(())
}

/// However many there are, and whatever the others do.
fn a_request_waits_for_no_other_and_has_its_thread_for_itself() -> Result {
    const TOGETHER: usize = 2 * KEPT;
    let (gate, keeper) = gate();
    struct Alone<H>(H);
    impl<H: Handler<TcpRequest>> Handler<TcpRequest> for Alone<H> {
        fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
            assert!(!BUSY.replace(true), "another request runs on this thread");
            let handled = self.0.handle(conn);
            BUSY.set(false);
            handled
        }
    }
    let before = threads();
    let running = ThreadingTcpServer::bind("127.0.0.1:0", Alone(gate))?.spawn()?;
    let address = running.local_addr()?;
    // Twice: with threads that are new, and with those that are left.
    for _ in 0..2 {
        let mut clients = Vec::new();
        for count in 1..=TOGETHER {
            clients.push(net::connect(address)?);
            keeper.wait_for_one()?;
            assert!(threads() > before + count, "one each, and one that waits");
        }
        for _ in &clients {
            keeper.let_go()?;
        }
        for client in clients {
            assert_eq!(net::all(client)?, b"x");
        }
        // One serves.
        eventually("no more are kept than may be", || threads() <= before + 1 + KEPT + OTHERS)?;
    }
    running.close()?;
    eventually("none is left", || threads() <= before + OTHERS)?;
    Ok(())
}

/// A thread that waits is woken when serving ends, and none of them holds the transport when it is
/// closed.
fn those_that_wait_are_gone_when_serving_ends() -> Result {
    const TOGETHER: usize = 20;
    let before = threads();
    for strategy in [Threading::new().daemon_threads(true), Threading::new()] {
        let server = Server::new_fn(tcp()?, strategy, echo_one)?;
        let running = server.spawn()?;
        let address = running.local_addr()?;
        let mut clients: Vec<TcpStream> =
            (0..TOGETHER).map(|_| net::connect(address)).collect::<io::Result<_>>()?;
        eventually("one each, and one that waits", || threads() >= before + TOGETHER + 2)?;
        let last = clients.pop().ok_or("there it is")?;
        for client in clients {
            release(&client)?;
            net::all(client)?;
        }
        running.stop();
        let server = running.join()?;
        eventually("one is active", || server.concurrency().active() == 1)?;
        eventually("its thread alone is left", || threads() <= before + 1 + OTHERS)?;
        release(&last)?;
        server.close()?;
        assert!(TcpStream::connect(address).is_err(), "the listening socket is still open");
        eventually("none is left", || threads() <= before + OTHERS)?;
    }
    Ok(())
}

/// Says which requests have failed, and how.
struct Tells<H>(H, Sender<FailureKind>);

impl<H: Handler<TcpRequest>> Handler<TcpRequest> for Tells<H> {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        self.0.handle(conn)
    }

    fn handle_error(&self, _conn: &mut TcpRequest, failure: &Failure) {
        let _ = self.1.send(failure.kind());
    }
}

fn a_request_that_leaves_nobody_to_wait_is_refused_until_a_thread_comes_back() -> Result {
    let (gate, keeper) = gate();
    let (tell, told) = channel();
    let running = ThreadingTcpServer::bind("127.0.0.1:0", Tells(gate, tell))?.spawn()?;
    let address = running.local_addr()?;
    let first = net::connect(address)?;
    keeper.wait_for_one()?;

    let limit = allow_no_further_thread()?;
    for _ in 0..3 {
        assert_eq!(ask(address)?, b"", "a clean end, no reset");
        assert_eq!(told.recv()?, FailureKind::NotStarted);
    }

    keeper.let_go()?;
    assert_eq!(net::all(first)?, b"x");
    // Its thread waits again, sooner or later.
    let next = loop {
        let mut client = net::connect(address)?;
        if entered(&keeper, &told)? {
            break client;
        }
        assert_eq!(net::all(&mut client)?, b"");
    };
    limit.lift()?;
    keeper.let_go()?;
    assert_eq!(net::all(next)?, b"x");
    running.close()?;
    Ok(())
}

/// Whether the next request has been let in, or refused.
fn entered(keeper: &Keeper, told: &Receiver<FailureKind>) -> Result<bool> {
    let deadline = Instant::now() + net::PATIENCE;
    while Instant::now() < deadline {
        if keeper.has_one_come() {
            return Ok(true);
        }
        if told.try_recv().is_ok() {
            return Ok(false);
        }
        thread::yield_now();
    }
    Err("neither".into())
}

/// Ends its server when so many requests have not been started.
struct Refused(StopHandle, AtomicUsize);

impl Handler<TcpRequest> for Refused {
    fn handle(&self, _conn: &mut TcpRequest) -> io::Result<Next> {
        Err(io::Error::other("there is a thread"))
    }

    fn handle_error(&self, _conn: &mut TcpRequest, failure: &Failure) {
        assert_eq!(failure.kind(), FailureKind::NotStarted);
        if self.1.fetch_sub(1, SeqCst) == 1 {
            self.0.stop();
        }
    }
}

/// A role with so large a stack for each thread that none can be had.
fn serves_without_threads(_: &[String]) -> Result {
    const CLIENTS: usize = 3;
    let refused = |stop| Refused(stop, AtomicUsize::new(CLIENTS));
    let mut server = Server::with_stop(tcp()?, Threading::new(), refused)?;
    let address = server.local_addr()?;
    let clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| net::connect(address)).collect::<io::Result<_>>()?;
    server.serve_forever()?;
    for client in clients {
        assert_eq!(net::all(client)?, b"", "a clean end, no reset");
    }
    server.close()?;
    Ok(())
}

fn a_server_that_has_no_thread_at_all_refuses_and_goes_on() -> Result {
    let stack = (1_u64 << 47).to_string();
    role::finished(role::command("serves without threads")?.env("RUST_MIN_STACK", stack).spawn()?)
}

/// A handler that forks, and returns in the child too, as if that were a thread.
#[expect(unsafe_code, reason = "an application that forks by itself")]
fn a_forked_copy_of_a_thread_takes_no_requests_of_its_parent() -> Result {
    let (ended, ends) = channel();
    let running = ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
        conn.write_all(b"x")?;
        // SAFETY: the other threads wait in system calls, and hold no locks.
        match unsafe { fork() }? {
            ForkResult::Child => Ok(()),
            ForkResult::Parent { child } => {
                // The child's only thread ends, and so does the child.
                waitpid(child, None)?;
                ended.send(()).map_err(io::Error::other)
            }
        }
    })?
    .spawn()?;
    let address = running.local_addr()?;
    for _ in 0..3 {
        assert_eq!(ask(address)?, b"x");
        ends.recv_timeout(net::PATIENCE)?;
    }
    running.close()?;
    Ok(())
}

/// Uses more than `pages` pages of the stack.
fn deep(pages: usize) -> usize {
    let page = black_box([0_u8; 4096]);
    if pages == 0 { 0 } else { deep(pages - 1) + 1 + usize::from(page[pages % 4096]) }
}

/// With the default of 2 MiB this ends the process.
fn a_stack_is_as_large_as_asked_for() -> Result {
    for fresh in [false, true] {
        let strategy = Threading::new().stack_size(16 << 20).fresh_threads(fresh);
        let running = Server::new_fn(tcp()?, strategy, |conn: &mut TcpRequest| {
            conn.write_all(deep(1000).to_string().as_bytes())
        })?
        .spawn()?;
        assert_eq!(ask(running.local_addr()?)?, b"1000");
        running.close()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    let played = role::play(&[("serves without threads", serves_without_threads)]);
    played.unwrap_or_else(|| {
        alone::run(cases![
            threads_are_used_again,
            fresh_threads_have_fresh_thread_locals,
            a_request_waits_for_no_other_and_has_its_thread_for_itself,
            those_that_wait_are_gone_when_serving_ends,
            a_request_that_leaves_nobody_to_wait_is_refused_until_a_thread_comes_back,
            a_server_that_has_no_thread_at_all_refuses_and_goes_on,
            a_stack_is_as_large_as_asked_for,
            a_forked_copy_of_a_thread_takes_no_requests_of_its_parent,
        ])
    })
}
