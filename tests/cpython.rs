//! The tests of CPython 3.13's `test_socketserver`, one to one, but for those that fork: these are
//! in `cpython_fork.rs`. Each is named after its model.
//!
//! Where Python's test is about `SystemExit`, which ends the process through every handler of
//! errors, this is about a panic: contained under every strategy, and told once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::any::type_name;
use std::error::Error;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, Failure, FailureKind, Handler, Next, Outcome, Server, Sync as OneByOne, Tcp,
    TcpServer, Threading, ThreadingTcpServer, Udp, UnixDatagram, UnixStream,
};
use support::net::{self, Echo, PATIENCE, Reach};
use support::signals;
use support::story::{Script, Traced};
use support::trace::Trace;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const LINE: &[u8] = b"hello world\n";

/// Serves three clients, one after the other, stops and closes.
fn run_server<T, C>(strategy: C) -> Result
where
    T: Reach + AsFd + Send + Sync + 'static,
    T::Addr: Debug,
    C: Concurrency<T, Echo> + Send + 'static,
    Echo: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let server = Server::new(T::open(dir.path())?, strategy, Echo)?;
    let named = format!("{:?}", server.local_addr()?);
    let running = server.spawn()?;
    let address = running.local_addr()?;
    assert_eq!(format!("{address:?}"), named);

    for _ in 0..3 {
        assert_eq!(T::ask(&address, dir.path(), LINE)?, LINE);
    }

    running.stop();
    running.join()?.close()?;
    assert!(T::ask(&address, dir.path(), LINE).is_err(), "somebody still serves {named}");
    Ok(())
}

#[test]
fn tcp_server() -> Result {
    run_server::<Tcp, _>(OneByOne)
}

#[test]
fn threading_tcp_server() -> Result {
    run_server::<Tcp, _>(Threading::new())
}

#[test]
fn unix_stream_server() -> Result {
    run_server::<UnixStream, _>(OneByOne)
}

#[test]
fn threading_unix_stream_server() -> Result {
    run_server::<UnixStream, _>(Threading::new())
}

#[test]
fn udp_server() -> Result {
    run_server::<Udp, _>(OneByOne)
}

#[test]
fn threading_udp_server() -> Result {
    run_server::<Udp, _>(Threading::new())
}

#[test]
fn unix_datagram_server() -> Result {
    run_server::<UnixDatagram, _>(OneByOne)
}

#[test]
fn threading_unix_datagram_server() -> Result {
    run_server::<UnixDatagram, _>(Threading::new())
}

/// bpo-2302: a stop always ends the loop, however early it comes.
#[test]
fn shutdown() -> Result {
    let mut all = Vec::new();
    for _ in 0..20 {
        let running = TcpServer::bind("127.0.0.1:0", Echo)?.spawn()?;
        running.stop();
        all.push(running);
    }
    for running in all {
        running.join()?.close()?;
    }
    Ok(())
}

#[test]
fn close_immediately() -> Result {
    ThreadingTcpServer::bind("127.0.0.1:0", Echo)?.close()?;
    Ok(())
}

/// bpo-22435: a bind that fails closes its socket.
#[test]
fn tcpserver_bind_leak() -> Result {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..1024 {
        let error = TcpServer::bind(taken.local_addr()?, Echo).expect_err("the port is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    }
    // The lowest free number; the tests that run beside this one hold far fewer than leaked ones.
    let next = File::open("/dev/null")?.as_raw_fd();
    assert!(next < 1024, "descriptor {next} is the next: the failed ones are still there");
    Ok(())
}

/// The end of its scope closes a server.
#[test]
fn context_manager() -> Result {
    let address = {
        let server = TcpServer::bind("127.0.0.1:0", Echo)?;
        net::connect(server.local_addr()?)?;
        server.local_addr()?
    };
    net::assert_nobody_listens(address);
    Ok(())
}

/// A handler that fails, and what is told of it.
struct Bad {
    panics: bool,
    told: Sender<&'static str>,
}

impl<R> Handler<R> for Bad {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        let _ = self.told.send("handler called");
        if self.panics {
            panic!("test panic");
        }
        Err(io::Error::other("test error"))
    }

    fn handle_error(&self, _request: &mut R, failure: &Failure) {
        let _ = self.told.send(match failure.kind() {
            FailureKind::Error => "error handled",
            FailureKind::Panic => "panic handled",
            _ => "something else handled",
        });
    }
}

/// What a handler that fails on one request makes the server say.
fn failing<C: Concurrency<Tcp, Bad>>(strategy: C, panics: bool) -> Result<Vec<&'static str>> {
    let (told, say): (_, Receiver<_>) = channel();
    let bad = Bad { panics, told };
    let mut server = Server::new(Tcp::options().bind("127.0.0.1:0")?, strategy, bad)?;
    let client = net::connect(server.local_addr()?)?;
    // Under Sync the handler's end is known; elsewhere, that it has been started.
    assert!(matches!(server.handle_request()?, Outcome::Failed | Outcome::Handled));
    server.close()?;
    assert!(net::is_closed(client)?);
    Ok(say.try_iter().collect())
}

#[test]
fn sync_handled() -> Result {
    assert_eq!(failing(OneByOne, false)?, ["handler called", "error handled"]);
    Ok(())
}

#[test]
fn sync_not_handled() -> Result {
    assert_eq!(failing(OneByOne, true)?, ["handler called", "panic handled"]);
    Ok(())
}

#[test]
fn threading_handled() -> Result {
    assert_eq!(failing(Threading::new(), false)?, ["handler called", "error handled"]);
    Ok(())
}

#[test]
fn threading_not_handled() -> Result {
    assert_eq!(failing(Threading::new(), true)?, ["handler called", "panic handled"]);
    Ok(())
}

/// What is written to is the connection itself.
#[test]
fn socket_writer_basics() -> Result {
    fn both(request: &(impl Write + AsFd), socket: &impl AsFd) -> (RawFd, RawFd) {
        (request.as_fd().as_raw_fd(), socket.as_fd().as_raw_fd())
    }
    let (send, seen) = channel();
    let mut server = TcpServer::bind_fn("127.0.0.1:0", move |conn| {
        let _ = send.send(both(conn, conn.get_ref()));
        Ok(())
    })?;
    net::connect(server.local_addr()?)?;
    server.handle_request()?;
    let (writer, socket) = seen.try_recv()?;
    assert_eq!(writer, socket);
    Ok(())
}

const BIG: usize = 16 * 1024 * 1024;

/// A write is sent at once, and all of it although signals interrupt it.
#[test]
fn socket_writer_write() -> Result {
    signals::interrupt_on_usr1()?;
    let before = signals::seen();
    let mut server = TcpServer::bind_fn("127.0.0.1:0", |conn| {
        conn.write_all(b"write data\n")?;
        // The client answers only when it has seen that: nothing held it back.
        let mut line = String::new();
        conn.read_line(&mut line)?;
        assert_eq!(line, "client response\n");
        conn.write_all(&vec![7; BIG])
    })?;
    let address = server.local_addr()?;
    let serving = pthread_self();
    let client =
        thread::spawn(move || interrupting_client(address, serving).map_err(|e| e.to_string()));
    assert_eq!(server.handle_request()?, Outcome::Handled);
    server.close()?;
    let received = client.join().expect("the client does not panic")?;
    assert_eq!(received, BIG);
    assert!(signals::seen() > before);
    Ok(())
}

/// Reads slowly at first, and sends a signal to the writing thread before each read.
fn interrupting_client(address: SocketAddr, serving: Pthread) -> Result<usize> {
    let mut client = io::BufReader::new(net::connect(address)?);
    let mut line = String::new();
    client.read_line(&mut line)?;
    assert_eq!(line, "write data\n");
    client.get_mut().write_all(b"client response\n")?;
    let mut bytes = vec![0; 32 * 1024];
    let mut received = 0;
    while received < BIG / 2 {
        pthread_kill(serving, Signal::SIGUSR1)?;
        let count = client.read(&mut bytes)?;
        assert_ne!(count, 0, "the rest was cut off after {received} bytes");
        received += count;
    }
    Ok(received + net::all(client)?.len())
}

/// The names of the module: the twelve servers, and what its classes have become.
#[test]
#[allow(unused_qualifications, reason = "all names alike")]
fn all() {
    use socketserver as s;
    let aliases = [
        type_name::<s::TcpServer<Echo>>(),
        type_name::<s::UdpServer<Echo>>(),
        type_name::<s::UnixStreamServer<Echo>>(),
        type_name::<s::UnixDatagramServer<Echo>>(),
        type_name::<s::ThreadingTcpServer<Echo>>(),
        type_name::<s::ThreadingUdpServer<Echo>>(),
        type_name::<s::ThreadingUnixStreamServer<Echo>>(),
        type_name::<s::ThreadingUnixDatagramServer<Echo>>(),
        type_name::<s::ForkingTcpServer<Echo>>(),
        type_name::<s::ForkingUdpServer<Echo>>(),
        type_name::<s::ForkingUnixStreamServer<Echo>>(),
        type_name::<s::ForkingUnixDatagramServer<Echo>>(),
    ];
    let transports = ["Tcp", "Udp", "UnixStream", "UnixDatagram"];
    let strategies = ["Sync", "Threading", "Forking"];
    let pairs = strategies.iter().flat_map(|s| transports.iter().map(move |t| (t, s)));
    for (alias, (transport, strategy)) in aliases.iter().zip(pairs) {
        assert!(alias.contains(&format!("::{transport},")), "{alias} is not over {transport}");
        assert!(alias.contains(&format!("::{strategy},")), "{alias} is not under {strategy}");
    }
    let others = [
        // BaseServer, ThreadingMixIn, ForkingMixIn
        type_name::<s::Server<s::Tcp, s::Sync, Echo>>(),
        type_name::<(s::Threading, s::Forking)>(),
        // BaseRequestHandler, StreamRequestHandler, DatagramRequestHandler
        type_name::<Box<dyn s::Handler<s::TcpRequest>>>(),
        type_name::<(s::TcpRequest, s::UnixStreamRequest)>(),
        type_name::<(s::UdpRequest, s::UnixDatagramRequest)>(),
    ];
    assert!(others.iter().all(|name| name.contains("socketserver::")));
}

/// bpo-26309: a rejected request is shut down, once.
#[test]
fn shutdown_request_called_if_verify_request_false() -> Result {
    use support::story::Event::Reject;
    let trace = Trace::new()?;
    let script = Script { events: &[("verify_request", Reject)], trace: trace.clone() };
    let mut server = Server::new(Traced::new(&trace)?, OneByOne, script)?;
    drop(net::connect(server.local_addr()?)?);
    assert_eq!(server.handle_request()?, Outcome::Rejected);
    server.close()?;
    let words = trace.words()?;
    assert_eq!(words.iter().filter(|word| *word == "shutdown_request").count(), 1, "{words:?}");
    Ok(())
}

/// bpo-37193: threads that have ended are not kept.
#[test]
fn threads_reaped() -> Result {
    let mut server = ThreadingTcpServer::bind("127.0.0.1:0", Echo)?;
    for _ in 0..10 {
        let client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        drop(client);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while server.concurrency().active() > 0 {
        assert!(std::time::Instant::now() < deadline, "threads remain");
        thread::yield_now();
    }
    server.close()?;
    Ok(())
}
