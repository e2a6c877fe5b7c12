//! Several transports in one server: `Beside` and `Many`, under the strategies of one process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net as unix;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use socketserver::{
    Beside, Concurrency, Counters, Drain, Either, Handler, Limits, Listeners, Many, Next, Outcome,
    ReadLine, Request, Selecting, Server, Sync, Tcp, TcpRequest, ThreadPool, Threading, Transport,
    Udp, UnixStream, UnixStreamRequest, Waiter, by_ip,
};
use support::net::{Echo, Reach, all, assert_nobody_listens, connect};
use support::processes::eventually;
use support::time::let_pass;
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// IPv4 and IPv6, beside a Unix socket.
type Three = Beside<Many<Tcp>, UnixStream>;

fn at(address: &str) -> io::Result<Tcp> {
    Tcp::options().bind(address)
}

fn three(dir: &Path) -> io::Result<Three> {
    let many = Many::new([at("127.0.0.1:0")?, at("[::1]:0")?])?;
    Beside::new(many, UnixStream::open(dir)?)
}

/// What the one that listens there answers.
fn ask(to: SocketAddr, line: &str) -> io::Result<String> {
    let answer = Tcp::ask(&to, Path::new(""), line.as_bytes())?;
    String::from_utf8(answer).map_err(io::Error::other)
}

fn ask_unix(to: &unix::SocketAddr, line: &str) -> io::Result<String> {
    let answer = UnixStream::ask(to, Path::new(""), line.as_bytes())?;
    String::from_utf8(answer).map_err(io::Error::other)
}

/// Says which side a request has come from.
struct Tells;

impl Handler<Either<TcpRequest, UnixStreamRequest>> for Tells {
    fn handle(&self, conn: &mut Either<TcpRequest, UnixStreamRequest>) -> io::Result<Next> {
        let mut line = String::new();
        conn.read_line_bounded(&mut line, 100)?;
        let side = match conn {
            Either::First(tcp) if tcp.peer().is_ipv4() => "v4",
            Either::First(_) => "v6",
            Either::Second(_) => "unix",
        };
        write!(conn, "{side}: {line}")?;
        Ok(Next::Done)
    }

    fn missing(&self, input: &[u8]) -> usize {
        socketserver::line_missing(input, 100)
    }
}

fn all_are_served<C>(strategy: C) -> Result
where
    C: Concurrency<Three, Tells> + Send + 'static,
{
    let dir = tempfile::tempdir()?;
    let running = Server::new(three(dir.path())?, strategy, Tells)?.spawn()?;
    let (many, unix) = running.local_addr()?;
    let path = unix.as_pathname().ok_or("no path")?.to_owned();
    for number in 0..30 {
        let line = format!("line {number}\n");
        assert_eq!(ask(many[0], &line)?, format!("v4: {line}"));
        assert_eq!(ask_unix(&unix, &line)?, format!("unix: {line}"));
        assert_eq!(ask(many[1], &line)?, format!("v6: {line}"));
    }
    running.close()?;
    many.into_iter().for_each(assert_nobody_listens);
    assert!(!path.exists(), "the socket file is left");
    Ok(())
}

#[test]
fn all_are_served_under_every_strategy() -> Result {
    all_are_served(Sync)?;
    all_are_served(Threading::new())?;
    all_are_served(ThreadPool::new(2))?;
    all_are_served(Selecting::new(Sync))?;
    all_are_served(Selecting::new(Threading::new()))?;
    all_are_served(Selecting::new(ThreadPool::new(2)))
}

#[test]
fn they_serve_a_crowd_that_comes_to_all_at_once() -> Result {
    let dir = tempfile::tempdir()?;
    let counters = Counters::new()?;
    let server = Server::new(three(dir.path())?, Threading::new(), Tells)?.counters(&counters);
    let running = server.spawn()?;
    let (many, unix) = running.local_addr()?;
    std::thread::scope(|scope| {
        let clients = Vec::from_iter((0..12).map(|client| {
            let (many, unix) = (&many, &unix);
            scope.spawn(move || -> io::Result<()> {
                for _ in 0..25 {
                    match client % 3 {
                        0 => assert_eq!(ask(many[0], "x\n")?, "v4: x\n"),
                        1 => assert_eq!(ask(many[1], "x\n")?, "v6: x\n"),
                        _ => assert_eq!(ask_unix(unix, "x\n")?, "unix: x\n"),
                    }
                }
                Ok(())
            })
        }));
        clients.into_iter().try_for_each(|client| client.join().expect("a client panicked"))
    })?;
    running.close()?;
    assert_eq!((counters.accepted(), counters.finished()), (300, 300), "{counters}");
    Ok(())
}

#[test]
fn packets_and_connections_go_beside_each_other() -> Result {
    let transport = Beside::new(at("127.0.0.1:0")?, Udp::open(Path::new(""))?)?;
    let running = Server::new(transport, Sync, Echo)?.spawn()?;
    let (tcp, udp) = running.local_addr()?;
    for _ in 0..3 {
        assert_eq!(ask(tcp, "over TCP\n")?, "over TCP\n");
        assert_eq!(Udp::ask(&udp, Path::new(""), b"over UDP\n")?, b"over UDP\n");
    }
    running.close()?;
    Ok(())
}

#[test]
fn pairs_nest() -> Result {
    let pair = || Beside::new(at("127.0.0.1:0")?, at("127.0.0.1:0")?);
    let transport = Beside::new(pair()?, Beside::new(pair()?, Many::new([pair()?, pair()?])?)?)?;
    let running = Server::new(transport, Threading::new(), Echo)?.spawn()?;
    let ((a, b), ((c, d), rest)) = running.local_addr()?;
    let more = rest.into_iter().flat_map(|(one, other)| [one, other]);
    for address in [a, b, c, d].into_iter().chain(more) {
        assert_eq!(ask(address, "deep\n")?, "deep\n");
    }
    running.close()?;
    Ok(())
}

/// The clients who wait, each at its listener, in the order in which they are served.
fn order(clients: &[(usize, usize)]) -> Result<Vec<usize>> {
    let many = Many::new([at("127.0.0.1:0")?, at("127.0.0.1:0")?, at("127.0.0.1:0")?])?;
    let mut server = Server::new_fn(many, Sync, |conn: &mut TcpRequest| {
        let mut line = Vec::new();
        conn.read_until(b'\n', &mut line).map(drop)
    })?;
    let addresses = server.local_addr()?;
    let mut waiting = Vec::new();
    for (listener, count) in clients {
        for _ in 0..*count {
            let mut client = connect(addresses[*listener])?;
            client.write_all(b"x\n")?;
            waiting.push((*listener, client));
        }
    }
    let mut served = Vec::new();
    while !waiting.is_empty() {
        assert_eq!(server.handle_request()?, Outcome::Handled);
        // That one's connection has been shut down.
        let over = |(_, client): &(usize, TcpStream)| has_ended(client);
        let place = waiting.iter().position(over).ok_or("nobody was served")?;
        served.push(waiting.remove(place).0);
    }
    Ok(served)
}

fn has_ended(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    matches!((&*client).read(&mut [0]), Ok(0))
}

#[test]
fn no_listener_starves_the_others() -> Result {
    let served = order(&[(0, 40), (1, 3), (2, 1)])?;
    let last = |listener| served.iter().rposition(|one| *one == listener);
    // They take turns, so whoever is behind no one at its own listener waits for one of each other.
    assert!(last(2).is_some_and(|place| place < 3), "{served:?}");
    assert!(last(1).is_some_and(|place| place < 9), "{served:?}");
    Ok(())
}

struct Steered {
    running: socketserver::Running<Many<Tcp>, Threading, Echo>,
    listeners: Listeners<Tcp>,
}

fn steered() -> io::Result<Steered> {
    let many = Many::new([at("127.0.0.1:0")?, at("127.0.0.1:0")?])?;
    let listeners = many.listeners();
    let running = Server::new(many, Threading::new(), Echo)?.spawn()?;
    Ok(Steered { running, listeners })
}

#[test]
fn who_is_suspended_keeps_its_port_and_those_who_come_wait() -> Result {
    let Steered { running, listeners } = steered()?;
    let addresses = running.local_addr()?;
    assert_eq!(ask(addresses[0], "before\n")?, "before\n");
    for _ in 0..2 {
        listeners.suspend(0)?;
        let mut waiting = connect(addresses[0])?;
        waiting.write_all(b"later\n")?;
        // Idle or not, nothing is taken from it.
        assert_eq!(ask(addresses[1], "meanwhile\n")?, "meanwhile\n");
        let_pass(Duration::from_millis(30));
        assert_eq!(ask(addresses[1], "meanwhile\n")?, "meanwhile\n");
        waiting.set_nonblocking(true)?;
        let nothing = waiting.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(nothing, Err(ErrorKind::WouldBlock));
        waiting.set_nonblocking(false)?;
        // Twice does no harm.
        listeners.suspend(0)?;
        listeners.resume(0)?;
        listeners.resume(0)?;
        assert_eq!(all(waiting)?, b"later\n");
        assert_eq!(running.local_addr()?, addresses);
    }
    assert_eq!(listeners.suspend(2).unwrap_err().kind(), ErrorKind::NotFound);
    running.close()?;
    Ok(())
}

#[test]
fn a_server_without_listeners_waits_for_some() -> Result {
    let many = Many::new([])?;
    let listeners = many.listeners();
    let running = Server::new(many, Threading::new(), Echo)?.spawn()?;
    for number in 0..3 {
        let added = at("127.0.0.1:0")?;
        assert_eq!(listeners.add(added)?, number);
        let addresses = running.local_addr()?;
        for address in addresses {
            assert_eq!(ask(address, "added\n")?, "added\n");
        }
    }
    let addresses = running.local_addr()?;
    running.close()?;
    addresses.into_iter().for_each(assert_nobody_listens);
    let closed = listeners.add(at("127.0.0.1:0")?).unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::NotConnected, "{closed}");
    Ok(())
}

#[test]
fn there_are_sixty_four_at_most() -> Result {
    let many = Many::new((0..64).map(|_| at("127.0.0.1:0").unwrap()))?;
    let refused = many.listeners().add(at("127.0.0.1:0")?).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded, "{refused}");
    let mut server = Server::new(many, Sync, Echo)?;
    let client = Tcp::send(&server.local_addr()?[63], Path::new(""), b"the last\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(all(client)?, b"the last\n");
    Ok(())
}

#[test]
fn one_whose_descriptor_does_not_tell_all_is_refused() -> Result {
    let spins = Udp::options().spin(Duration::from_micros(50)).bind("127.0.0.1:0")?;
    let refused = Beside::new(at("127.0.0.1:0")?, spins).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    assert!(refused.to_string().contains("spin"), "{refused}");
    Ok(())
}

/// Has so many requests, and then never another.
struct Few(Mutex<usize>, unix::UnixStream);

#[derive(Debug)]
struct Task;

impl Request for Task {}

impl Few {
    fn new(count: usize) -> io::Result<Self> {
        let (socket, mut other) = unix::UnixStream::pair()?;
        other.write_all(b"readable for ever")?;
        Ok(Self(Mutex::new(count), socket))
    }
}

impl Transport for Few {
    type Request = Task;

    fn get_request(&self) -> io::Result<Option<Task>> {
        let mut left = self.0.lock().unwrap();
        let next = left.checked_sub(1);
        *left = next.unwrap_or(0);
        Ok(next.map(|_| Task))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable(&self.1)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }
}

impl AsFd for Few {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }
}

#[test]
fn it_is_over_when_no_transport_will_have_another_request() -> Result {
    fn under<C>(strategy: C) -> Result
    where
        C: Concurrency<Beside<Few, Few>, Counting> + Send + 'static,
    {
        let counters = Counters::new()?;
        let transport = Beside::new(Few::new(3)?, Few::new(20)?)?;
        let mut server = Server::new(transport, strategy, Counting)?.counters(&counters);
        without_hanging(move || {
            server.serve_forever()?;
            // It remains so.
            server.serve_forever()?;
            server.close().map(drop)
        })??;
        assert_eq!((counters.accepted(), counters.finished()), (23, 23));
        Ok(())
    }
    under(Sync)?;
    under(Threading::new())?;
    under(ThreadPool::new(3))
}

struct Counting;

impl<R> Handler<R> for Counting {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        Ok(Next::Done)
    }
}

#[test]
fn they_have_one_admission() -> Result {
    let pair = Beside::new(at("127.0.0.1:0")?, at("127.0.0.1:0")?)?;
    let server = Server::new(pair, Threading::new(), Echo)?;
    let running = server.limits(Limits::new().per_source(2, by_ip))?.spawn()?;
    let (first, second) = running.local_addr()?;
    let mut inside = [connect(first)?, connect(second)?];
    // The third is of the same source, wherever it comes.
    for address in [first, second] {
        assert!(support::net::is_closed(connect(address)?)?);
    }
    for client in &mut inside {
        client.write_all(b"in\n")?;
        assert_eq!(all(client)?, b"in\n");
    }
    running.close()?;
    Ok(())
}

#[test]
fn they_have_one_drain_and_one_report() -> Result {
    let dir = tempfile::tempdir()?;
    let counters = Counters::new()?;
    let drain = Drain::new().finish_within(Duration::from_millis(20));
    let server = Server::new(three(dir.path())?, Threading::new(), Tells)?;
    let running = server.drain(drain).counters(&counters).spawn()?;
    let (many, unix) = running.local_addr()?;
    let (mut tcp, mut within) = (connect(many[0])?, unix::UnixStream::connect_addr(&unix)?);
    eventually("both are in", || counters.active() == 2)?;
    let report = running.close()?;
    assert_eq!((tcp.read(&mut [0])?, within.read(&mut [0])?), (0, 0));
    assert_eq!(report.cut, 2, "{report}");
    Ok(())
}
