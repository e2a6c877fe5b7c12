//! Requests that begin on the thread that serves and are finished in a child: who does what, once,
//! and what the server makes of it. Each case runs in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{self, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use socketserver::{
    Begun, Concurrency, Counters, Deadlines, Drain, Failure, FailureKind, FinishInChild,
    ForkRefused, ForkServer, Forking, Handler, InHalves, Limits, Next, Outcome, ReadLine, Server,
    Stage, StopHandle, Tcp, TcpRequest,
};
use support::net;
use support::one_byte::tcp;
use support::processes::no_child_is_left;
use support::time::let_pass;
use support::trace::Trace;
use support::{alone, processes};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    macro_rules! of_both {
        ($($name:literal => $case:ident,)* ; $($alone:literal => $other:ident,)*) => {
            alone::run(&[
                $((concat!($name, "_of_forking"), || $case(forking())),)*
                $((concat!($name, "_of_a_fork_server"), || $case(fork_server())),)*
                $(($alone, $other),)*
            ])
        };
    }
    of_both! {
        "endings_are_counted_once" => endings,
        "the_loop_goes_on_while_children_live" => goes_on,
        "the_connection_is_the_childs" => exchanges,
        "no_more_are_begun_than_children_may_be" => full_house,
        "a_permit_is_the_requests_until_its_child_has_ended" => permits,
        "a_child_stops_its_server_and_is_waited_for" => stopped,
        "children_are_terminated_when_that_is_due" => terminated,
        "deadlines_hold" => deadlines,
        ;
        "a_process_with_threads_finishes_here_and_refuses_the_rest" => refused,
        "a_fork_server_finishes_for_a_process_with_threads" => threads,
        "a_helper_that_has_ended_is_the_end_of_serving" => no_helper,
        "what_is_given_up_is_not_sent" => detached,
    }
}

fn forking() -> FinishInChild<Forking> {
    FinishInChild::default()
}

fn fork_server() -> FinishInChild<ForkServer> {
    FinishInChild::default()
}

/// Does as each line says; one that begins with a `>` is for a child.
struct Obeys {
    trace: Trace,
    stop: Option<StopHandle>,
}

impl Obeys {
    fn obey(&self, conn: &mut TcpRequest, how: &[u8]) -> io::Result<Next> {
        let here = process::id();
        match how {
            b"end" => return Ok(Next::Done),
            b"fail" => return Err(io::Error::other("as it is told")),
            b"gone" => return Err(io::ErrorKind::ConnectionReset.into()),
            b"kill" => processes::signal(here, Signal::SIGKILL)
                .map_err(|_| io::Error::other("not killed"))?,
            b"stop" => self.stop.iter().for_each(StopHandle::stop),
            b"detach" => drop(conn.detach()?),
            b"wait" => {
                conn.write_all(b"waiting\n")?;
                conn.read_exact(&mut [0])?;
            }
            b"say" => {}
            _ => panic!("as it is told"),
        }
        writeln!(conn, "{here}")?;
        Ok(Next::Again)
    }
}

impl InHalves<TcpRequest> for Obeys {
    type Rest = Vec<u8>;

    fn begin(&self, conn: &mut TcpRequest) -> io::Result<Begun<Vec<u8>>> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, 100)? == 0 {
            return Ok(Next::Done.into());
        }
        let line = line.trim_ascii_end();
        match line.strip_prefix(b">") {
            Some(rest) => Ok(Begun::InChild(rest.to_vec())),
            None => self.obey(conn, line).map(Begun::from),
        }
    }

    fn finish_in_child(&self, conn: &mut TcpRequest, how: Vec<u8>) -> io::Result<Next> {
        self.obey(conn, &how)
    }
}

impl Handler<TcpRequest> for Obeys {
    fn handle(&self, _: &mut TcpRequest) -> io::Result<Next> {
        panic!("it is not called");
    }

    fn finish(&self, _: &mut TcpRequest) -> io::Result<()> {
        self.trace.note("finish");
        Ok(())
    }

    fn handle_error(&self, _: &mut TcpRequest, failure: &Failure) {
        let inner = failure.as_error().and_then(io::Error::get_ref);
        let refused = inner.and_then(|inner| inner.downcast_ref::<ForkRefused>());
        self.trace.note(&format!("{:?} {:?} {refused:?}", failure.stage(), failure.kind()));
    }
}

type Obeying<C> = Server<Tcp, C, Obeys>;

fn obeying<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result<(Obeying<C>, Trace)> {
    let trace = Trace::new()?;
    let handler = |stop| Obeys { trace: trace.clone(), stop: Some(stop) };
    Ok((Server::with_stop(tcp()?, strategy, handler)?, trace))
}

fn client<C>(server: &Obeying<C>, says: &str) -> io::Result<TcpStream> {
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(says.as_bytes())?;
    Ok(client)
}

/// What comes next.
fn line(client: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        line.extend(byte);
    }
    line.pop();
    String::from_utf8(line).map_err(io::Error::other)
}

/// Whether that was said in this process.
fn is_here(said: &str) -> Result<bool> {
    Ok(said.parse::<u32>()? == process::id())
}

fn endings<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let counters = Counters::new()?;
    let (server, trace) = obeying(strategy)?;
    let mut server = server.counters(&counters);
    let told = [
        ("end\n", Outcome::Handled, "parent finish"),
        (">end\n", Outcome::Handled, "child finish"),
        ("fail\n", Outcome::Failed, "parent finish, parent Handle Error None"),
        (">fail\n", Outcome::Handled, "child finish, child Handle Error None"),
        ("say\n>gone\n", Outcome::Handled, "child finish, child Handle PeerGone None"),
        (">panic\n", Outcome::Handled, "child finish, child Handle Panic None"),
        ("panic\n", Outcome::Failed, "parent finish, parent Handle Panic None"),
        (">kill\n", Outcome::Handled, ""),
    ];
    let mut before = 0;
    for (says, outcome, wanted) in told {
        let mut client = client(&server, says)?;
        assert_eq!(server.handle_request()?, outcome, "{says}");
        // All is said and done by its end.
        let _ = client.read_to_end(&mut Vec::new());
        while counters.active() > 0 {
            let waited = server.handle_request_timeout(Duration::from_millis(10))?;
            assert_eq!(waited, Outcome::TimedOut);
        }
        let lines = trace.lines()?;
        assert_eq!(lines[before..].join(", "), wanted, "{says}");
        before = lines.len();
    }
    server.close()?;
    assert_eq!((counters.accepted(), counters.finished(), counters.failed()), (8, 2, 6));
    let kinds = [FailureKind::Error, FailureKind::PeerGone, FailureKind::Panic, FailureKind::Lost];
    assert_eq!(kinds.map(|kind| counters.failed_by(kind)), [2, 1, 2, 1]);
    assert!(no_child_is_left());
    Ok(())
}

fn goes_on<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let counters = Counters::new()?;
    let mut server = obeying(strategy)?.0.counters(&counters);
    let mut waiting = Vec::new();
    for round in 1..=3 {
        let mut slow = client(&server, "say\n>wait\n")?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert!(is_here(&line(&mut slow)?)?);
        assert_eq!(line(&mut slow)?, "waiting");
        waiting.push(slow);
        let mut quick = client(&server, "say\nend\n")?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert!(is_here(&line(&mut quick)?)?);
        assert!(net::is_closed(quick)?);
        assert_eq!((counters.active(), counters.finished()), (round, round));
    }
    for mut client in waiting {
        client.write_all(b"x")?;
        assert!(!is_here(&line(&mut client)?)?);
        // Other children may have copies of it.
        client.shutdown(Shutdown::Write)?;
    }
    assert_eq!(server.close()?.abandoned, 0);
    assert_eq!((counters.accepted(), counters.finished(), counters.failed()), (6, 6, 0));
    Ok(())
}

/// Whatever comes after the second half, it is the same child that answers.
fn exchanges<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let (mut server, trace) = obeying(strategy)?;
    let mut client = client(&server, "say\nsay\n>say\nsay\n>say\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let said: Vec<String> = (0..5).map(|_| line(&mut client)).collect::<io::Result<_>>()?;
    assert!(is_here(&said[0])? && is_here(&said[1])? && !is_here(&said[2])?, "{said:?}");
    assert!(said[2] == said[3] && said[3] == said[4], "{said:?}");
    client.write_all(b"say\nend\n")?;
    assert_eq!(line(&mut client)?, said[4]);
    assert!(net::is_closed(client)?);
    server.close()?;
    assert_eq!(trace.lines()?, ["child finish"]);
    Ok(())
}

/// What has to be there for a limit to be set.
trait Limited: Sized {
    fn one() -> io::Result<Self>;
}

impl Limited for FinishInChild<Forking> {
    fn one() -> io::Result<Self> {
        Ok(Self::new(Forking::new().max_children(1)?))
    }
}

impl Limited for FinishInChild<ForkServer> {
    fn one() -> io::Result<Self> {
        Ok(Self::new(ForkServer::new().max_children(1)?))
    }
}

const MOMENT: Duration = Duration::from_millis(30);

fn full_house<C: Concurrency<Tcp, Obeys> + Limited>(_: C) -> Result {
    let (mut server, _) = obeying(C::one()?)?;
    let mut first = client(&server, ">wait\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(line(&mut first)?, "waiting");
    let mut second = client(&server, "say\n>end\n")?;
    assert_eq!(server.handle_request_timeout(MOMENT)?, Outcome::TimedOut);
    first.write_all(b"x")?;
    assert!(!is_here(&line(&mut first)?)?);
    first.shutdown(Shutdown::Write)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert!(is_here(&line(&mut second)?)?);
    assert!(net::is_closed(second)?);
    server.close()?;
    Ok(())
}

fn permits<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let mut server = obeying(strategy)?.0.limits(Limits::new().at_once(1))?;
    let mut first = client(&server, ">wait\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(line(&mut first)?, "waiting");
    let second = client(&server, "end\n")?;
    assert_eq!(server.handle_request_timeout(MOMENT)?, Outcome::TimedOut);
    first.write_all(b"x")?;
    first.shutdown(Shutdown::Write)?;
    first.read_to_end(&mut Vec::new())?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert!(net::is_closed(second)?);
    server.close()?;
    Ok(())
}

fn stopped<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let counters = Counters::new()?;
    let mut server = obeying(strategy)?.0.counters(&counters);
    let mut waits = client(&server, ">wait\n")?;
    let stops = client(&server, ">stop\n")?;
    server.serve_forever()?;
    assert_eq!(line(&mut waits)?, "waiting");
    assert!(counters.active() > 0);
    drop(stops);
    let client = thread::spawn(move || -> io::Result<String> {
        let_pass(MOMENT);
        waits.write_all(b"x")?;
        line(&mut waits)
    });
    let report = server.close()?;
    let said = client.join().map_err(|_| "a panic")??;
    assert!(!is_here(&said)?);
    assert_eq!((report.cut, report.abandoned), (0, 0), "{report}");
    assert_eq!((counters.accepted(), counters.active()), (2, 0));
    assert!(no_child_is_left());
    Ok(())
}

fn terminated<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let counters = Counters::new()?;
    let drain = Drain::new().finish_within(MOMENT).cut_within(Duration::from_secs(3600));
    let mut server = obeying(strategy)?.0.counters(&counters).drain(drain);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = client(&server, "say\n>wait\n")?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        line(&mut client)?;
        assert_eq!(line(&mut client)?, "waiting");
        clients.push(client);
    }
    let report = server.close()?;
    assert_eq!((report.finished, report.cut, report.abandoned), (0, 2, 0), "{report}");
    assert_eq!((counters.failed_by(FailureKind::Lost), counters.active()), (2, 0));
    assert!(no_child_is_left());
    for client in clients {
        assert!(net::is_closed(client)?);
    }
    Ok(())
}

/// Of both halves: nobody says what is waited for.
fn deadlines<C>(strategy: C) -> Result
where
    C: Concurrency<Tcp, socketserver::Guarded<Obeys>>,
{
    let counters = Counters::new()?;
    let trace = Trace::new()?;
    let handler = Obeys { trace: trace.clone(), stop: None };
    let handler = Deadlines::new().request(Duration::from_millis(50)).guard(handler)?;
    let mut server = Server::new(tcp()?, strategy, handler)?.counters(&counters);
    for (says, outcome) in [("", Outcome::Failed), (">wait\n", Outcome::Handled)] {
        let mut client = net::connect(server.local_addr()?)?;
        client.write_all(says.as_bytes())?;
        assert_eq!(server.handle_request()?, outcome);
        client.read_to_end(&mut Vec::new())?;
    }
    server.close()?;
    assert_eq!(counters.failed_by(FailureKind::TimedOut), 2);
    let wanted = ["parent", "child"].map(|who| format!("{who} Handle TimedOut None"));
    let lines = trace.lines()?;
    assert!(wanted.iter().all(|line| lines.contains(line)), "{lines:?}");
    Ok(())
}

fn refused() -> Result {
    let counters = Counters::new()?;
    let (server, trace) = obeying(forking())?;
    let mut server = server.counters(&counters);
    let (go, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let mut quick = client(&server, "say\n>say\n")?;
    assert_eq!(server.handle_request()?, Outcome::Failed);
    assert!(is_here(&line(&mut quick)?)?);
    assert!(net::is_closed(quick)?);
    let told = format!("parent {:?} NotStarted Some(Threads(2))", Stage::Start);
    assert_eq!(trace.lines()?, ["parent finish", &told]);

    go.send(())?;
    other.join().map_err(|_| "the thread panicked")??;
    let mut late = client(&server, ">say\nend\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert!(!is_here(&line(&mut late)?)?);
    server.close()?;
    assert_eq!((counters.finished(), counters.failed_by(FailureKind::NotStarted)), (1, 1));
    Ok(())
}

fn threads() -> Result {
    let (server, _) = obeying(fork_server())?;
    let (go, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let running = server.spawn()?;
    let address = running.local_addr()?;
    for _ in 0..3 {
        let mut client = net::connect(address)?;
        client.write_all(b"say\n>say\nsay\nend\n")?;
        assert!(is_here(&line(&mut client)?)?);
        let child = line(&mut client)?;
        assert!(!is_here(&child)?);
        assert_eq!(line(&mut client)?, child);
        assert!(net::is_closed(client)?);
    }
    running.stop();
    running.join()?.close()?;
    go.send(())?;
    other.join().map_err(|_| "the thread panicked")??;
    Ok(())
}

fn no_helper() -> Result {
    let (mut server, trace) = obeying(fork_server())?;
    let helper = server.concurrency().get_ref().helper().ok_or("no helper")?;
    processes::signal(helper, Signal::SIGKILL)?;
    processes::peek(helper)?;
    let mut client = client(&server, "say\n>say\n")?;
    let error = server.handle_request().expect_err("nobody forks");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert_eq!(inner, Some(&ForkRefused::HelperEnded), "{error}");
    assert!(is_here(&line(&mut client)?)?);
    assert!(net::is_closed(client)?);
    assert_eq!(trace.lines()?, ["parent finish", "parent Start NotStarted Some(HelperEnded)"]);
    Ok(())
}

fn detached() -> Result {
    let (mut server, trace) = obeying(fork_server())?;
    let client = client(&server, "detach\n>say\n")?;
    assert_eq!(server.handle_request()?, Outcome::Failed);
    drop(client);
    assert_eq!(trace.lines()?, ["parent finish", "parent Start NotStarted None"]);
    server.close()?;
    Ok(())
}
