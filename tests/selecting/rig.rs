//! A server of lines in a table, the transports and strategies it is run under, and its clients.

use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net as unix;

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Concurrency, Connection, Counters, Failure, Handler, Next, ReadLine, Report, Running, Server,
    line_missing,
};
use tempfile::TempDir;

use crate::support::net::{PATIENCE, Reach};
use crate::support::slow::{Peer, passed};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// No line is longer.
const LINE: usize = 1000;

/// A stream transport.
pub(crate) trait Stream:
    Reach<Request: BufRead + Write + Connection + Send, Addr: Send + Sync, Client: Client>
    + Send
    + Sync
    + 'static
{
}

impl<T> Stream for T
where
    T: Reach<Request: BufRead + Write + Connection + Send, Addr: Send + Sync, Client: Client>,
    T: Send + Sync + 'static,
{
}

/// Its client.
pub(crate) trait Client: Peer + Send + Sized + 'static {
    fn shut_down(&self) -> io::Result<()>;
    fn another(&self) -> io::Result<Self>;
}

impl Client for TcpStream {
    fn shut_down(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn another(&self) -> io::Result<Self> {
        self.try_clone()
    }
}

impl Client for unix::UnixStream {
    fn shut_down(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn another(&self) -> io::Result<Self> {
        self.try_clone()
    }
}

/// Runs each of these tests over both stream transports, on one thread and on many.
macro_rules! everywhere {
    ($($(#[$attribute:meta])* $name:ident;)*) => {$(
        $(#[$attribute])*
        mod $name {
            use socketserver::{Selecting, Sync, Tcp, Threading, UnixStream};

            #[test]
            fn over_tcp_on_one_thread() -> $crate::rig::Result {
                super::$name::<Tcp, _>(Selecting::new(Sync))
            }

            #[test]
            fn over_tcp_on_many() -> $crate::rig::Result {
                super::$name::<Tcp, _>(Selecting::new(Threading::new()))
            }

            #[test]
            fn over_unix_on_one_thread() -> $crate::rig::Result {
                super::$name::<UnixStream, _>(Selecting::new(Sync))
            }

            #[test]
            fn over_unix_on_many() -> $crate::rig::Result {
                super::$name::<UnixStream, _>(Selecting::new(Threading::new()))
            }
        }
    )*};
}
pub(crate) use everywhere;

/// So many bytes, of which no part is like another.
pub(crate) fn text(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    for number in 0_u64.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Does what each line says, and tells of all that happens to it:
///
/// * `long N` is answered with so many bytes, `last N` is too, and ends the connection;
/// * `ask N` as well, and then with the next line, which is read where the handler runs;
/// * `wait` is answered when the test says so;
/// * `error` and `panic` are what happens;
/// * `bye` ends the connection, and any other line is its own answer.
pub(crate) struct Lines {
    tell: Sender<String>,
    go: Receiver<()>,
}

/// What the test has of them.
pub(crate) struct Ear {
    pub(crate) said: Receiver<String>,
    pub(crate) go: Sender<()>,
}

pub(crate) fn lines() -> (Lines, Ear) {
    let ((tell, said), (go, gone)) = (unbounded(), unbounded());
    (Lines { tell, go: gone }, Ear { said, go })
}

impl Lines {
    fn tell(&self, what: String) {
        // A test that is over does not listen.
        let _ = self.tell.send(what);
    }
}

impl<R: BufRead + Write> Handler<R> for Lines {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = String::new();
        if request.read_line_bounded(&mut line, LINE)? == 0 {
            self.tell("end".into());
            return Ok(Next::Done);
        }
        let line = line.trim_end();
        self.tell(line.into());
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let length = rest.parse().unwrap_or(0);
        match word {
            "long" | "last" => request.write_all(&text(length))?,
            "ask" => {
                request.write_all(&text(length))?;
                let mut answer = String::new();
                request.read_line_bounded(&mut answer, LINE)?;
                request.write_all(answer.as_bytes())?;
            }
            "wait" => {
                self.go.recv_timeout(PATIENCE).map_err(io::Error::other)?;
                request.write_all(b"wait\n")?;
            }
            "error" => return Err(io::Error::other("as it was asked")),
            "panic" => panic!("as it was asked"),
            // In one piece: two would have the second wait for the peer (RFC 1122, 4.2.3.2 and 4.2.3.4).
            _ => request.write_all(format!("{line}\n").as_bytes())?,
        }
        Ok(if matches!(word, "last" | "bye") { Next::Done } else { Next::Again })
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, LINE)
    }

    fn handle_error(&self, request: &mut R, failure: &Failure) {
        let what = passed(failure).map_or_else(
            || format!("{:?} {:?}", failure.stage(), failure.kind()),
            |passed| format!("{passed:?}"),
        );
        let _ = writeln!(request, "sorry");
        self.tell(format!("failed: {what}"));
    }
}

impl Ear {
    /// The next thing that happens.
    pub(crate) fn hear(&self) -> Result<String> {
        Ok(self.said.recv_timeout(PATIENCE)?)
    }

    pub(crate) fn hears(&self, what: &str) -> Result {
        assert_eq!(self.hear()?, what);
        Ok(())
    }
}

/// A server that runs.
pub(crate) struct Table<T: Stream, C, H> {
    running: Running<T, C, H>,
    pub(crate) counters: Counters,
    dir: TempDir,
}

impl<T, C, H> Table<T, C, H>
where
    T: Stream,
    C: Concurrency<T, H> + Send + 'static,
    H: Handler<T::Request> + Send + Sync + 'static,
{
    pub(crate) fn new(strategy: C, handler: H) -> Result<Self> {
        Self::with(strategy, handler, Ok)
    }

    pub(crate) fn with(
        strategy: C,
        handler: H,
        set_up: impl FnOnce(Server<T, C, H>) -> io::Result<Server<T, C, H>>,
    ) -> Result<Self> {
        let (counters, dir) = (Counters::new()?, tempfile::tempdir()?);
        let server = Server::new(T::open(dir.path())?, strategy, handler)?;
        let running = set_up(server.counters(&counters))?.spawn()?;
        Ok(Self { running, counters, dir })
    }

    /// A client that has sent this.
    pub(crate) fn client(&self, bytes: impl AsRef<[u8]>) -> Result<T::Client> {
        Ok(T::send(&self.running.local_addr()?, self.dir.path(), bytes.as_ref())?)
    }

    pub(crate) fn stop(&self) {
        self.running.stop();
    }

    /// The server, when it has returned.
    pub(crate) fn end(self) -> Result<Server<T, C, H>> {
        Ok(self.running.join()?)
    }

    pub(crate) fn close(self) -> Result<Report> {
        self.stop();
        Ok(self.end()?.close()?)
    }
}

/// Sends this.
pub(crate) fn say(client: &mut impl Write, bytes: impl AsRef<[u8]>) -> Result {
    Ok(client.write_all(bytes.as_ref())?)
}

/// Hears this.
pub(crate) fn hear(client: &mut impl Read, bytes: impl AsRef<[u8]>) -> Result {
    let bytes = bytes.as_ref();
    let mut heard = vec![0; bytes.len()];
    client.read_exact(&mut heard)?;
    assert!(heard == bytes, "{:?}", String::from_utf8_lossy(&heard[..heard.len().min(200)]));
    Ok(())
}

/// Hears this, and the end.
pub(crate) fn hear_last(client: &mut impl Read, bytes: impl AsRef<[u8]>) -> Result {
    hear(client, bytes)?;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest)?;
    assert_eq!(String::from_utf8_lossy(&rest), "");
    Ok(())
}

/// Sends a line, and hears the same.
pub(crate) fn exchange(client: &mut (impl Read + Write), line: &str) -> Result {
    say(client, line)?;
    hear(client, line)
}
