//! The live handle: what is being served, and how a server is steered while it serves, under each
//! strategy of one process. What is so of several processes is in `live_fork.rs`.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Concurrency, Counters, Failure, FailureKind, ForkedChild, Handler, Limits, Live, LocalAddr,
    Next, ReadLine, Running, Selecting, Server, Sync, Tcp, TcpRequest, ThreadPool, Threading,
    Transport, Udp, UnixStream, Waiter, by_ip, line_missing,
};
use support::gate::gate;
use support::lines::exchange;
use support::net::{PATIENCE, connect, is_closed};
use support::processes::eventually;
use support::time::let_pass;
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(50);

/// Echoes line after line, to which the end is an error; tells of failures.
struct Lines(Sender<FailureKind>);

impl<R: io::BufRead + Write> Handler<R> for Lines {
    fn handle(&self, conn: &mut R) -> io::Result<Next> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, 100)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        conn.write_all(&line)?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }

    fn handle_error(&self, _request: &mut R, failure: &Failure) {
        let _ = self.0.send(failure.kind());
    }
}

/// Listens at a socket, and counts how often it is looked at and waited for.
struct Looked(Tcp, Arc<AtomicUsize>);

impl Transport for Looked {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        self.1.fetch_add(1, SeqCst);
        self.0.get_request()
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.1.fetch_add(1, SeqCst);
        self.0.wait(waiter)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn server_close(self) -> io::Result<()> {
        self.0.server_close()
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.0.after_fork(child);
    }
}

impl AsFd for Looked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A server, and all that is known of it.
struct Seen<C> {
    running: Running<Looked, C, Lines>,
    address: SocketAddr,
    live: Live,
    counters: Counters,
    failures: Receiver<FailureKind>,
    looks: Arc<AtomicUsize>,
}

fn serve<C>(strategy: C, limits: Option<Limits<Looked>>) -> Result<Seen<C>>
where
    C: Concurrency<Looked, Lines> + Send + 'static,
{
    let (tell, failures) = unbounded();
    let (live, counters, looks) = (Live::new()?, Counters::new()?, Arc::default());
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    let server = Server::new(Looked(tcp, Arc::clone(&looks)), strategy, Lines(tell))?;
    let mut server = server.counters(&counters).live(&live);
    if let Some(limits) = limits {
        server = server.limits(limits)?;
    }
    Ok(Seen { running: server.spawn()?, address, live, counters, failures, looks })
}

/// Runs a test under each strategy that serves in one process, on threads or in a table.
macro_rules! under_each {
    ($($test:ident: $name:ident;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn sync() -> Result {
                $test(Sync)
            }

            #[test]
            fn threading() -> Result {
                $test(Threading::new())
            }

            #[test]
            fn fresh_threads() -> Result {
                $test(Threading::new().fresh_threads(true))
            }

            #[test]
            fn thread_pool() -> Result {
                $test(ThreadPool::new(3))
            }

            #[test]
            fn selecting() -> Result {
                $test(Selecting::new(Sync))
            }

            #[test]
            fn selecting_thread_pool() -> Result {
                $test(Selecting::new(ThreadPool::new(3)))
            }
        }
    )*};
}

under_each! {
    lists: what_is_served_is_listed;
    cuts: one_is_cut;
    suspends: nothing_is_taken_while_suspended;
    stops_while_suspended: a_stop_gets_through_while_suspended;
    steps_at_random: the_laws_hold_whatever_is_done_when;
}

fn lists<C: Concurrency<Looked, Lines> + Send + 'static>(strategy: C) -> Result {
    let seen = serve(strategy, None)?;
    let before = Instant::now();
    let client = connect(seen.address)?;
    exchange(&client, b"one\n")?;
    exchange(&client, b"three\n")?;
    let own = client.local_addr()?.to_string();
    // Between two exchanges, when the second answer has been sent.
    eventually("it is idle", || seen.live.list().iter().any(|served| served.idle))?;
    let [served] = &seen.live.list()[..] else { panic!("{:?}", seen.live.list()) };
    assert_eq!(served.peer.as_deref(), Some(&*own));
    assert_eq!((served.received, served.sent, served.process), (Some(10), Some(10), None));
    assert!(before <= served.since && served.since <= Instant::now());
    drop(client);
    eventually("it has ended", || seen.live.list().is_empty())?;
    // That the peer goes between two lines is an error to this handler, and nobody's cut.
    assert_eq!(seen.failures.recv_timeout(PATIENCE)?, FailureKind::PeerGone);
    seen.running.close()?;
    Ok(())
}

fn cuts<C: Concurrency<Looked, Lines> + Send + 'static>(strategy: C) -> Result {
    let seen = serve(strategy, None)?;
    let mut client = connect(seen.address)?;
    exchange(&client, b"one\n")?;
    let id = seen.live.list()[0].id;
    assert!(!seen.live.cut(id + 1), "there is no such request");
    assert!(seen.live.cut(id));
    assert!(!seen.live.cut(id), "it has been cut");
    assert_eq!(client.read(&mut [0])?, 0);
    assert_eq!(seen.failures.recv_timeout(PATIENCE)?, FailureKind::Cut);
    eventually("it has ended", || seen.counters.active() == 0)?;
    assert_eq!(seen.counters.failed_by(FailureKind::Cut), 1);
    assert!(!seen.live.cut(id), "it has ended");
    // Nobody else has been touched, and the next one is known by another number.
    let other = connect(seen.address)?;
    exchange(&other, b"two\n")?;
    assert_ne!(seen.live.list()[0].id, id);
    exchange(&other, b"three\n")?;
    drop(other);
    eventually("it has ended too", || seen.counters.active() == 0)?;
    let report = seen.running.close()?;
    assert_eq!(report.cut, 0, "the end of the server has cut nothing: {report}");
    Ok(())
}

fn suspends<C: Concurrency<Looked, Lines> + Send + 'static>(strategy: C) -> Result {
    let seen = serve(strategy, None)?;
    for round in 0..3 {
        seen.live.suspend();
        assert!(seen.live.is_suspended());
        // What was being taken at that moment may still be; nobody connects now.
        let waiting = connect(seen.address)?;
        (&waiting).write_all(b"hello\n")?;
        let_pass(A_WHILE);
        let looks = seen.looks.load(SeqCst);
        let_pass(A_WHILE);
        assert!(seen.looks.load(SeqCst) - looks < 3, "it spins, or goes on looking");
        assert_eq!(seen.counters.accepted(), round);
        assert!(seen.live.list().is_empty());
        seen.live.resume();
        assert!(!seen.live.is_suspended());
        let mut answer = [0; 6];
        (&waiting).read_exact(&mut answer)?;
        assert_eq!(&answer, b"hello\n");
        drop(waiting);
        eventually("it has ended", || seen.counters.active() == 0)?;
    }
    assert_eq!(seen.counters.refused(), 0);
    seen.running.close()?;
    Ok(())
}

fn stops_while_suspended<C>(strategy: C) -> Result
where
    C: Concurrency<Looked, Lines> + Send + 'static,
{
    let seen = serve(strategy, None)?;
    let client = connect(seen.address)?;
    exchange(&client, b"one\n")?;
    drop(client);
    eventually("it has ended", || seen.counters.active() == 0)?;
    seen.live.suspend();
    let _waiting = connect(seen.address)?;
    let_pass(A_WHILE);
    without_hanging(move || seen.running.close())??;
    assert_eq!(seen.counters.accepted(), 1);
    Ok(())
}

/// Numbers that are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }
}

/// Clients come, speak, go and are cut, in an order that chance has made, while the server is
/// suspended and resumed and its limits are changed: each request ends once, whoever is let in is
/// answered, nobody is listed who has gone, and the stop gets through.
fn steps_at_random<C: Concurrency<Looked, Lines> + Send + 'static>(strategy: C) -> Result {
    let seen = serve(strategy, Some(Limits::new().rate(1_000_000, Duration::from_secs(1))))?;
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..400 {
        match chance.below(8) {
            0 | 1 if clients.len() < 8 => clients.push(connect(seen.address)?),
            2 if !clients.is_empty() => drop(clients.swap_remove(chance.below(clients.len()))),
            3 if !clients.is_empty() => {
                // One that has been cut says so, or not yet.
                let _ = (&clients[chance.below(clients.len())]).write_all(b"a\n");
            }
            4 => seen.live.suspend(),
            5 => seen.live.resume(),
            6 => {
                let all = seen.live.list();
                if !all.is_empty() {
                    seen.live.cut(all[chance.below(all.len())].id);
                }
            }
            _ => seen.live.set_at_once(1 + chance.below(4))?,
        }
    }
    seen.live.resume();
    seen.live.set_at_once(9)?;
    drop(clients);
    let counters = &seen.counters;
    // Those of the backlog are taken too, and find their peers gone.
    let last = connect(seen.address)?;
    exchange(&last, b"last\n")?;
    drop(last);
    eventually("all have ended", || counters.active() == 0 && seen.live.list().is_empty())?;
    assert_eq!(counters.accepted(), counters.finished() + counters.failed() + counters.refused());
    assert_eq!(counters.refused(), 0);
    without_hanging(move || seen.running.close())??;
    Ok(())
}

#[test]
fn a_handler_that_takes_the_end_for_one_has_finished() -> Result {
    let (live, counters) = (Live::new()?, Counters::new()?);
    let server = socketserver::ThreadingTcpServer::bind_fn("127.0.0.1:0", |conn| {
        conn.write_all(b"?")?;
        conn.read_to_end(&mut Vec::new()).map(drop)
    })?;
    let running = server.counters(&counters).live(&live).spawn()?;
    let mut client = connect(running.local_addr()?)?;
    client.read_exact(&mut [0])?;
    assert!(live.cut(live.list()[0].id));
    assert!(is_closed(&mut client)?);
    eventually("it has ended", || counters.finished() == 1)?;
    assert_eq!(counters.failed(), 0);
    running.close()?;
    Ok(())
}

#[test]
fn what_has_no_connection_is_listed_and_not_cut() -> Result {
    let (gate, keeper) = gate();
    let live = Live::new()?;
    let server = Server::new(Udp::options().bind("127.0.0.1:0")?, Threading::new(), gate)?;
    let running = server.live(&live).spawn()?;
    let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    client.send_to(b"?", running.local_addr()?)?;
    keeper.wait_for_one()?;
    let [served] = &live.list()[..] else { panic!("{:?}", live.list()) };
    assert_eq!(served.peer, Some(client.local_addr()?.to_string()));
    assert_eq!((served.received, served.sent), (None, None));
    assert!(!live.cut(served.id));
    keeper.let_go()?;
    eventually("it has ended", || live.list().is_empty())?;
    running.close()?;
    Ok(())
}

#[test]
fn a_peer_without_an_address_is_a_process_of_a_user() -> Result {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("socket");
    let (gate, keeper) = gate();
    let live = Live::new()?;
    let server = Server::new(UnixStream::options().bind(&path)?, Threading::new(), gate)?;
    let running = server.live(&live).spawn()?;
    let client = std::os::unix::net::UnixStream::connect(&path)?;
    keeper.wait_for_one()?;
    let (user, process) = (nix::unistd::getuid(), std::process::id());
    let wanted = format!("user {user}, process {process}");
    if cfg!(target_os = "linux") {
        assert_eq!(live.list()[0].peer, Some(wanted));
    }
    keeper.let_go()?;
    drop(client);
    running.close()?;
    Ok(())
}

/// A server at a gate, with these limits.
type Gated = (Running<Tcp, Threading, support::gate::Gate>, support::gate::Keeper, Live);

fn gated(limits: Option<Limits<Tcp>>) -> Result<Gated> {
    let (gate, keeper) = gate();
    let live = Live::new()?;
    let mut server = Server::new(Tcp::options().bind("127.0.0.1:0")?, Threading::new(), gate)?;
    if let Some(limits) = limits {
        server = server.limits(limits)?;
    }
    Ok((server.live(&live).spawn()?, keeper, live))
}

#[test]
fn how_many_there_are_at_once_is_changed_while_some_wait() -> Result {
    for limits in [None, Some(Limits::new().at_once(2))] {
        let limited = limits.is_some();
        let (running, keeper, live) = gated(limits)?;
        if !limited {
            live.set_at_once(2)?;
        }
        let address = running.local_addr()?;
        let clients = [(); 4].map(|()| connect(address));
        keeper.wait_for_one()?;
        keeper.wait_for_one()?;
        let_pass(A_WHILE);
        assert!(!keeper.has_one_come());
        // Nobody has left, and the next one is let in.
        live.set_at_once(3)?;
        keeper.wait_for_one()?;
        live.set_at_once(1)?;
        keeper.let_go()?;
        keeper.let_go()?;
        let_pass(A_WHILE);
        assert!(!keeper.has_one_come(), "one is still there");
        keeper.let_go()?;
        keeper.wait_for_one()?;
        keeper.let_go()?;
        assert_eq!(keeper.most(), 3);
        drop(clients);
        running.close()?;
    }
    Ok(())
}

#[test]
fn how_many_there_are_of_a_source_is_changed() -> Result {
    let (running, keeper, live) = gated(Some(Limits::new().per_source(1, by_ip)))?;
    let address = running.local_addr()?;
    let _first = connect(address)?;
    keeper.wait_for_one()?;
    assert!(is_closed(&mut connect(address)?)?, "one of its source is there");
    live.set_per_source(0, 2)?;
    let _second = connect(address)?;
    keeper.wait_for_one()?;
    assert!(is_closed(&mut connect(address)?)?, "two are there");
    keeper.let_go()?;
    keeper.let_go()?;
    running.close()?;
    Ok(())
}

#[test]
fn a_rate_is_changed_while_somebody_waits_for_a_token() -> Result {
    let hour = Duration::from_secs(3600);
    let seen = serve(Threading::new(), Some(Limits::new().rate(2, hour)))?;
    let clients = [connect(seen.address)?, connect(seen.address)?];
    for client in &clients {
        exchange(client, b"one\n")?;
    }
    let waiting = connect(seen.address)?;
    (&waiting).write_all(b"two\n")?;
    let_pass(A_WHILE);
    assert_eq!(seen.counters.accepted(), 2, "there is no token for half an hour");
    // The bucket is as empty as it was, and is filled a million times as fast.
    seen.live.set_rate(2_000_000)?;
    let mut answer = [0; 4];
    (&waiting).read_exact(&mut answer)?;
    assert_eq!(&answer, b"two\n");
    drop((clients, waiting));
    seen.running.close()?;
    Ok(())
}

#[test]
fn what_nobody_has_is_not_changed() -> Result {
    let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
    let (running, _keeper, live) = gated(Some(Limits::new().per_source(1, by_ip)))?;
    // It has begun to serve when it has been connected to.
    let _client = connect(running.local_addr()?)?;
    eventually("it serves", || !live.list().is_empty())?;
    assert_eq!(kind(live.set_per_source(0, 5)), Ok(()));
    assert_eq!(kind(live.set_per_source(1, 5)), Err(io::ErrorKind::NotFound));
    assert_eq!(kind(live.set_per_source(8, 5)), Err(io::ErrorKind::NotFound));
    assert_eq!(kind(live.set_rate(5)), Err(io::ErrorKind::NotFound));
    for zero in [live.set_at_once(0), live.set_per_source(0, 0), live.set_rate(0)] {
        assert_eq!(kind(zero), Err(io::ErrorKind::InvalidInput));
    }
    Ok(())
}

#[test]
fn one_handle_is_for_several_servers() -> Result {
    let live = Live::new()?;
    let server = |letter: u8| {
        let server = socketserver::ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
            conn.write_all(&[letter])?;
            conn.read_to_end(&mut Vec::new()).map(drop)
        });
        server.map(|server| server.live(&live)).and_then(Server::spawn)
    };
    let (first, second) = (server(b'a')?, server(b'b')?);
    let mut clients = [connect(first.local_addr()?)?, connect(second.local_addr()?)?];
    for client in &mut clients {
        client.read_exact(&mut [0])?;
    }
    assert_eq!(live.list().len(), 2);
    for served in live.list() {
        assert!(live.cut(served.id));
    }
    for client in &mut clients {
        assert!(is_closed(client)?);
    }
    live.suspend();
    let mut waiting = [connect(first.local_addr()?)?, connect(second.local_addr()?)?];
    let_pass(A_WHILE);
    live.resume();
    for client in &mut waiting {
        client.read_exact(&mut [0])?;
    }
    drop(waiting);
    first.close()?;
    second.close()?;
    Ok(())
}
