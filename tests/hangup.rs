//! How connections end: what the policies lose and what they don't, and what a drain is bounded by.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{
    Connection, Failure, Forking, Handler, Hangup, Next, Outcome, Server, StreamRequest,
    StreamSocket, Sync as OneByOne, Tcp, TcpRequest, UnixStream,
};
use support::net::{self, PATIENCE, Reach};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const RUNS: usize = 50;
const REPLY: usize = 1_000_000;
const HALF: usize = 1000;

/// So long that a drain which lasts to its bound in time is told from one that does not.
const FOREVER: Duration = Duration::from_secs(60);

/// A drain that only its bytes, or the peer, end.
fn thorough() -> Hangup {
    Hangup::Drain { bytes: 1 << 30, time: FOREVER }
}

/// A stream transport with a policy, that reads no more at a time than is asked for.
trait Ending: Reach<Client: Read + Write + Send> {
    fn with(hangup: Hangup, dir: &Path) -> io::Result<Self>;
}

impl Ending for Tcp {
    fn with(hangup: Hangup, _dir: &Path) -> io::Result<Self> {
        Self::options().hangup(hangup).rbufsize(HALF).bind("127.0.0.1:0")
    }
}

impl Ending for UnixStream {
    fn with(hangup: Hangup, dir: &Path) -> io::Result<Self> {
        Self::options().hangup(hangup).rbufsize(HALF).bind(dir.join("server"))
    }
}

/// How a client saw its connection end.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    bytes: usize,
    end: std::result::Result<(), ErrorKind>,
}

const WHOLE: Seen = Seen { bytes: REPLY, end: Ok(()) };

fn see(client: &mut impl Read) -> Seen {
    let mut bytes = Vec::new();
    let end = client.read_to_end(&mut bytes).map(drop).map_err(|error| error.kind());
    Seen { bytes: bytes.len(), end }
}

/// Reads half of the request, and answers at length: through the request, or past it.
struct HalfRead {
    past_it: bool,
}

impl<S: StreamSocket, A> Handler<StreamRequest<S, A>> for HalfRead
where
    for<'a> &'a S: Write,
{
    fn handle(&self, conn: &mut StreamRequest<S, A>) -> io::Result<Next> {
        let reply = vec![b'r'; REPLY];
        if self.past_it {
            conn.get_ref().write_all(&reply)?;
        } else {
            conn.read_exact(&mut [0; HALF])?;
            conn.write_all(&reply)?;
        }
        Ok(Next::Done)
    }
}

/// What `RUNS` clients see that send a part of their request late.
fn half_read<T>(hangup: Hangup, past_it: bool) -> Result<Vec<Seen>>
where
    T: Ending + Send + Sync + 'static,
    T::Addr: 'static,
    HalfRead: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let transport = T::with(hangup, dir.path())?;
    let running = Server::new(transport, OneByOne, HalfRead { past_it })?.spawn()?;
    let address = running.local_addr()?;
    let mut seen = Vec::new();
    for _ in 0..RUNS {
        let mut client = T::send(&address, dir.path(), &[b'x'; 2 * HALF])?;
        // It has begun to answer: this is late. A connection that is gone by then is seen below.
        client.read_exact(&mut [0; 1])?;
        let _ = client.write_all(&[b'y'; HALF]);
        let Seen { bytes, end } = see(&mut client);
        seen.push(Seen { bytes: bytes + 1, end });
    }
    running.stop();
    running.join()?.close()?;
    Ok(seen)
}

fn whole(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| **seen == WHOLE).count()
}

#[test]
fn by_default_nothing_of_a_reply_is_lost() -> Result {
    for seen in [
        half_read::<Tcp>(Hangup::default(), false)?,
        half_read::<Tcp>(Hangup::default(), true)?,
        half_read::<UnixStream>(Hangup::default(), false)?,
    ] {
        assert_eq!(whole(&seen), RUNS, "{seen:?}");
    }
    Ok(())
}

/// What the default is for: the same without it.
#[test]
fn pythons_way_cuts_replies_over_tcp() -> Result {
    let seen = half_read::<Tcp>(Hangup::Shutdown, false)?;
    assert!(whole(&seen) < RUNS, "none of {RUNS} was cut: the tests beside this one show nothing");
    Ok(())
}

/// A Unix socket hands its bytes to the peer's queue itself: a close with input unread takes none
/// back, but makes the end a reset.
#[test]
fn pythons_way_spoils_the_end_over_unix_sockets() -> Result {
    let seen = half_read::<UnixStream>(Hangup::Shutdown, false)?;
    assert!(seen.iter().all(|seen| seen.bytes == REPLY), "{seen:?}");
    let reset = |seen: &Seen| seen.end == Err(ErrorKind::ConnectionReset);
    assert!(seen.iter().any(reset), "{seen:?}");
    Ok(())
}

#[test]
fn a_reset_is_one() -> Result {
    let tcp = Tcp::options().hangup(Hangup::Reset).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(tcp, OneByOne, |conn| {
        conn.read_line(&mut String::new())?;
        conn.write_all(b"never mind\n")
    })?;
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(b"hello\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(see(&mut client).end, Err(ErrorKind::ConnectionReset));
    Ok(())
}

/// Sends without end; returns once the server has let go.
fn trickle(mut client: impl Write) -> ErrorKind {
    let begun = Instant::now();
    loop {
        if let Err(error) = client.write_all(&[b'x'; 512]) {
            return error.kind();
        }
        assert!(begun.elapsed() < PATIENCE, "nobody ends this peer");
    }
}

fn outlasts<T>(hangup: Hangup) -> Result
where
    T: Ending,
    HalfRead: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let transport = T::with(hangup, dir.path())?;
    let server = &mut Server::new(transport, OneByOne, HalfRead { past_it: false })?;
    let client = T::send(&server.local_addr()?, dir.path(), &[b'x'; HALF])?;
    thread::scope(|scope| {
        let peer = scope.spawn(move || -> io::Result<ErrorKind> {
            let mut client = client;
            client.read_exact(&mut vec![0; REPLY])?;
            Ok(trickle(client))
        });
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let end = peer.join().expect("the peer panicked")?;
        assert!(matches!(end, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{end:?}");
        Ok(())
    })
}

#[test]
fn a_peer_that_sends_for_ever_is_ended_by_the_bytes() -> Result {
    outlasts::<Tcp>(Hangup::Drain { bytes: 100_000, time: FOREVER })?;
    outlasts::<UnixStream>(Hangup::Drain { bytes: 100_000, time: FOREVER })
}

#[test]
fn a_peer_that_sends_for_ever_is_ended_by_the_time() -> Result {
    let time = Duration::from_millis(100);
    outlasts::<Tcp>(Hangup::Drain { bytes: usize::MAX, time })?;
    outlasts::<UnixStream>(Hangup::Drain { bytes: usize::MAX, time })
}

/// Handles one request whose client stays, and says whether that lasted as long as a drain may.
fn waits<F>(sends: &[u8], time: Duration, handle: F) -> Result<bool>
where
    F: Fn(&mut TcpRequest) -> io::Result<()>,
{
    let tcp = Tcp::options().hangup(Hangup::Drain { bytes: 1 << 30, time }).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(tcp, OneByOne, handle)?;
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(sends)?;
    let begun = Instant::now();
    server.handle_request()?;
    let waited = begun.elapsed() >= time;
    drop(client);
    Ok(waited)
}

#[test]
fn nobody_is_waited_for_where_nothing_can_be_lost() -> Result {
    let line = |conn: &mut TcpRequest| conn.read_line(&mut String::new()).map(drop);
    assert!(!waits(b"", PATIENCE, |_| Ok(()))?, "nothing was sent");
    assert!(!waits(b"x\n", PATIENCE, |_| Ok(()))?, "nothing was sent, something unread");
    assert!(!waits(b"x\n", PATIENCE, line)?, "nothing was sent, all was read");
    let answered = |conn: &mut TcpRequest| {
        line(conn)?;
        conn.write_all(b"short\n")
    };
    assert!(!waits(b"x\n", PATIENCE, answered)?, "a short answer, all was read");
    assert!(
        !waits(b"", PATIENCE, |conn| conn.write_all(b"hello\n"))?,
        "a greeting, and nothing to read"
    );
    let exact = |conn: &mut TcpRequest| {
        conn.read_exact(&mut [0; 9000])?;
        conn.write_all(b"short\n")
    };
    assert!(!waits(&[b'x'; 9000], PATIENCE, exact)?, "a look shows that all was read");
    let (sender, receiver) = channel();
    let detached = move |conn: &mut TcpRequest| {
        conn.write_all(&[0; 20_000])?;
        sender.send(conn.detach()?).map_err(io::Error::other)
    };
    assert!(!waits(b"x\n", PATIENCE, detached)?, "the connection is somebody else's");
    drop(receiver);
    Ok(())
}

const BRIEF: Duration = Duration::from_millis(100);

#[test]
fn the_peer_is_waited_for_where_something_can_be_lost() -> Result {
    let line = |conn: &mut TcpRequest| conn.read_line(&mut String::new()).map(drop);
    assert!(
        waits(b"x\n", BRIEF, |conn| conn.write_all(b"hello\n"))?,
        "nobody has read what it sent"
    );
    let first = |conn: &mut TcpRequest| {
        line(conn)?;
        conn.write_all(b"short\n")
    };
    assert!(waits(b"x\ny\n", BRIEF, first)?, "only the buffer has read the second line");
    let long = |conn: &mut TcpRequest| {
        line(conn)?;
        conn.write_all(&[0; 20_000])
    };
    assert!(waits(b"x\n", BRIEF, long)?, "a long answer");
    assert!(waits(b"", BRIEF, |conn| conn.get_ref().write_all(b"hello\n"))?, "past the request");
    let more = |conn: &mut TcpRequest| {
        line(conn)?;
        conn.set_hangup(Hangup::Drain { bytes: 1, time: BRIEF })
    };
    assert!(
        waits(b"x\n", PATIENCE, more).is_ok_and(|waited| !waited),
        "and no longer than it says"
    );
    assert!(waits(b"x\n", BRIEF, more)?, "the handler knows that more will come");
    Ok(())
}

/// Says a last word where a request could not be started.
struct Busy;

impl<R: Write + AsFd> Handler<R> for Busy {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        Ok(Next::Done)
    }

    fn handle_error(&self, request: &mut R, _failure: &Failure) {
        let _ = request.write_all(b"busy\n");
    }
}

/// The threads of this test process are why every fork is refused, in the serve loop.
#[test]
fn the_serve_loop_waits_for_nobody() -> Result {
    let tcp = Tcp::options().hangup(thorough()).bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, Forking::new(), Busy)?;
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(b"anybody?\n")?;
    let begun = Instant::now();
    assert_eq!(server.handle_request()?, Outcome::Failed);
    assert!(begun.elapsed() < FOREVER);
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    assert_eq!(said, "busy\n");
    Ok(())
}

#[test]
fn a_drain_of_nothing_is_refused_with_words() {
    for (bytes, time) in [(0, Duration::from_secs(1)), (1, Duration::ZERO)] {
        let hangup = Hangup::Drain { bytes, time };
        let error = Tcp::options().hangup(hangup).bind("127.0.0.1:0").expect_err("a drain");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("Hangup::Shutdown"), "{error}");
    }
}
