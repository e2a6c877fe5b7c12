//! What a request is in its second half, in a child: what it was at the end of the first, over all
//! four transports. Each case runs in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::process::{self, ExitCode};
use std::time::Duration;

use socketserver::{
    Begun, Concurrency, Connection, CrashOnPanic, FinishInChild, ForkServer, Forking, Handler,
    Hangup, InHalves, Next, Outcome, ReadLine, Resumable, Server, Tcp, TcpRequest, Udp,
    UnixDatagram, UnixStream,
};
use support::alone;
use support::net::{self, Reach};
use support::story::Traced;
use support::trace::Trace;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("hooks_have_one_order_under_forking", || hooks(forking())),
        ("hooks_have_one_order_under_a_fork_server", || hooks(fork_server())),
        ("four_transports_go_on_under_forking", four::<Forking>),
        ("four_transports_go_on_under_a_fork_server", four::<ForkServer>),
        ("what_was_set_holds_under_forking", || settings(forking())),
        ("what_was_set_holds_under_a_fork_server", || settings(fork_server())),
        ("one_handler_runs_under_every_strategy", everywhere),
        ("more_than_a_message_holds_is_refused_alone", too_much),
    ])
}

fn forking() -> FinishInChild<Forking> {
    FinishInChild::default()
}

fn fork_server() -> FinishInChild<ForkServer> {
    FinishInChild::default()
}

/// Notes each hook, and where it was called; fails where its client says so.
struct Noted(Trace);

impl<R: BufRead> Handler<R> for Noted {
    fn verify_request(&self, _: &R) -> io::Result<bool> {
        self.0.note("verify_request");
        Ok(true)
    }

    fn setup(&self, _: &mut R) -> io::Result<()> {
        self.0.note("setup");
        Ok(())
    }

    fn handle(&self, _: &mut R) -> io::Result<Next> {
        self.0.note("handle");
        Ok(Next::Done)
    }

    fn finish(&self, _: &mut R) -> io::Result<()> {
        self.0.note("finish");
        Ok(())
    }

    fn handle_error(&self, _: &mut R, _: &socketserver::Failure) {
        self.0.note("handle_error");
    }

    fn panicked(&self) -> socketserver::OnPanic {
        self.0.note("panicked");
        socketserver::OnPanic::Contain
    }

    fn child_init(&self) {
        self.0.note("child_init");
    }
}

impl<R: BufRead> InHalves<R> for Noted {
    type Rest = Vec<u8>;

    fn begin(&self, request: &mut R) -> io::Result<Begun<Vec<u8>>> {
        self.0.note("begin");
        let mut line = String::new();
        request.read_line_bounded(&mut line, 100)?;
        match line.trim_end() {
            "here" => Ok(Next::Done.into()),
            "error" => Err(io::Error::other("as it is told")),
            rest => Ok(Begun::InChild(rest.into())),
        }
    }

    fn finish_in_child(&self, _: &mut R, rest: Vec<u8>) -> io::Result<Next> {
        self.0.note("finish_in_child");
        match &rest[..] {
            b"late error" => Err(io::Error::other("as it is told")),
            b"late panic" => panic!("as it is told"),
            _ => Ok(Next::Done),
        }
    }
}

/// By client's line: what is called here, and what in the child.
const STORIES: [(&str, &str, &str); 5] = [
    ("here\n", "verify_request setup begin finish shutdown_request", ""),
    ("error\n", "verify_request setup begin finish handle_error shutdown_request", ""),
    (
        "late\n",
        "verify_request setup begin close_request",
        "child_init finish_in_child finish shutdown_request",
    ),
    (
        "late error\n",
        "verify_request setup begin close_request",
        "child_init finish_in_child finish handle_error shutdown_request",
    ),
    (
        "late panic\n",
        "verify_request setup begin close_request panicked",
        "child_init finish_in_child finish handle_error shutdown_request",
    ),
];

fn hooks<C: Concurrency<Traced, Noted> + Default>(_: C) -> Result {
    for (says, here, there) in STORIES {
        let trace = Trace::new()?;
        let mut server = Server::new(Traced::new(&trace)?, C::default(), Noted(trace.clone()))?;
        let mut client = net::connect(server.local_addr()?)?;
        client.write_all(says.as_bytes())?;
        let outcome = server.handle_request()?;
        assert_eq!(outcome == Outcome::Failed, says == "error\n", "{says}");
        server.close()?;
        assert!(net::is_closed(client)?);
        let mut own = trace.here()?;
        own.retain(|word| word != "wait" && word != "server_close");
        assert_eq!(own.join(" "), here, "{says}");
        assert_eq!(trace.in_children()?.join(" "), there, "{says}");
    }
    Ok(())
}

/// Reads one line and answers it here, and the others in a child, if it is one.
struct Lines {
    server: u32,
}

impl Lines {
    fn new() -> Self {
        Self { server: process::id() }
    }
}

impl<R: BufRead + Write> InHalves<R> for Lines {
    type Rest = Vec<u8>;

    fn begin(&self, request: &mut R) -> io::Result<Begun<Vec<u8>>> {
        let mut line = Vec::new();
        request.read_until(b'\n', &mut line)?;
        request.write_all(b"begun ")?;
        Ok(Begun::InChild(line))
    }

    fn finish_in_child(&self, request: &mut R, first: Vec<u8>) -> io::Result<Next> {
        let (mut second, mut third) = (Vec::new(), Vec::new());
        request.read_until(b'\n', &mut second)?;
        request.read_until(b'\n', &mut third)?;
        let place = if process::id() == self.server { "here" } else { "there" };
        let lines = [first, second, third].concat();
        write!(request, "{place}: {}", String::from_utf8_lossy(&lines))?;
        Ok(Next::Done)
    }
}

impl<R: BufRead + Write> Handler<R> for Lines {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.both_halves(request)
    }
}

fn answers<T: Reach, C: Concurrency<T, Lines>>(transport: T, strategy: C, place: &str) -> Result
where
    T::Request: BufRead + Write,
{
    let dir = tempfile::tempdir()?;
    let address = transport.local_addr()?;
    let mut server = Server::new(transport, strategy, Lines::new())?;
    for round in 0..3 {
        let says = format!("one\ntwo\n{round}\n");
        let client = T::send(&address, dir.path(), says.as_bytes())?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let said = String::from_utf8(T::receive(client)?)?;
        assert_eq!(said, format!("begun {place}: {says}"));
    }
    server.close()?;
    Ok(())
}

fn four<C: Default>() -> Result
where
    FinishInChild<C>: Concurrency<Tcp, Lines>
        + Concurrency<UnixStream, Lines>
        + Concurrency<Udp, Lines>
        + Concurrency<UnixDatagram, Lines>
        + Default,
{
    fn one<T: Reach + Resumable, C>(transport: T) -> Result
    where
        T::Request: BufRead + Write,
        FinishInChild<C>: Concurrency<T, Lines> + Default,
    {
        answers(transport, FinishInChild::<C>::default(), "there")
    }
    let dir = tempfile::tempdir()?;
    one::<Tcp, C>(Tcp::open(dir.path())?)?;
    one::<UnixStream, C>(UnixStream::open(dir.path())?)?;
    one::<Udp, C>(Udp::options().max_amplification(None).bind("127.0.0.1:0")?)?;
    one::<UnixDatagram, C>(UnixDatagram::open(dir.path())?)?;
    // What is held back at the end of the first half leaves after the second.
    one::<Tcp, C>(Tcp::options().wbufsize(1000).rbufsize(6).bind("127.0.0.1:0")?)
}

/// The strategy is a word, here too; and so is a mixin around the handler.
fn everywhere() -> Result {
    answers(Tcp::open("".as_ref())?, socketserver::Sync, "here")?;
    answers(Tcp::open("".as_ref())?, Forking::new(), "there")?;
    let mut server =
        Server::new(Tcp::open("".as_ref())?, forking(), CrashOnPanic(Box::new(Lines::new())))?;
    let client = <Tcp as Reach>::send(&server.local_addr()?, "".as_ref(), b"one\ntwo\nthree\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(net::all(client)?, b"begun there: one\ntwo\nthree\n");
    server.close()?;
    Ok(())
}

/// Sets something in the first half.
struct Sets;

impl InHalves<TcpRequest> for Sets {
    type Rest = Vec<u8>;

    fn begin(&self, conn: &mut TcpRequest) -> io::Result<Begun<Vec<u8>>> {
        conn.set_timeout(Some(Duration::from_millis(1500)))?;
        conn.set_nodelay(true)?;
        conn.set_hangup(Hangup::Reset)?;
        Ok(Begun::InChild(Vec::new()))
    }

    fn finish_in_child(&self, conn: &mut TcpRequest, _: Vec<u8>) -> io::Result<Next> {
        let (timeout, nodelay) = (conn.get_ref().read_timeout()?, conn.get_ref().nodelay()?);
        writeln!(conn, "{timeout:?} {nodelay}")?;
        // The reset throws away what nobody has read.
        conn.read_exact(&mut [0]).map(Next::from)
    }
}

impl Handler<TcpRequest> for Sets {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        self.both_halves(conn)
    }
}

fn settings<C: Concurrency<Tcp, Sets>>(strategy: C) -> Result {
    let mut server = Server::new(Tcp::open("".as_ref())?, strategy, Sets)?;
    let mut client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let mut said = [0; 16];
    client.read_exact(&mut said)?;
    assert_eq!(&said, b"Some(1.5s) true\n");
    client.write_all(b"x")?;
    let end = client.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    server.close()?;
    Ok(())
}

/// The first half gives more than can be sent.
struct Much;

impl InHalves<TcpRequest> for Much {
    type Rest = Vec<u8>;

    fn begin(&self, conn: &mut TcpRequest) -> io::Result<Begun<Vec<u8>>> {
        let mut length = String::new();
        conn.read_line_bounded(&mut length, 20)?;
        let length = length.trim().parse().map_err(io::Error::other)?;
        Ok(Begun::InChild(vec![7; length]))
    }

    fn finish_in_child(&self, conn: &mut TcpRequest, rest: Vec<u8>) -> io::Result<Next> {
        writeln!(conn, "{}", rest.len()).map(Next::from)
    }
}

impl Handler<TcpRequest> for Much {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        self.both_halves(conn)
    }
}

fn too_much() -> Result {
    let mut server = Server::new(Tcp::open("".as_ref())?, fork_server(), Much)?;
    for (says, outcome, hears) in
        [("200000\n", Outcome::Failed, ""), ("100000\n", Outcome::Handled, "100000\n")]
    {
        let client = <Tcp as Reach>::send(&server.local_addr()?, "".as_ref(), says.as_bytes())?;
        assert_eq!(server.handle_request()?, outcome);
        assert_eq!(String::from_utf8(net::all(client)?)?, hears);
    }
    server.close()?;
    Ok(())
}
