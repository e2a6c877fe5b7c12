//! Urgent data on real connections: a handler that computes hears of it, under every strategy and
//! over both kinds of sockets; where the mark is; and that nobody spins while it waits. Each case runs
//! in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net as unix;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use socket2::SockRef;
use socketserver::{
    Concurrency, Deadlines, ForkServer, Forking, Guarded, Handler, Next, Outcome, ReadLine,
    Selecting, Server, StreamRequest, StreamSocket, Sync as OneByOne, Tcp, TcpRequest, ThreadPool,
    Threading, UnixStream, line_missing,
};
use support::net::{self, PATIENCE, Reach};
use support::time::let_pass;
use support::{alone, role};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    macro_rules! under {
        ($($name:literal $strategy:expr;)* in a table: $($table:literal $selecting:expr;)*) => {
            alone::run(&[
                $((concat!("tcp_interrupts_", $name), || in_step::<Tcp, _>($strategy)),)*
                $((concat!("unix_interrupts_", $name), || in_step::<UnixStream, _>($strategy)),)*
                $((concat!("tcp_interrupts_", $table), || in_table::<Tcp, _>($selecting)),)*
                $((concat!("unix_interrupts_", $table), || in_table::<UnixStream, _>($selecting)),)*
                ("reads_end_before_the_mark", || marks(false)),
                ("a_byte_that_is_in_line_stands_behind_the_mark", || marks(true)),
                ("where_nothing_is_urgent_nothing_is_said_to_be", nothing),
                ("a_table_keeps_the_byte_that_it_reads_past", kept),
                ("a_table_does_not_spin_while_a_byte_waits", || at_rest(Selecting::new(OneByOne))),
                ("a_table_of_threads_does_not_spin", || at_rest(Selecting::new(Threading::new()))),
                ("a_connection_with_deadlines_does_not_spin", || at_rest(Threading::new())),
            ])
        };
    }
    role::play(&[("tcp", client::<Tcp>), ("unix", client::<UnixStream>)]).unwrap_or_else(|| {
        under! {
            "sync" OneByOne;
            "threading" Threading::new();
            "a_pool" ThreadPool::new(2);
            "forking" Forking::new();
            "a_fork_server" ForkServer::new();
            in a table:
            "a_table" Selecting::new(OneByOne);
            "a_table_with_a_pool" Selecting::new(ThreadPool::new(2));
        }
    })
}

/// Computes at each line but one, until it is interrupted; then forgets what was sent before that.
struct Computes;

impl<S: StreamSocket, A> Handler<StreamRequest<S, A>> for Computes {
    fn handle(&self, conn: &mut StreamRequest<S, A>) -> io::Result<Next> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, 100)? == 0 || line == b"end\n" {
            return Ok(Next::Done);
        }
        conn.write_all(b"computing\n")?;
        let begun = Instant::now();
        while !conn.is_urgent()? {
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::yield_now();
        }
        let byte = conn.recv_urgent()?;
        let before = conn.read_bytes_bounded(&mut Vec::new(), 100)?;
        writeln!(conn, "interrupted by {byte:?}, {before} bytes behind")?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }
}

/// The next line.
fn hear(client: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        line.extend(byte);
    }
    String::from_utf8(line).map_err(io::Error::other)
}

/// A transport of connections, and what a client in another process is told.
trait Stream: Reach<Client: Read + Write + AsFd> {
    const ROLE: &str;
    fn word(at: &Self::Addr) -> String;
    fn connect(word: &str) -> io::Result<Self::Client>;
}

impl Stream for Tcp {
    const ROLE: &str = "tcp";

    fn word(at: &SocketAddr) -> String {
        at.to_string()
    }

    fn connect(word: &str) -> io::Result<TcpStream> {
        net::connect(word.parse().map_err(io::Error::other)?)
    }
}

impl Stream for UnixStream {
    const ROLE: &str = "unix";

    fn word(at: &unix::SocketAddr) -> String {
        at.as_pathname().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn connect(word: &str) -> io::Result<unix::UnixStream> {
        let client = unix::UnixStream::connect(word)?;
        client.set_read_timeout(Some(PATIENCE))?;
        Ok(client)
    }
}

/// What a client does: it types ahead, and the interrupt gets ahead of that.
fn interrupt(mut client: impl Read + Write + AsFd) -> Result {
    for byte in *b"!?" {
        client.write_all(b"go\n")?;
        assert_eq!(hear(&mut client)?, "computing\n");
        client.write_all(b"typed\n")?;
        SockRef::from(&client).send_out_of_band(&[byte])?;
        assert_eq!(hear(&mut client)?, format!("interrupted by Some({byte}), 6 bytes behind\n"));
    }
    client.write_all(b"end\n")?;
    assert_eq!(net::all(&mut client)?, b"");
    Ok(())
}

/// As a role: a process that forks has one thread, and no time for its client.
fn client<T: Stream>(arguments: &[String]) -> Result {
    interrupt(T::connect(arguments.first().ok_or("no address")?)?)
}

fn in_step<T: Stream, C: Concurrency<T, Computes>>(strategy: C) -> Result
where
    Computes: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let mut server = Server::new(T::open(dir.path())?, strategy, Computes)?;
    let client = role::command(T::ROLE)?.arg(T::word(&server.local_addr()?)).spawn()?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    // Wherever it runs by now.
    role::finished(client)?;
    server.close()?;
    Ok(())
}

fn in_table<T, C>(strategy: C) -> Result
where
    T: Stream + Send + Sync + 'static,
    C: Concurrency<T, Computes> + Send + 'static,
    Computes: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let running = Server::new(T::open(dir.path())?, strategy, Computes)?.spawn()?;
    interrupt(T::connect(&T::word(&running.local_addr()?))?)?;
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// Reads all as it comes, and says where each read has ended.
fn marks(in_line: bool) -> Result {
    let tcp = Tcp::options().out_of_band_inline(in_line).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(tcp, OneByOne, |conn: &mut TcpRequest| {
        while !conn.is_urgent()? {
            thread::yield_now();
        }
        let mut bytes = [0; 100];
        for _ in 0..2 {
            // One after the other.
            let count = conn.read(&mut bytes)?;
            let (at, urgent) = (conn.is_at_mark()?, conn.is_urgent()?);
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let byte = conn.recv_urgent()?;
            writeln!(conn, "{text} {at} {urgent} {byte:?}")?;
        }
        Ok(())
    })?;
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(b"before")?;
    SockRef::from(&client).send_out_of_band(b"!")?;
    client.write_all(b"after")?;
    // All has come when it is answered.
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let wanted = if in_line {
        "before true true None\n!after false false None\n"
    } else {
        "before true true Some(33)\nafter false false None\n"
    };
    assert_eq!(String::from_utf8(net::all(client)?)?, wanted);
    server.close()?;
    Ok(())
}

fn nothing() -> Result {
    fn told<S: StreamSocket, A>(conn: &mut StreamRequest<S, A>) -> io::Result<()> {
        conn.fill_buf()?;
        let told = (conn.is_urgent()?, conn.recv_urgent()?, conn.is_at_mark()?);
        conn.consume(1);
        writeln!(conn, "{told:?} {}", conn.is_at_mark()?)
    }
    let mut server = Server::new_fn(Tcp::open(Path::new(""))?, OneByOne, told)?;
    let client = <Tcp as Reach>::send(&server.local_addr()?, Path::new(""), b"x")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(net::all(client)?, b"(false, None, false) false\n");

    let dir = tempfile::tempdir()?;
    let mut server = Server::new_fn(UnixStream::open(dir.path())?, OneByOne, told)?;
    let client = <UnixStream as Reach>::send(&server.local_addr()?, dir.path(), b"x")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(net::all(client)?, b"(false, None, false) false\n");
    Ok(())
}

/// More than any socket holds, and less than a table.
const MUCH: u64 = 7 << 20;

/// Says at each line what is urgent.
struct Tells;

impl Handler<TcpRequest> for Tells {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, 100)? == 0 {
            return Ok(Next::Done);
        }
        let told = (conn.is_urgent()?, conn.recv_urgent()?, conn.is_urgent()?);
        if line == b"much\n" {
            conn.write_all(&[b'.'; MUCH as usize])?;
        }
        writeln!(conn, "{} {told:?}", String::from_utf8_lossy(line.trim_ascii_end()))?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }
}

/// A line is taken in on both sides of the mark before the handler is asked.
fn kept() -> Result {
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let running = Server::new(tcp, Selecting::new(OneByOne), Tells)?.spawn()?;
    let mut client = net::connect(running.local_addr()?)?;
    for byte in *b"!?" {
        client.write_all(b"tw")?;
        SockRef::from(&client).send_out_of_band(&[byte])?;
        client.write_all(b"o\n")?;
        assert_eq!(hear(&mut client)?, format!("two (true, Some({byte}), false)\n"));
        client.write_all(b"three\n")?;
        assert_eq!(hear(&mut client)?, "three (false, None, false)\n");
    }
    drop(client);
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// The processor time of this process.
fn spent() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// An urgent byte waits, and nobody reads: the peer has yet to take an answer.
fn at_rest<C>(strategy: C) -> Result
where
    C: Concurrency<Tcp, Guarded<Tells>> + Send + 'static,
{
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let handler = Deadlines::new().request(PATIENCE).guard(Tells)?;
    let running = Server::new(tcp, strategy, handler)?.spawn()?;
    let mut client = net::connect(running.local_addr()?)?;
    client.write_all(b"much\n")?;
    // The answer has begun.
    client.read_exact(&mut [0])?;
    SockRef::from(&client).send_out_of_band(b"!")?;
    let_pass(Duration::from_millis(100));
    let before = spent()?;
    let_pass(Duration::from_millis(500));
    let spent = spent()? - before;
    assert!(spent < Duration::from_millis(50), "{spent:?}");
    io::copy(&mut (&client).take(MUCH - 1), &mut io::sink())?;
    assert_eq!(hear(&mut client)?, "much (false, None, false)\n");
    client.write_all(b"two\n")?;
    // Only a table has kept the byte.
    assert!(hear(&mut client)?.starts_with("two ("));
    drop(client);
    running.stop();
    running.join()?.close()?;
    Ok(())
}
