//! Deadlines: each ends the peer that it is named after, under every blocking strategy, and nobody
//! else. For `Forking` see `deadlines_fork.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use socketserver::{
    Concurrency, Connection, DeadlinePassed, Deadlines, Guarded, Handler, Hangup, Next, Outcome,
    Server, Sync as OneByOne, Tcp, TcpRequest, TcpServer, ThreadPool, Threading, Transport,
    UnixStream, handler_fn,
};
use support::net::{self, PATIENCE, Reach};
use support::slow::{self, AMPLE, Lines, Peer};
use support::time::let_pass;
use support::trace::Trace;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SHORT: Duration = Duration::from_millis(100);

/// What a peer does, and what it learns of its end.
trait Play: Fn(&mut dyn Peer, &Trace) -> io::Result<String> {}

impl<F: Fn(&mut dyn Peer, &Trace) -> io::Result<String>> Play for F {}

/// What the peer learns and the server notes where a handler is held to `deadlines`.
fn ended<T, C>(deadlines: Deadlines, play: &impl Play) -> Result<(String, Vec<String>)>
where
    T: Reach<Client: Peer> + Transport<Request: Connection> + Send + Sync + 'static,
    C: Concurrency<T, Guarded<Lines>> + Default + Send + 'static,
    Lines: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let trace = Trace::new()?;
    let handler = deadlines.guard(Lines(trace.clone()))?;
    let running = Server::new(T::open(dir.path())?, C::default(), handler)?.spawn()?;
    let mut client = T::send(&running.local_addr()?, dir.path(), b"")?;
    let learned = play(&mut client, &trace)?;
    running.stop();
    running.join()?.close()?;
    Ok((learned, trace.words()?))
}

/// Over both transports and under all of these strategies the peer is ended by `deadline`, once.
fn ends(deadlines: Deadlines, deadline: &str, play: impl Play) -> Result {
    for (learned, noted) in [
        ended::<Tcp, OneByOne>(deadlines, &play)?,
        ended::<Tcp, Threading>(deadlines, &play)?,
        ended::<Tcp, ThreadPool>(deadlines, &play)?,
        ended::<UnixStream, OneByOne>(deadlines, &play)?,
        ended::<UnixStream, Threading>(deadlines, &play)?,
    ] {
        assert_eq!((learned.as_str(), noted), (deadline, vec![deadline.to_owned()]));
    }
    Ok(())
}

fn trickles(mut client: &mut dyn Peer, _: &Trace) -> io::Result<String> {
    slow::trickle(&mut client)
}

fn is_silent(mut client: &mut dyn Peer, _: &Trace) -> io::Result<String> {
    slow::listen(&mut client)
}

fn falls_silent(mut client: &mut dyn Peer, _: &Trace) -> io::Result<String> {
    client.write_all(b"half a line")?;
    slow::listen(&mut client)
}

fn is_silent_after_one(mut client: &mut dyn Peer, _: &Trace) -> io::Result<String> {
    client.write_all(b"one\n")?;
    client.read_exact(&mut [0; 4])?;
    slow::listen(&mut client)
}

fn takes_nothing(mut client: &mut dyn Peer, trace: &Trace) -> io::Result<String> {
    slow::take_nothing(&mut client, trace)
}

/// A byte in time each time: the total ends the peer, and while it is still sending.
#[test]
fn a_peer_that_trickles_is_ended_by_the_whole_request() -> Result {
    let deadlines = Deadlines::new().first_byte(AMPLE).idle(AMPLE).request(2 * SHORT);
    ends(deadlines, "Request", trickles)
}

#[test]
fn a_peer_that_trickles_is_ended_by_the_rate() -> Result {
    let deadlines = Deadlines::new().idle(AMPLE).request(AMPLE).min_rate(1 << 20, SHORT);
    ends(deadlines, "Rate", trickles)
}

#[test]
fn a_silent_peer_is_ended_by_the_first_byte() -> Result {
    let deadlines = Deadlines::new().first_byte(SHORT).idle(AMPLE).request(AMPLE);
    ends(deadlines, "FirstByte", is_silent)?;
    // What comes before a deadline may last no longer.
    ends(Deadlines::new().idle(SHORT), "FirstByte", is_silent)?;
    ends(Deadlines::new().request(SHORT), "FirstByte", is_silent)
}

#[test]
fn a_peer_that_falls_silent_is_ended_by_idle() -> Result {
    let deadlines = Deadlines::new().first_byte(AMPLE).idle(SHORT).request(AMPLE);
    ends(deadlines, "Idle", falls_silent)?;
    ends(deadlines, "Idle", is_silent_after_one)?;
    ends(Deadlines::new().first_byte(AMPLE).request(SHORT), "Idle", is_silent_after_one)
}

#[test]
fn a_peer_that_takes_nothing_is_ended_by_the_write() -> Result {
    ends(Deadlines::new().request(AMPLE).write(SHORT), "Write", takes_nothing)?;
    ends(Deadlines::new().request(SHORT), "Request", takes_nothing)
}

/// A handler held to deadlines handles one request of a client that `play` is.
fn handled<H>(
    deadlines: Deadlines,
    timeout: Option<Duration>,
    handler: H,
    play: &[u8],
) -> Result<String>
where
    Guarded<H>: Handler<TcpRequest>,
{
    let options = timeout.into_iter().fold(Tcp::options(), |options, time| options.timeout(time));
    let guarded = deadlines.guard(handler)?;
    let mut server = Server::new(options.bind("127.0.0.1:0")?, OneByOne, guarded)?;
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(play)?;
    server.handle_request()?;
    Ok(slow::listen(&mut client)?)
}

fn which(error: &io::Error) -> Option<&DeadlinePassed> {
    error.get_ref()?.downcast_ref()
}

/// Only waiting for the peer is ended.
#[test]
fn a_handler_may_take_its_time() -> Result {
    let brief = Duration::from_millis(20);
    let deadlines =
        Deadlines::new().first_byte(brief).idle(brief).min_rate(1 << 20, brief).write(brief);
    let handler = handler_fn(|conn: &mut TcpRequest| {
        let mut line = String::new();
        for _ in 0..2 {
            let_pass(SHORT);
            conn.read_line(&mut line)?;
        }
        let_pass(SHORT);
        conn.write_all(line.as_bytes())
    });
    assert_eq!(handled(deadlines, None, handler, b"one\ntwo\n")?, "one\ntwo");
    Ok(())
}

/// The time of an exchange begins anew with each; that of all together is longer.
#[test]
fn each_exchange_has_its_own_time() -> Result {
    let deadlines = Deadlines::new().idle(AMPLE).request(Duration::from_secs(1));
    let trace = Trace::new()?;
    let running =
        TcpServer::bind("127.0.0.1:0", deadlines.guard(Lines(trace.clone()))?)?.spawn()?;
    let mut client = net::connect(running.local_addr()?)?;
    for _ in 0..6 {
        let_pass(Duration::from_millis(300));
        client.write_all(b"one\n")?;
        client.read_exact(&mut [0; 4])?;
    }
    drop(client);
    running.stop();
    running.join()?.close()?;
    assert!(trace.words()?.is_empty());
    Ok(())
}

/// A handler that does not mind the error gets it again, whatever the peer has sent by then.
#[test]
fn a_deadline_that_has_passed_has_passed_for_good() -> Result {
    let (late, is_late) = channel();
    let (sent, is_sent) = channel();
    let is_sent = Mutex::new(is_sent);
    let handler = handler_fn(move |conn: &mut TcpRequest| {
        for _ in 0..3 {
            let error = conn.read_line(&mut String::new()).expect_err("it is too late");
            assert_eq!(which(&error), Some(&DeadlinePassed::FirstByte));
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            late.send(()).map_err(io::Error::other)?;
            is_sent.lock().unwrap().recv_timeout(PATIENCE).map_err(io::Error::other)?;
        }
        conn.write_all(b"a last word\n")
    });
    let guarded = Deadlines::new().first_byte(SHORT).guard(handler)?;
    let running = TcpServer::bind("127.0.0.1:0", guarded)?.spawn()?;
    let mut client = net::connect(running.local_addr()?)?;
    for _ in 0..3 {
        is_late.recv_timeout(PATIENCE)?;
        client.write_all(b"a line\n")?;
        sent.send(())?;
    }
    let mut said = [0; 11];
    client.read_exact(&mut said)?;
    assert_eq!(&said, b"a last word");
    drop(client);
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// Python's timeout is that of each read, and the connection can be read again after it: the
/// shorter of the two ends a read, and the deadline does not begin anew.
#[test]
fn a_timeout_and_a_deadline_go_together() -> Result {
    let handler = handler_fn(|conn: &mut TcpRequest| {
        let mut timeouts = 0;
        let last = loop {
            match conn.read_line(&mut String::new()) {
                Err(error) if which(&error).is_some() => break error,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                    timeouts += 1;
                    assert!(timeouts < 100, "the deadline begins anew with each read");
                }
                Ok(count) => panic!("{count} bytes"),
            }
        };
        assert!(timeouts > 0, "the timeout is the shorter");
        writeln!(conn, "{:?}", which(&last))
    });
    let deadlines = Deadlines::new().first_byte(2 * SHORT);
    let said = handled(deadlines, Some(Duration::from_millis(20)), handler, b"")?;
    assert_eq!(said, "Some(FirstByte)");

    let handler = handler_fn(|conn: &mut TcpRequest| {
        conn.set_timeout(Some(SHORT))?;
        let error = conn.read_line(&mut String::new()).expect_err("nobody has said anything");
        assert_eq!(which(&error), None, "{error}");
        conn.set_timeout(None)?;
        let error = conn.read_line(&mut String::new()).expect_err("nobody has said anything");
        writeln!(conn, "{:?}", which(&error))
    });
    let said = handled(Deadlines::new().idle(3 * SHORT), None, handler, b"")?;
    assert_eq!(said, "Some(FirstByte)");
    Ok(())
}

/// A handler sets the deadlines of one connection by itself.
#[test]
fn deadlines_can_be_replaced() -> Result {
    let handler = handler_fn(|conn: &mut TcpRequest| {
        conn.read_line(&mut String::new())?;
        conn.set_deadlines(Deadlines::new().idle(SHORT))?;
        let error = conn.read_line(&mut String::new()).expect_err("nobody has said more");
        writeln!(conn, "{:?}", which(&error))
    });
    assert_eq!(handled(Deadlines::new().idle(AMPLE), None, handler, b"one\n")?, "Some(Idle)");
    Ok(())
}

#[test]
fn deadlines_that_leave_no_time_are_refused_with_words() {
    let zero = Duration::ZERO;
    for (deadlines, name) in [
        (Deadlines::new().first_byte(zero), "first_byte"),
        (Deadlines::new().idle(zero), "idle"),
        (Deadlines::new().request(zero), "request"),
        (Deadlines::new().min_rate(1, zero), "min_rate"),
        (Deadlines::new().min_rate(0, SHORT), "min_rate"),
        (Deadlines::new().write(zero), "write"),
    ] {
        let error = deadlines.guard(()).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// A request that notes what is done with it.
#[derive(Default)]
struct Noted(Vec<&'static str>);

impl Connection for Noted {
    fn set_deadlines(&mut self, _deadlines: Deadlines) -> io::Result<()> {
        self.0.push("set_deadlines");
        Ok(())
    }

    fn set_hangup(&mut self, _hangup: Hangup) -> io::Result<()> {
        Ok(())
    }

    fn set_stage_end(&mut self, _end: Option<Instant>) {}
}

/// Notes which of its hooks are called.
#[derive(Default)]
struct Noting(Mutex<Vec<&'static str>>);

impl Handler<Noted> for Noting {
    fn handle(&self, request: &mut Noted) -> io::Result<Next> {
        request.0.push("handle");
        Ok(Next::Done)
    }

    fn setup(&self, request: &mut Noted) -> io::Result<()> {
        request.0.push("setup");
        Ok(())
    }

    fn finish(&self, request: &mut Noted) -> io::Result<()> {
        request.0.push("finish");
        Ok(())
    }

    fn verify_request(&self, _request: &Noted) -> io::Result<bool> {
        Ok(false)
    }

    fn handle_timeout(&self) {
        self.0.lock().unwrap().push("handle_timeout");
    }

    fn service_actions(&self) {
        self.0.lock().unwrap().push("service_actions");
    }

    fn get_request_failed(&self, _error: &io::Error) {
        self.0.lock().unwrap().push("get_request_failed");
    }
}

/// `handle_error` is seen above: it says the last word.
#[test]
fn every_hook_is_passed_on() -> Result {
    let guarded = Deadlines::new().guard(Noting::default())?;
    let mut request = Noted::default();
    assert!(!guarded.verify_request(&request)?);
    guarded.setup(&mut request)?;
    guarded.handle(&mut request)?;
    guarded.finish(&mut request)?;
    assert_eq!(request.0, ["set_deadlines", "setup", "handle", "finish"]);
    guarded.handle_timeout();
    guarded.service_actions();
    guarded.get_request_failed(&io::Error::other("as if"));
    let noted = guarded.get_ref().0.lock().unwrap().clone();
    assert_eq!(noted, ["handle_timeout", "service_actions", "get_request_failed"]);
    Ok(())
}

/// Boxed handlers and those that don't know what their request is are guarded as others are.
#[test]
fn any_handler_of_connections_can_be_guarded() -> Result {
    let boxed: Box<dyn Handler<TcpRequest>> = Box::new(net::Echo);
    assert_eq!(handled(Deadlines::new().request(AMPLE), None, boxed, b"one\n")?, "one");
    let guarded: Box<dyn Handler<TcpRequest>> = Box::new(Deadlines::new().guard(net::Echo)?);
    let mut server: TcpServer<_> = Server::bind("127.0.0.1:0", guarded)?;
    drop(net::connect(server.local_addr()?)?);
    assert_eq!(server.handle_request()?, Outcome::Handled);
    Ok(())
}
