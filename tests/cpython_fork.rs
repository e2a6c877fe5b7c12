//! The tests of CPython 3.13's `test_socketserver` that fork; see `cpython.rs` for the others.
//! Each runs on the only thread of a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::os::unix::net as unix;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use socketserver::{
    Forking, Handler, Next, Outcome, Server, StopHandle, Tcp, Udp, UnixDatagram, UnixStream,
};
use support::alone;
use support::net::{self, Echo, Reach};
use support::role;
use support::story::{Event, Script, Traced};
use support::trace::Trace;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const LINE: &[u8] = b"hello world\n";
const CLIENTS: usize = 3;

/// Echoes, and stops its server after the last client.
#[derive(Default)]
struct EchoToAll {
    taken: AtomicUsize,
    stop: OnceLock<StopHandle>,
}

impl<R> Handler<R> for EchoToAll
where
    Echo: Handler<R>,
{
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        Echo.handle(request)
    }

    fn service_actions(&self) {
        if self.taken.fetch_add(1, Ordering::SeqCst) + 1 == CLIENTS {
            self.stop.get().expect("set before serving").stop();
        }
    }
}

/// Serves three clients of another process, one after the other, stops and closes; an unrelated
/// child that ends meanwhile is left to its owner.
fn run_server<T>(role: &str, show: impl Fn(&T::Addr) -> Option<String>) -> Result
where
    T: Reach,
    T::Addr: Debug,
    EchoToAll: Handler<T::Request>,
{
    let mut unrelated = Command::new("sh").args(["-c", "exit 72"]).spawn()?;
    let dir = tempfile::tempdir()?;
    let mut server = Server::new(T::open(dir.path())?, Forking::new(), EchoToAll::default())?;
    let address = server.local_addr()?;
    let stop = server.stop_handle();
    server.handler().stop.set(stop).map_err(|_| "set twice")?;
    let shown = show(&address).ok_or("the address can't be shown")?;
    let clients = role::command(role)?.arg(shown).arg(dir.path()).spawn()?;

    server.serve_forever()?;
    role::finished(clients)?;

    server.close()?;
    assert!(T::ask(&address, dir.path(), LINE).is_err(), "somebody still serves {address:?}");
    assert_eq!(unrelated.wait()?.code(), Some(72));
    // Whatever the server has started has been waited for.
    assert_eq!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD));
    Ok(())
}

fn three_clients<T: Reach>(address: &T::Addr, dir: &str) -> Result {
    for _ in 0..CLIENTS {
        assert_eq!(T::ask(address, Path::new(dir), LINE)?, LINE);
    }
    Ok(())
}

fn path_of(address: &unix::SocketAddr) -> Option<String> {
    address.as_pathname()?.to_str().map(str::to_owned)
}

fn forking_tcp_server() -> Result {
    run_server::<Tcp>("tcp clients", |address| Some(address.to_string()))
}

fn forking_udp_server() -> Result {
    run_server::<Udp>("udp clients", |address| Some(address.to_string()))
}

fn forking_unix_stream_server() -> Result {
    run_server::<UnixStream>("unix stream clients", path_of)
}

fn forking_unix_datagram_server() -> Result {
    run_server::<UnixDatagram>("unix datagram clients", path_of)
}

/// What a handler in a child that fails by `event` makes the server say.
fn failing(events: &'static [(&'static str, Event)]) -> Result<Vec<String>> {
    let trace = Trace::new()?;
    let script = Script { events, trace: trace.clone() };
    let mut server = Server::new(Traced::new(&trace)?, Forking::new(), script)?;
    let client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    server.close()?;
    assert!(net::is_closed(client)?);
    trace.in_children().map_err(Into::into)
}

fn forking_handled() -> Result {
    let said = failing(&[("handle", Event::Error)])?;
    assert_eq!(said, ["setup", "handle", "finish", "handle_error(error)", "shutdown_request"]);
    Ok(())
}

fn forking_not_handled() -> Result {
    let said = failing(&[("handle", Event::Panic)])?;
    assert_eq!(said, ["setup", "handle", "finish", "handle_error(panic)", "shutdown_request"]);
    Ok(())
}

fn main() -> ExitCode {
    let played = role::play(&[
        ("tcp clients", |arguments| three_clients::<Tcp>(&arguments[0].parse()?, &arguments[1])),
        ("udp clients", |arguments| three_clients::<Udp>(&arguments[0].parse()?, &arguments[1])),
        ("unix stream clients", |arguments| {
            let address = unix::SocketAddr::from_pathname(&arguments[0])?;
            three_clients::<UnixStream>(&address, &arguments[1])
        }),
        ("unix datagram clients", |arguments| {
            let address = unix::SocketAddr::from_pathname(&arguments[0])?;
            three_clients::<UnixDatagram>(&address, &arguments[1])
        }),
    ]);
    played.unwrap_or_else(|| {
        alone::run(&[
            ("forking_tcp_server", forking_tcp_server),
            ("forking_udp_server", forking_udp_server),
            ("forking_unix_stream_server", forking_unix_stream_server),
            ("forking_unix_datagram_server", forking_unix_datagram_server),
            ("forking_handled", forking_handled),
            ("forking_not_handled", forking_not_handled),
        ])
    })
}
