//! Rows D1 to D13 of `docs/from-python.md`: the loop, single steps, and the order of the hooks.
//! Each case has a process of its own, as some send signals and some use up descriptors.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use socketserver::{
    Concurrency, Handler, Next, Outcome, Request, Server, StopHandle, Sync as OneByOne, Tcp,
    TcpServer, ThreadPool, Threading, Transport, Udp, UnixDatagram, UnixStream, Waiter,
};
use support::net::{self, Echo, Reach};
use support::story::{self, Event, Script, Traced};
use support::time::let_pass;
use support::trace::Trace;
use support::{alone, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn count(words: &[String], word: &str) -> usize {
    words.iter().filter(|other| *other == word).count()
}

/// D1: Python wakes up twice a second.
fn an_idle_server_is_woken_by_its_stop_alone() -> Result {
    let trace = Trace::new()?;
    let script = Script { events: &[], trace: trace.clone() };
    let running = Server::new(Traced::new(&trace)?, OneByOne, script)?.spawn()?;
    // Long enough for each timer that it might have.
    let_pass(Duration::from_millis(1200));
    running.stop();
    running.join()?.close()?;
    let words = trace.words()?;
    assert!(count(&words, "wait") <= 1, "{words:?}");
    assert_eq!(count(&words, "service_actions"), 0);
    Ok(())
}

/// Stops its server when `service_actions` has been called so often.
struct Ticks {
    until: usize,
    seen: AtomicUsize,
    panics: bool,
    stop: OnceLock<StopHandle>,
}

impl Ticks {
    fn until(until: usize) -> Self {
        Self { until, seen: AtomicUsize::new(0), panics: false, stop: OnceLock::new() }
    }

    fn serve<T, C>(self, transport: T, concurrency: C) -> Result<usize>
    where
        T: Transport,
        C: Concurrency<T, Self>,
        Self: Handler<T::Request>,
    {
        let mut server =
            Server::new(transport, concurrency, self)?.service_interval(Duration::from_millis(1));
        let stop = server.stop_handle();
        server.handler().stop.set(stop).map_err(|_| "set twice")?;
        server.serve_forever()?;
        Ok(server.handler().seen.load(Ordering::SeqCst))
    }
}

impl<R> Handler<R> for Ticks {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        Ok(Next::Done)
    }

    fn service_actions(&self) {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.until {
            self.stop.get().expect("set before serving").stop();
        }
        if self.panics {
            panic!("as it is told");
        }
    }
}

/// D2.
fn service_actions_comes_on_its_interval_and_only_where_set() -> Result {
    let dir = tempfile::tempdir()?;
    assert_eq!(Ticks::until(5).serve(Tcp::open(dir.path())?, OneByOne)?, 5);
    Ok(())
}

/// D2.
fn service_actions_comes_after_each_request() -> Result {
    let trace = Trace::new()?;
    let script = Script { events: &[], trace: trace.clone() };
    let mut server = Server::new(Traced::new(&trace)?, OneByOne, script)?;
    let (address, stop) = (server.local_addr()?, server.stop_handle());
    let clients = thread::spawn(move || -> io::Result<()> {
        for _ in 0..4 {
            net::all(net::connect(address)?)?;
        }
        stop.stop();
        Ok(())
    });
    server.serve_forever()?;
    clients.join().map_err(|_| "the clients panicked")??;
    let mut words = trace.words()?;
    words.retain(|word| word == "shutdown_request" || word == "service_actions");
    assert_eq!(words, ["shutdown_request", "service_actions"].repeat(4));
    Ok(())
}

/// D2: in Python the loop ends.
fn a_panic_in_service_actions_is_contained() -> Result {
    let dir = tempfile::tempdir()?;
    let ticks = Ticks { panics: true, ..Ticks::until(3) };
    assert_eq!(ticks.serve(Tcp::open(dir.path())?, OneByOne)?, 3);
    Ok(())
}

/// What `handle_request` says of a script's only request, or of none.
fn step(
    events: &'static [(&'static str, Event)],
    timeout: Option<Duration>,
    client: bool,
) -> Result<(Outcome, Vec<String>)> {
    let trace = Trace::new()?;
    let script = Script { events, trace: trace.clone() };
    let mut server = Server::new(Traced::new(&trace)?, OneByOne, script)?;
    let _client = client.then(|| net::connect(server.local_addr()?)).transpose()?;
    let outcome = match timeout {
        Some(timeout) => server.handle_request_timeout(timeout)?,
        None => server.handle_request()?,
    };
    Ok((outcome, trace.words()?))
}

/// D3: Python does not tell.
fn handle_request_says_what_happened() -> Result {
    let outcome = |events, client| Ok::<_, Box<dyn Error>>(step(events, None, client)?.0);
    assert_eq!(outcome(&[], true)?, Outcome::Handled);
    assert_eq!(outcome(&[("handle", Event::Error)], true)?, Outcome::Failed);
    assert_eq!(outcome(&[("verify_request", Event::Reject)], true)?, Outcome::Rejected);
    assert_eq!(outcome(&[("verify_request", Event::Error)], true)?, Outcome::Failed);
    let (_, words) = step(&[], None, true)?;
    assert_eq!(count(&words, "service_actions"), 0);

    let mut server = TcpServer::bind("127.0.0.1:0", Echo)?;
    server.stop_handle().stop();
    assert_eq!(server.handle_request()?, Outcome::Stopped);
    Ok(())
}

/// D3, D4.
fn a_timeout_is_told_once() -> Result {
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let (outcome, words) = step(&[], Some(timeout), false)?;
        assert_eq!(outcome, Outcome::TimedOut);
        assert_eq!(count(&words, "handle_timeout"), 1, "{words:?}");
        assert_eq!(count(&words, "service_actions"), 0);
    }
    Ok(())
}

/// D3: a request that is there already is taken, however short the timeout.
fn a_timeout_of_zero_looks_once() -> Result {
    let (outcome, words) = step(&[], Some(Duration::ZERO), true)?;
    assert_eq!(outcome, Outcome::Handled);
    assert_eq!(count(&words, "handle_timeout"), 0);
    Ok(())
}

/// D3.
fn signals_move_no_deadline() -> Result {
    signals::interrupt_on_usr1()?;
    // Ten seconds of signals: a wait that begins anew with each would outlast them.
    let script = "i=0; while [ $i -lt 1000 ] && kill -USR1 $0; do sleep 0.01; i=$((i+1)); done";
    let pid = std::process::id().to_string();
    let mut sender = Command::new("sh").args(["-c", script, &pid]).spawn()?;
    let timeout = Duration::from_millis(300);
    let patience = Instant::now() + net::PATIENCE;
    while signals::seen() == 0 {
        assert!(Instant::now() < patience, "no signal has come");
        thread::yield_now();
    }

    let before = Instant::now();
    let (outcome, words) = step(&[], Some(timeout), false)?;
    let waited = before.elapsed();

    let still_sending = sender.try_wait()?.is_none();
    sender.kill()?;
    sender.wait()?;
    assert_eq!(outcome, Outcome::TimedOut);
    assert_eq!(count(&words, "handle_timeout"), 1);
    assert!(waited >= timeout, "a signal has ended the wait after {waited:?}");
    assert!(still_sending, "the signals have lengthened the wait to {waited:?}");
    Ok(())
}

/// A transport whose every call says one of these errors, and then that there is nothing more;
/// without a socket (T10).
struct Failing {
    errors: RefCell<VecDeque<io::Error>>,
    stop: OnceLock<StopHandle>,
    calls: Cell<usize>,
}

struct Nothing;

impl Request for Nothing {}

impl Transport for Failing {
    type Request = Nothing;

    fn get_request(&self) -> io::Result<Option<Nothing>> {
        self.calls.set(self.calls.get() + 1);
        Err(self.errors.borrow_mut().pop_front().unwrap_or_else(|| {
            self.stop.get().expect("set before serving").stop();
            ErrorKind::WouldBlock.into()
        }))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

/// Counts what it is told of, and frees what it holds.
#[derive(Default)]
struct Reports {
    told: AtomicUsize,
    held: Mutex<Vec<File>>,
}

impl<R> Handler<R> for Reports {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        Ok(Next::Done)
    }

    fn get_request_failed(&self, error: &io::Error) {
        // A panic would be contained here, and prove nothing.
        let told = if error.raw_os_error() == Some(libc::EMFILE) { 1 } else { 1000 };
        self.told.fetch_add(told, Ordering::SeqCst);
        self.held.lock().expect("not poisoned").clear();
    }
}

/// How serving ends after these errors, how often the loop asked, and how often it told.
fn after(errors: &[i32]) -> Result<(io::Result<()>, usize, usize)> {
    let transport = Failing {
        errors: RefCell::new(errors.iter().map(|e| io::Error::from_raw_os_error(*e)).collect()),
        stop: OnceLock::new(),
        calls: Cell::new(0),
    };
    let mut server = Server::new(transport, OneByOne, Reports::default())?;
    server.transport().stop.set(server.stop_handle()).map_err(|_| "set twice")?;
    let served = server.serve_forever();
    let told = server.handler().told.load(Ordering::SeqCst);
    Ok((served, server.transport().calls.get(), told))
}

/// D5.
fn an_error_of_one_connection_is_passed_over() -> Result {
    let (served, calls, told) = after(&[libc::ECONNABORTED, libc::EPROTO, libc::EINTR])?;
    served?;
    assert_eq!((calls, told), (4, 0));
    Ok(())
}

/// D5: Python spins on EBADF when its socket has been closed under it.
fn an_error_of_the_transport_ends_the_loop() -> Result {
    let (served, calls, _) = after(&[libc::EBADF, libc::EBADF])?;
    assert_eq!(served.expect_err("the transport is broken").raw_os_error(), Some(libc::EBADF));
    assert_eq!(calls, 1);
    Ok(())
}

/// D5: Python tries 78,000 times in a second, and tells nobody.
fn want_of_descriptors_is_told_once_and_waited_out() -> Result {
    let (served, calls, told) = after(&[libc::EMFILE; 4])?;
    served?;
    assert_eq!((calls, told), (5, 1));

    setrlimit(Resource::RLIMIT_NOFILE, 64, 64)?;
    let reports = Reports::default();
    let mut server = TcpServer::bind("127.0.0.1:0", reports)?;
    let client = net::connect(server.local_addr()?)?;
    let hoard = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    *server.handler().held.lock().map_err(|_| "poisoned")? = hoard;
    let stop = server.stop_handle();
    let watching = thread::spawn(move || {
        let closed = net::is_closed(client);
        stop.stop();
        closed
    });
    server.serve_forever()?;
    assert!(watching.join().map_err(|_| "the client panicked")??);
    assert_eq!(server.handler().told.load(Ordering::SeqCst), 1);
    Ok(())
}

/// D6.
fn no_transport_waits_in_get_request() -> Result {
    fn says<T: Transport>(transport: io::Result<T>) -> Result<Option<ErrorKind>> {
        Ok(transport?.get_request().err().map(|error| error.kind()))
    }
    let dir = tempfile::tempdir()?;
    let nothing = Some(ErrorKind::WouldBlock);
    assert_eq!(says(Tcp::open(dir.path()))?, nothing);
    assert_eq!(says(Udp::open(dir.path()))?, nothing);
    assert_eq!(says(UnixStream::open(dir.path()))?, nothing);
    assert_eq!(says(UnixDatagram::open(dir.path()))?, nothing);
    // What is taken over from the user too.
    let mine = std::net::TcpListener::bind("127.0.0.1:0")?;
    assert_eq!(says(Tcp::from_socket(mine))?, nothing);
    let mine = net::packets()?;
    assert_eq!(says(Udp::from_socket(mine))?, nothing);
    Ok(())
}

/// D6: the connection itself waits for its peer, as handlers expect.
fn accepted_connections_wait_for_their_peer() -> Result {
    let mut server = TcpServer::bind_fn("127.0.0.1:0", |conn| {
        let flags = nix::fcntl::fcntl(&*conn, nix::fcntl::FcntlArg::F_GETFL)?;
        let close = nix::fcntl::fcntl(&*conn, nix::fcntl::FcntlArg::F_GETFD)?;
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        assert_ne!(close & libc::FD_CLOEXEC, 0);
        io::Write::write_all(conn, b"as expected")
    })?;
    let client = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    assert_eq!(net::all(client)?, b"as expected");
    Ok(())
}

/// D7, D8, D10 to D13; for `Forking` see `parity_forking`.
fn the_hooks_have_one_order_under_sync() -> Result {
    story::play(|| OneByOne, false, true)
}

/// D7, D8, D10 to D13.
fn the_hooks_have_one_order_under_threading() -> Result {
    story::play(Threading::new, false, false)
}

/// D7, D8, D10 to D13.
fn the_hooks_have_one_order_under_a_thread_pool() -> Result {
    story::play(|| ThreadPool::new(1), false, true)
}

/// D7, D12: whatever a request's hooks do, the loop takes the next.
fn the_loop_outlives_every_story() -> Result {
    for (events, _) in story::CHAPTERS {
        let trace = Trace::new()?;
        let script = Script { events, trace: trace.clone() };
        let mut server = Server::new(Traced::new(&trace)?, OneByOne, script)?;
        let (address, stop) = (server.local_addr()?, server.stop_handle());
        let clients = thread::spawn(move || -> io::Result<()> {
            for _ in 0..3 {
                assert!(net::is_closed(net::connect(address)?)?);
            }
            stop.stop();
            Ok(())
        });
        server.serve_forever()?;
        clients.join().map_err(|_| "the clients panicked")??;
        let words = trace.words()?;
        assert_eq!(count(&words, "shutdown_request"), 3, "{events:?}: {words:?}");
    }
    Ok(())
}

/// D9: what one request has made is another's affair no more.
fn a_request_is_finished_where_its_strategy_runs_it() -> Result {
    fn runs_here(concurrency: impl Concurrency<Tcp, Whereabouts>) -> Result<bool> {
        let handler = Whereabouts::default();
        let mut server = Server::new(Tcp::options().bind("127.0.0.1:0")?, concurrency, handler)?;
        let client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        net::all(client)?;
        let [verified, handled] =
            [&server.handler().verified, &server.handler().handled].map(OnceLock::get);
        assert_eq!(verified, Some(&thread::current().id()));
        Ok(handled == verified)
    }
    assert!(runs_here(OneByOne)?);
    assert!(runs_here(ThreadPool::new(1))?);
    assert!(!runs_here(Threading::new())?);
    Ok(())
}

#[derive(Default)]
struct Whereabouts {
    verified: OnceLock<thread::ThreadId>,
    handled: OnceLock<thread::ThreadId>,
}

impl<R> Handler<R> for Whereabouts {
    fn verify_request(&self, _request: &R) -> io::Result<bool> {
        self.verified.get_or_init(|| thread::current().id());
        Ok(true)
    }

    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        self.handled.get_or_init(|| thread::current().id());
        Ok(Next::Done)
    }
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    alone::run(cases![
        an_idle_server_is_woken_by_its_stop_alone,
        service_actions_comes_on_its_interval_and_only_where_set,
        service_actions_comes_after_each_request,
        a_panic_in_service_actions_is_contained,
        handle_request_says_what_happened,
        a_timeout_is_told_once,
        a_timeout_of_zero_looks_once,
        signals_move_no_deadline,
        an_error_of_one_connection_is_passed_over,
        an_error_of_the_transport_ends_the_loop,
        want_of_descriptors_is_told_once_and_waited_out,
        no_transport_waits_in_get_request,
        accepted_connections_wait_for_their_peer,
        the_hooks_have_one_order_under_sync,
        the_hooks_have_one_order_under_threading,
        the_hooks_have_one_order_under_a_thread_pool,
        the_loop_outlives_every_story,
        a_request_is_finished_where_its_strategy_runs_it,
    ])
}
