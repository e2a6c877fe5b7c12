//! Rows L1 to L9 of `docs/from-python.md`: from construction to close, and stops at every moment.
//! Each case has a process of its own, as some count what the process holds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net as unix;
use std::process::{self, Command, ExitCode};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socketserver::{
    Bound, Forking, Handler, LocalAddr, Next, Outcome, Server, StopHandle, Sync as OneByOne, Tcp,
    TcpServer, ThreadPool, Threading, ThreadingTcpServer, Udp, UdpServer, UnixDatagram, UnixStream,
    UnixStreamServer,
};
use support::net::{self, Echo, PATIENCE, Reach};
use support::{alone, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const MANY: usize = 1500;

fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// L1.
fn failing_binds_leak_no_descriptor() -> Result {
    let dir = tempfile::tempdir()?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let path = dir.path().join("taken");
    let _taken = unix::UnixListener::bind(&path)?;
    let before = descriptors()?;
    for _ in 0..MANY {
        let failed = [
            TcpServer::bind(tcp.local_addr()?, Echo).err(),
            UdpServer::bind(udp.local_addr()?, Echo).err(),
            UnixStreamServer::bind(&path, Echo).err(),
            UnixDatagram::options().bind(&path).err(),
        ];
        for error in failed {
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::AddrInUse));
        }
    }
    assert_eq!(descriptors()?, before);
    Ok(())
}

/// L2.
fn a_socket_of_ones_own_is_served_and_no_other_opened() -> Result {
    let dir = tempfile::tempdir()?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let stream = unix::UnixListener::bind(dir.path().join("stream"))?;
    let datagram = unix::UnixDatagram::bind(dir.path().join("datagram"))?;
    let numbers = [tcp.as_raw_fd(), udp.as_raw_fd(), stream.as_raw_fd(), datagram.as_raw_fd()];
    let before = descriptors()?;

    let tcp = Tcp::from_socket(tcp)?;
    let udp = Udp::from_socket(udp)?;
    let stream = UnixStream::from_socket(OwnedFd::from(stream))?;
    let datagram = UnixDatagram::from_socket(datagram)?;

    assert_eq!(descriptors()?, before);
    let served = [&tcp as &dyn AsFd, &udp, &stream, &datagram].map(|t| t.as_fd().as_raw_fd());
    assert_eq!(served, numbers);
    let mut server = Server::new(tcp, OneByOne, Echo)?;
    let client = Tcp::send(&server.local_addr()?, dir.path(), b"mine\n")?;
    server.handle_request()?;
    assert_eq!(Tcp::receive(client)?, b"mine\n");
    Ok(())
}

/// L2: a socket of the wrong kind is refused with words, and closed.
fn a_socket_of_the_wrong_kind_is_refused() -> Result {
    let before = descriptors()?;
    let packets = UdpSocket::bind("127.0.0.1:0")?;
    assert_eq!(Tcp::from_socket(packets).err().map(|e| e.kind()), Some(ErrorKind::InvalidInput));
    let (one, other) = unix::UnixStream::pair()?;
    let error = UnixStream::from_socket(one).err().ok_or("it is not bound")?;
    assert!(error.to_string().contains("not bound"), "{error}");
    drop(other);
    assert_eq!(descriptors()?, before);
    Ok(())
}

/// L2, L4: bound and not yet activated, the address is known and clients are refused.
fn clients_are_refused_between_bind_and_activate() -> Result {
    let bound: Bound<Tcp> = Tcp::options().server_bind("127.0.0.1:0")?;
    let address = bound.local_addr()?;
    assert_ne!(address.port(), 0);
    net::assert_nobody_listens(address);

    let tcp = bound.server_activate()?;

    assert_eq!(tcp.local_addr()?, address);
    net::connect(address)?;
    Ok(())
}

/// L3.
fn the_address_is_true_between_bind_and_serve() -> Result {
    let dir = tempfile::tempdir()?;
    let mut server = TcpServer::bind(("127.0.0.1", 0), Echo)?;
    let address = server.local_addr()?;
    assert_ne!(address.port(), 0);
    // The kernel's queue takes it before anybody serves.
    let client = Tcp::send(&address, dir.path(), b"early\n")?;
    server.handle_request()?;
    assert_eq!(Tcp::receive(client)?, b"early\n");
    Ok(())
}

/// L4: Python's 5 would let the seventh of them wait.
fn a_burst_finds_room_in_the_backlog() -> Result {
    let dir = tempfile::tempdir()?;
    let server = TcpServer::bind("127.0.0.1:0", Echo)?;
    let burst: Vec<_> =
        (0..100).map(|_| net::connect(server.local_addr()?)).collect::<io::Result<_>>()?;
    assert_eq!(burst.len(), 100);

    let path = dir.path().join("short");
    let short = UnixStream::options().request_queue_size(1).bind(&path)?;
    let full = (0..10).find_map(|_| {
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let connected = client.and_then(|client| {
            client.set_nonblocking(true)?;
            client.connect(&socket2::SockAddr::unix(&path)?)?;
            // Connected, it has to stay in the queue.
            std::mem::forget(client);
            Ok(())
        });
        connected.err()
    });
    assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    drop(short);
    Ok(())
}

/// L4.
fn a_backlog_of_zero_is_refused() -> Result {
    let error = Tcp::options().request_queue_size(0).bind("127.0.0.1:0").expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("request_queue_size"), "{error}");
    Ok(())
}

/// L5, L6: by `close`, and by the end of the scope.
fn nothing_remains_after_close() -> Result {
    let dir = tempfile::tempdir()?;
    let before = descriptors()?;
    for by_close in [true, false] {
        let path = dir.path().join("socket");
        let server = UnixStreamServer::bind(&path, Echo)?;
        let ip = ThreadingTcpServer::bind("127.0.0.1:0", Echo)?;
        let address = ip.local_addr()?;
        assert!(descriptors()? > before);
        if by_close {
            server.close()?;
            ip.close()?;
        } else {
            drop((server, ip));
        }
        assert_eq!(descriptors()?, before);
        assert!(!path.exists());
        net::assert_nobody_listens(address);
    }
    Ok(())
}

/// L7.
fn a_server_goes_into_a_poll_set() -> Result {
    let server = TcpServer::bind("127.0.0.1:0", Echo)?;
    let ready = |timeout| {
        let mut set = [PollFd::new(server.as_fd(), PollFlags::POLLIN)];
        poll(&mut set, timeout)
    };
    assert_eq!(ready(PollTimeout::ZERO)?, 0);
    let _client = net::connect(server.local_addr()?)?;
    assert_eq!(ready(PollTimeout::from(30_000_u16))?, 1);
    let flags = FdFlag::from_bits_retain(fcntl(&server, FcntlArg::F_GETFD)?);
    assert!(flags.contains(FdFlag::FD_CLOEXEC));
    Ok(())
}

/// Stops its own server in the middle of a request.
#[derive(Default)]
struct StopsItself(OnceLock<StopHandle>);

impl<R: Write> Handler<R> for StopsItself {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.0.get().expect("set before serving").stop();
        request.write_all(b"stopped")?;
        Ok(Next::Done)
    }
}

/// L8: Python deadlocks.
fn a_handler_can_stop_its_server() -> Result {
    fn check<C>(concurrency: C) -> Result
    where
        C: socketserver::Concurrency<Tcp, StopsItself>,
    {
        let tcp = Tcp::options().bind("127.0.0.1:0")?;
        let mut server = Server::new(tcp, concurrency, StopsItself::default())?;
        let stop = server.stop_handle();
        server.handler().0.set(stop).map_err(|_| "set twice")?;
        let client = net::connect(server.local_addr()?)?;
        server.serve_forever()?;
        server.close()?;
        assert_eq!(net::all(client)?, b"stopped");
        Ok(())
    }
    check(OneByOne)?;
    check(Forking::new())?;
    check(ThreadPool::new(1))?;
    check(Threading::new())
}

/// L8: no interval is waited for, and none is there.
fn another_thread_can_stop_an_idle_server() -> Result {
    let running = TcpServer::bind("127.0.0.1:0", Echo)?.spawn()?;
    let dir = tempfile::tempdir()?;
    // It serves for certain once it has answered.
    Tcp::ask(&running.local_addr()?, dir.path(), b"there\n")?;
    let stop = running.stop_handle();
    thread::spawn(move || stop.stop()).join().map_err(|_| "stop panicked")?;
    running.join()?.close()?;
    Ok(())
}

/// L8: in a process that has one thread, so that it can fork.
fn a_signal_handler_can_stop_a_server() -> Result {
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, Forking::new(), Echo)?;
    signals::stop_on_usr2(server.stop_handle())?;
    let pid = process::id().to_string();
    // Late enough to find it waiting, as a rule; early is as good.
    let mut sender = Command::new("sh").args(["-c", "sleep 0.1; kill -USR2 $0", &pid]).spawn()?;
    server.serve_forever()?;
    assert!(sender.wait()?.success());
    server.close()?;
    Ok(())
}

/// L8: Python's `shutdown` before `serve_forever` waits for ever.
fn a_stop_before_serving_ends_that_session_alone() -> Result {
    let mut server = TcpServer::bind("127.0.0.1:0", Echo)?;
    server.stop_handle().stop();
    server.serve_forever()?;
    assert_still_serves(server)
}

/// L8: Python's second `shutdown` ends the next session.
fn two_stops_are_one() -> Result {
    let mut server = TcpServer::bind("127.0.0.1:0", Echo)?;
    let stop = server.stop_handle();
    stop.stop();
    stop.clone().stop();
    server.serve_forever()?;
    assert_still_serves(server)
}

/// L8.
fn a_stop_after_the_session_does_nothing() -> Result {
    let mut server = TcpServer::bind("127.0.0.1:0", Echo)?;
    let stop = server.stop_handle();
    stop.stop();
    server.serve_forever()?;
    stop.stop();
    assert_still_serves(server)?;
    // Nor is there any harm when the server is gone.
    stop.stop();
    Ok(())
}

/// L9, for what the stops above leave behind: the next session serves, until it is stopped.
fn assert_still_serves(server: TcpServer<Echo>) -> Result {
    let dir = tempfile::tempdir()?;
    let running = server.spawn()?;
    for _ in 0..2 {
        assert_eq!(Tcp::ask(&running.local_addr()?, dir.path(), b"again\n")?, b"again\n");
    }
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// L9.
fn a_server_serves_again_after_a_stop() -> Result {
    let dir = tempfile::tempdir()?;
    let mut server = ThreadingTcpServer::bind("127.0.0.1:0", Echo)?;
    let address = server.local_addr()?;
    for _ in 0..5 {
        let running = server.spawn()?;
        assert_eq!(Tcp::ask(&address, dir.path(), b"once more\n")?, b"once more\n");
        running.stop();
        server = running.join()?;
        assert_eq!(server.local_addr()?, address);
    }
    // And by single steps, in the same life.
    let client = Tcp::send(&address, dir.path(), b"step\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(Tcp::receive(client)?, b"step\n");
    server.close()?;
    Ok(())
}

/// L8: a stop is no wait. What runs goes on, and the stop does not cut it.
fn a_stop_cuts_nothing_that_runs() -> Result {
    let (began, begun) = channel();
    let running = TcpServer::bind_fn("127.0.0.1:0", move |conn| {
        let _ = began.send(());
        let mut byte = [0];
        conn.read_exact(&mut byte)?;
        conn.write_all(&byte)
    });
    let mut server = running?;
    let (address, stop) = (server.local_addr()?, server.stop_handle());
    let client = thread::spawn(move || -> io::Result<Vec<u8>> {
        let mut client = net::connect(address)?;
        begun.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        stop.stop();
        client.write_all(b"x")?;
        net::all(client)
    });
    server.serve_forever()?;
    assert_eq!(client.join().map_err(|_| "the client panicked")??, b"x");
    Ok(())
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    alone::run(cases![
        failing_binds_leak_no_descriptor,
        a_socket_of_ones_own_is_served_and_no_other_opened,
        a_socket_of_the_wrong_kind_is_refused,
        clients_are_refused_between_bind_and_activate,
        the_address_is_true_between_bind_and_serve,
        a_burst_finds_room_in_the_backlog,
        a_backlog_of_zero_is_refused,
        nothing_remains_after_close,
        a_server_goes_into_a_poll_set,
        a_handler_can_stop_its_server,
        another_thread_can_stop_an_idle_server,
        a_signal_handler_can_stop_a_server,
        a_stop_before_serving_ends_that_session_alone,
        two_stops_are_one,
        a_stop_after_the_session_does_nothing,
        a_server_serves_again_after_a_stop,
        a_stop_cuts_nothing_that_runs,
    ])
}
