//! Several transports in one server, under the strategies that fork. Each case runs in a process of
//! its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::Signal;
use socketserver::{
    Beside, Concurrency, Counters, Either, ForkServer, Forking, Handler, LocalAddr, Many, Next,
    PreForking, Selecting, Server, Sync, Tcp, TcpRequest, Threading, Udp, UnixStream,
    UnixStreamRequest, Workers,
};
use support::alone;
use support::apart::Apart;
use support::net::{self, Echo, Reach, assert_nobody_listens, connect};
use support::processes::{descriptors, eventually, no_child_is_left};
use support::signals;
use support::time::let_pass;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("all_are_served_by_forking", || all_are_served(Forking::new())),
        ("all_are_served_by_a_fork_server", || all_are_served(ForkServer::new())),
        ("all_are_served_by_pre_forking", || all_are_served(PreForking::new(2, Sync)?)),
        ("all_are_served_by_pre_forking_with_threads", || {
            all_are_served(PreForking::new(2, Threading::new())?)
        }),
        ("all_are_served_by_pre_forking_with_tables", || {
            all_are_served(PreForking::new(2, Selecting::new(Sync))?)
        }),
        ("packets_are_answered_by_the_socket_that_they_came_to", packets),
        ("one_that_is_added_is_served_by_a_fork_server", added_to_a_fork_server),
        ("one_that_is_added_is_served_by_the_next_workers", added_to_workers),
        ("one_that_is_suspended_is_so_for_all_workers", suspended),
        ("a_worker_that_is_to_end_lets_go_of_all", lets_go),
        ("shards_are_of_one_transport_alone", shards),
        ("nothing_remains", nothing_remains),
    ])
}

type Three = Beside<Many<Tcp>, UnixStream>;

fn at(address: &str) -> io::Result<Tcp> {
    Tcp::options().bind(address)
}

fn three(path: &Path) -> io::Result<Three> {
    let many = Many::new([at("127.0.0.1:0")?, at("[::1]:0")?])?;
    Beside::new(many, UnixStream::options().bind(path)?)
}

/// Says which side a request has come from.
struct Tells;

impl Handler<Either<TcpRequest, UnixStreamRequest>> for Tells {
    fn handle(&self, conn: &mut Either<TcpRequest, UnixStreamRequest>) -> io::Result<Next> {
        conn.read_exact(&mut [0])?;
        let side = match conn {
            Either::First(tcp) if tcp.peer().is_ipv4() => "v4",
            Either::First(_) => "v6",
            Either::Second(_) => "unix",
        };
        conn.write_all(side.as_bytes())?;
        Ok(Next::Done)
    }
}

/// What it says.
fn side(mut client: impl Read + Write) -> io::Result<String> {
    client.write_all(b"?")?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    Ok(text)
}

fn within(path: &Path) -> io::Result<unix::UnixStream> {
    let client = unix::UnixStream::connect(path)?;
    client.set_read_timeout(Some(net::PATIENCE))?;
    Ok(client)
}

/// A server in a process of its own, which SIGUSR2 stops.
struct Seen {
    server: Apart,
    many: Vec<SocketAddr>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn serve<C: Concurrency<Three, Tells>>(strategy: C) -> Result<Seen> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let (pipe, mut bound) = unix::UnixStream::pair()?;
    let there = path.clone();
    // Bound there, as a process that has had the sockets would keep them.
    let server = Apart::run(move || {
        let transport = three(&there)?;
        let addresses = transport.local_addr()?.0;
        let mut server = Server::new(transport, strategy, Tells)?;
        signals::stop_on_usr2(server.stop_handle())?;
        for address in addresses {
            writeln!(&pipe, "{address}")?;
        }
        drop(pipe);
        server.serve_forever()?;
        server.close()?;
        assert!(no_child_is_left());
        Ok("closed".into())
    })?;
    let mut text = String::new();
    let mut byte = [0];
    while text.matches('\n').count() < 2 && bound.read(&mut byte)? > 0 {
        text.push(char::from(byte[0]));
    }
    let many = text.lines().map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(Seen { server, many, path, _dir: dir })
}

fn all_are_served<C: Concurrency<Three, Tells>>(strategy: C) -> Result {
    let seen = serve(strategy)?;
    for _ in 0..20 {
        assert_eq!(side(connect(seen.many[0])?)?, "v4");
        assert_eq!(side(connect(seen.many[1])?)?, "v6");
        assert_eq!(side(within(&seen.path)?)?, "unix");
    }
    seen.server.signal(Signal::SIGUSR2)?;
    assert_eq!(seen.server.end()?, "closed");
    seen.many.into_iter().for_each(assert_nobody_listens);
    assert!(!seen.path.exists(), "the socket file is left");
    Ok(())
}

fn packets() -> Result {
    let many = Many::new([Udp::open(Path::new(""))?, Udp::open(Path::new(""))?])?;
    let mut server = Server::new(many, ForkServer::new(), Echo)?;
    let addresses = server.local_addr()?;
    for address in [addresses[1], addresses[0], addresses[1]] {
        // Connected, so that nobody else is heard.
        let client = Udp::send(&address, Path::new(""), b"whose\n")?;
        server.handle_request()?;
        assert_eq!(Udp::receive(client)?, b"whose\n");
    }
    server.close()?;
    Ok(())
}

fn added_to_a_fork_server() -> Result {
    let many = Many::new([at("127.0.0.1:0")?])?;
    let listeners = many.listeners();
    let mut server = Server::new(many, ForkServer::new(), Echo)?;
    listeners.add(at("127.0.0.1:0")?)?;
    for address in server.local_addr()? {
        let client = Tcp::send(&address, Path::new(""), b"added\n")?;
        server.handle_request()?;
        assert_eq!(Tcp::receive(client)?, b"added\n");
    }
    server.close()?;
    Ok(())
}

/// A server of `Many` in a process of its own, whose listeners SIGUSR1 makes to do as `on_usr1` says,
/// in the process that supervises.
struct Supervised {
    server: Apart,
    addresses: Vec<SocketAddr>,
    workers: Workers,
    counters: Counters,
}

fn supervised(
    strategy: PreForking<impl Concurrency<Many<Tcp>, Echo>>,
    many: Many<Tcp>,
    on_usr1: impl Fn() + Send + std::marker::Sync + 'static,
) -> Result<Supervised> {
    let (addresses, workers, counters) = (many.local_addr()?, strategy.workers(), Counters::new()?);
    let counts = counters.clone();
    let server = Apart::run(move || {
        let mut server = Server::new(many, strategy, Echo)?.counters(&counts);
        signals::stop_on_usr2(server.stop_handle())?;
        signals::on_usr1(on_usr1)?;
        server.serve_forever()?;
        server.close()?;
        Ok("closed".into())
    })?;
    eventually("they serve", || workers.serving() == workers.processes())?;
    Ok(Supervised { server, addresses, workers, counters })
}

fn ask(to: SocketAddr) -> io::Result<()> {
    assert_eq!(Tcp::ask(&to, Path::new(""), b"asked\n")?, b"asked\n");
    Ok(())
}

fn added_to_workers() -> Result {
    let (many, third) = (Many::new([at("127.0.0.1:0")?])?, at("127.0.0.1:0")?);
    let (listeners, third_at) = (many.listeners(), third.local_addr()?);
    let strategy = PreForking::new(2, Sync)?;
    let workers = strategy.workers();
    let third = std::sync::Mutex::new(Some(third));
    let seen = supervised(strategy, many, move || {
        let added = third.lock().unwrap().take().map(|third| listeners.add(third));
        assert!(matches!(added, Some(Ok(1))));
        workers.restart();
    })?;
    ask(seen.addresses[0])?;
    seen.server.signal(Signal::SIGUSR1)?;
    for _ in 0..10 {
        ask(third_at)?;
        ask(seen.addresses[0])?;
    }
    seen.server.signal(Signal::SIGUSR2)?;
    assert_eq!(seen.server.end()?, "closed");
    assert_eq!(seen.workers.died(), 0);
    Ok(())
}

fn suspended() -> Result {
    let many = Many::new([at("127.0.0.1:0")?, at("127.0.0.1:0")?])?;
    let listeners = many.listeners();
    let resumes = std::sync::atomic::AtomicBool::new(false);
    let seen = supervised(PreForking::new(3, Sync)?, many, move || {
        let done = if resumes.swap(true, std::sync::atomic::Ordering::SeqCst) {
            listeners.resume(0)
        } else {
            listeners.suspend(0)
        };
        assert!(done.is_ok());
    })?;
    seen.addresses.iter().try_for_each(|address| ask(*address))?;
    seen.server.signal(Signal::SIGUSR1)?;
    let_pass(Duration::from_millis(100));
    let mut waiting = connect(seen.addresses[0])?;
    waiting.write_all(b"later\n")?;
    for _ in 0..10 {
        ask(seen.addresses[1])?;
    }
    let_pass(Duration::from_millis(50));
    assert_eq!(seen.counters.accepted(), 12, "nobody has taken it");
    seen.server.signal(Signal::SIGUSR1)?;
    assert_eq!(net::all(waiting)?, b"later\n");
    seen.server.signal(Signal::SIGUSR2)?;
    assert_eq!(seen.server.end()?, "closed");
    Ok(())
}

/// Has its client wait, and nobody else.
struct Holds;

impl Handler<Either<TcpRequest, TcpRequest>> for Holds {
    fn handle(&self, conn: &mut Either<TcpRequest, TcpRequest>) -> io::Result<Next> {
        conn.write_all(b"in")?;
        conn.read_exact(&mut [0])?;
        Ok(Next::Done)
    }
}

fn lets_go() -> Result {
    let pair = Beside::new(at("127.0.0.1:0")?, at("127.0.0.1:0")?)?;
    let (first, second) = pair.local_addr()?;
    let strategy = PreForking::new(1, Sync)?;
    let workers = strategy.workers();
    let server = Apart::run(move || {
        let mut server = Server::new(pair, strategy, Holds)?;
        signals::stop_on_usr2(server.stop_handle())?;
        server.serve_forever()?;
        server.close()?;
        Ok("closed".into())
    })?;
    let mut client = connect(first)?;
    client.read_exact(&mut [0; 2])?;
    server.signal(Signal::SIGUSR2)?;
    // It has a request still, and nobody who comes now is to wait for that.
    for address in [first, second] {
        let refused = || {
            let kind = connect(address).map(drop).map_err(|error| error.kind());
            kind == Err(ErrorKind::ConnectionRefused)
        };
        eventually("nobody listens", refused)?;
    }
    assert_eq!(workers.process_ids().len(), 1, "it has ended");
    client.write_all(b"x")?;
    assert_eq!(server.end()?, "closed");
    Ok(())
}

fn shards() -> Result {
    let tcp = Tcp::options().allow_reuse_port(true).bind("127.0.0.1:0")?;
    let strategy = PreForking::new(2, Sync)?.shards(&tcp)?;
    // A worker would be told of a socket that it does not have.
    let error = Server::new(Many::new([tcp])?, strategy, Echo).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    Ok(())
}

fn nothing_remains() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let before = descriptors()?;
    for _ in 0..3 {
        let server = Server::new(three(&path)?, Selecting::new(Sync), Tells)?;
        let running = server.spawn()?;
        assert_eq!(side(within(&path)?)?, "unix");
        running.close()?;
        assert_eq!(descriptors()?, before);
        assert!(!path.exists());
    }
    Ok(())
}
