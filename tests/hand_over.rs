//! A process that takes over from another, under load. Each case runs in a process of its own, which
//! starts one for each server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdout, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, seteuid};
use socketserver::{
    Beside, Concurrency, Drain, Either, ForkServer, Forking, HandOver, Handler, Inherited,
    LocalAddr, Next, Offered, PreForking, ReadLine, Selecting, Server, StopHandle, Sync, Tcp,
    TcpRequest, ThreadPool, Threading, UnixStream, UnixStreamRequest, line_missing,
};
use support::net::{PATIENCE, connect};
use support::processes::{eventually, lives, signal};
use support::{alone, role, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if let Some(played) = role::play(&[("server", server), ("lasting", lasting), ("fails", fails)])
    {
        return played;
    }
    alone::run(&[
        ("nobody_is_lost_under_sync", || nobody_is_lost("sync")),
        ("nobody_is_lost_under_threading", || nobody_is_lost("threading")),
        ("nobody_is_lost_under_a_thread_pool", || nobody_is_lost("thread-pool")),
        ("nobody_is_lost_under_selecting", || nobody_is_lost("selecting")),
        ("nobody_is_lost_under_forking", || nobody_is_lost("forking")),
        ("nobody_is_lost_under_a_fork_server", || nobody_is_lost("fork-server")),
        ("nobody_is_lost_under_pre_forking", || nobody_is_lost("pre-forking")),
        ("nobody_is_lost_under_pre_forking_with_threads", || nobody_is_lost("pre-threading")),
        ("who_fails_before_it_is_ready_changes_nothing", who_fails),
        ("what_is_in_flight_is_finished", in_flight),
        ("who_is_connected_hears_of_the_end_while_it_is_announced", announced),
        ("the_one_that_is_followed_may_be_killed_meanwhile", killed_meanwhile),
        ("a_stopped_one_takes_the_file_with_it_and_that_is_said", stopped_meanwhile),
        ("one_path_has_one_offer", one_offer),
        ("strangers_are_not_heard", strangers),
        ("another_user_may_not_take_them", another_user),
    ])
}

type Both = Beside<Tcp, UnixStream>;

/// Answers a line with the process that has it.
struct Tells;

impl Handler<Either<TcpRequest, UnixStreamRequest>> for Tells {
    fn handle(&self, conn: &mut Either<TcpRequest, UnixStreamRequest>) -> io::Result<Next> {
        let mut line = String::new();
        conn.read_line_bounded(&mut line, 100)?;
        conn.write_all(format!("{} {line}", OWN.load(SeqCst)).as_bytes())?;
        Ok(Next::Done)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }
}

/// The process that serves, whichever has a request.
static OWN: AtomicU64 = AtomicU64::new(0);

/// The server as a program has it: it takes over where there is somebody, and binds otherwise.
fn server(arguments: &[String]) -> Result {
    let dir = Path::new(&arguments[0]);
    OWN.store(process::id().into(), SeqCst);
    let (hand_over, mut sockets) = HandOver::take(dir.join("offer"))?;
    let tcp = match sockets.take_next(Tcp::from_socket)? {
        Some(tcp) => tcp,
        None => Tcp::options().bind("127.0.0.1:0")?,
    };
    let unix = match sockets.take_next(UnixStream::from_socket)? {
        Some(unix) => unix,
        None => UnixStream::options().bind(dir.join("socket"))?,
    };
    let transport = hand_over.offer(Beside::new(tcp, unix)?)?;
    match &*arguments[1] {
        "sync" => serve(transport, Sync, hand_over),
        "threading" => serve(transport, Threading::new(), hand_over),
        "thread-pool" => serve(transport, ThreadPool::new(2), hand_over),
        "selecting" => serve(transport, Selecting::new(Sync), hand_over),
        "forking" => serve(transport, Forking::new(), hand_over),
        "fork-server" => serve(transport, ForkServer::new(), hand_over),
        "pre-forking" => serve(transport, PreForking::new(2, Sync)?, hand_over),
        _ => serve(transport, PreForking::new(2, Threading::new())?, hand_over),
    }
}

fn serve<C>(transport: Offered<Both>, strategy: C, hand_over: HandOver) -> Result
where
    C: Concurrency<Offered<Both>, Tells>,
{
    let (tcp, _) = transport.local_addr()?;
    let mut server = Server::new(transport, strategy, Tells)?;
    signals::stop_on_usr2(server.stop_handle())?;
    say("made")?;
    hear()?;
    hand_over.ready()?;
    say(&tcp.to_string())?;
    server.serve_forever()?;
    say(if server.transport().is_handed_over() { "followed" } else { "stopped" })?;
    server.close()?;
    Ok(())
}

/// Answers each line of a connection with the process that has it, and whether that is to end.
struct Lasts(StopHandle);

impl Handler<TcpRequest> for Lasts {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut line = String::new();
        if conn.read_line_bounded(&mut line, 100)? == 0 {
            return Ok(Next::Done);
        }
        writeln!(conn, "{} {}", process::id(), self.0.is_stopping())?;
        Ok(Next::Again)
    }
}

/// A server whose end is announced.
fn lasting(arguments: &[String]) -> Result {
    let (hand_over, mut sockets) = HandOver::take(Path::new(&arguments[0]).join("offer"))?;
    let tcp = match sockets.take_next(Tcp::from_socket)? {
        Some(tcp) => tcp,
        None => Tcp::options().bind("127.0.0.1:0")?,
    };
    let mut server = Server::with_stop(hand_over.offer(tcp)?, Threading::new(), Lasts)?
        .drain(Drain::new().announce(Duration::from_secs(600)));
    signals::stop_on_usr2(server.stop_handle())?;
    say("made")?;
    hear()?;
    hand_over.with_stop(server.stop_handle()).ready()?;
    say(&server.local_addr()?.to_string())?;
    server.serve_forever()?;
    say(if server.transport().is_handed_over() { "followed" } else { "stopped" })?;
    server.close()?;
    Ok(())
}

/// Takes them, and ends.
fn fails(arguments: &[String]) -> Result {
    let (_hand_over, mut sockets) = HandOver::take(Path::new(&arguments[0]).join("offer"))?;
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    let tcp = sockets.take_next(Tcp::from_socket)?;
    let unix = sockets.take_next(UnixStream::from_socket)?;
    assert!(tcp.is_some() && unix.is_some() && sockets.is_empty());
    say("taken")
}

fn say(what: &str) -> Result {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{what}")?;
    Ok(stdout.flush()?)
}

fn hear() -> Result {
    io::stdin().read_exact(&mut [0])?;
    Ok(())
}

/// A process that plays the server.
struct Served {
    child: Child,
    said: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Served {
    /// Starts it; its server is made, and it is not ready.
    fn made(dir: &Path, strategy: &str) -> Result<Self> {
        let part = if strategy == "lasting" { strategy } else { "server" };
        let mut command = role::command(part)?;
        let mut child = command.arg(dir).arg(strategy).stdin(process::Stdio::piped()).spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut served = Self { child, said, address: ([0, 0, 0, 0], 0).into() };
        assert_eq!(served.says()?, "made");
        Ok(served)
    }

    fn become_ready(&mut self) -> Result {
        self.child.stdin.take().ok_or("it is ready")?.write_all(b"x")?;
        self.address = self.says()?.parse()?;
        Ok(())
    }

    fn start(dir: &Path, strategy: &str) -> Result<Self> {
        let mut served = Self::made(dir, strategy)?;
        served.become_ready()?;
        Ok(served)
    }

    fn says(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, which it has for this reason.
    fn ends(mut self, why: &str) -> Result {
        assert_eq!(self.says()?, why);
        role::finished(self.child)
    }

    fn stop(self) -> Result {
        signal(self.id(), Signal::SIGUSR2)?;
        self.ends("stopped")
    }
}

/// One exchange with whoever serves; which process that is.
fn exchange(mut client: impl Read + Write) -> Result<u32> {
    client.write_all(b"hello\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    match answer.split_once(' ') {
        Some((process, "hello\n")) => Ok(process.parse()?),
        _ => Err(format!("{answer:?} was answered").into()),
    }
}

fn over_unix(path: &Path) -> Result<unix::UnixStream> {
    let client = unix::UnixStream::connect(path)?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

/// Clients that come one after the other on so many threads, half of them over the Unix socket.
struct Load {
    go_on: Arc<AtomicBool>,
    /// How many have been served, and by whom the last.
    served: Arc<AtomicU64>,
    threads: Vec<JoinHandle<std::result::Result<u64, String>>>,
}

impl Load {
    fn begin(address: SocketAddr, path: &Path) -> Self {
        let (go_on, served) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let client = |number: usize| {
            let (go_on, served, path) = (Arc::clone(&go_on), Arc::clone(&served), path.to_owned());
            thread::spawn(move || {
                let mut count = 0;
                while go_on.load(SeqCst) {
                    let answered = if number % 2 == 0 {
                        connect(address).map_err(Into::into).and_then(exchange)
                    } else {
                        over_unix(&path).and_then(exchange)
                    };
                    answered.map_err(|error| format!("after {count}: {error}"))?;
                    served.fetch_add(1, SeqCst);
                    count += 1;
                }
                Ok(count)
            })
        };
        let threads = (0..4).map(client).collect();
        Self { go_on, served, threads }
    }

    /// Waits until so many more have been served.
    fn pass(&self, more: u64) -> Result {
        let until = self.served.load(SeqCst) + more;
        let all_go_on = || !self.threads.iter().any(JoinHandle::is_finished);
        eventually("clients are served", || self.served.load(SeqCst) >= until || !all_go_on())
    }

    fn end(self) -> Result<u64> {
        self.go_on.store(false, SeqCst);
        let mut all = 0;
        for thread in self.threads {
            all += thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(all)
    }
}

const NOTHING: [PathBuf; 0] = [];

/// The files that are there.
fn left(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

fn nobody_is_lost(strategy: &str) -> Result {
    const TIMES: u32 = 6;
    let dir = tempfile::tempdir()?;
    let (dir, path) = (dir.path(), dir.path().join("socket"));
    let mut served = Served::start(dir, strategy)?;
    let (address, load) = (served.address, Load::begin(served.address, &path));
    for _ in 0..TIMES {
        load.pass(60)?;
        let next = Served::start(dir, strategy)?;
        assert_eq!(next.address, address);
        served.ends("followed")?;
        served = next;
        // Its file is another's now, and nobody else is there to answer.
        assert_eq!(exchange(over_unix(&path)?)?, served.id());
        assert_eq!(exchange(connect(address)?)?, served.id());
    }
    load.pass(60)?;
    let count = load.end()?;
    assert!(count >= u64::from(60 * (TIMES + 1)), "{count}");
    served.stop()?;
    assert_eq!(left(dir)?, NOTHING);
    Ok(())
}

fn who_fails() -> Result {
    let dir = tempfile::tempdir()?;
    let (dir, path) = (dir.path(), dir.path().join("socket"));
    let served = Served::start(dir, "threading")?;
    for _ in 0..3 {
        let failed = role::command("fails")?.arg(dir).spawn()?;
        role::finished(failed)?;
        let mut killed = Served::made(dir, "threading")?;
        killed.child.kill()?;
        killed.child.wait()?;
    }
    assert_eq!(exchange(over_unix(&path)?)?, served.id());
    assert_eq!(exchange(connect(served.address)?)?, served.id());
    let next = Served::start(dir, "threading")?;
    served.ends("followed")?;
    assert_eq!(exchange(over_unix(&path)?)?, next.id());
    next.stop()
}

fn in_flight() -> Result {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    for strategy in ["sync", "threading", "selecting", "forking", "pre-forking"] {
        let served = Served::start(dir, strategy)?;
        let mut next = Served::made(dir, strategy)?;
        let mut slow = connect(served.address)?;
        slow.write_all(b"hel")?;
        let ready = if strategy == "sync" {
            // Its only thread is in the handler, or soon will be: it hears the other afterwards.
            next.child.stdin.take().ok_or("it is ready")?.write_all(b"x")?;
            false
        } else {
            // Whoever comes later is served later.
            exchange(connect(served.address)?)?;
            next.become_ready()?;
            assert!(lives(served.id()), "it waits for what it has in hand");
            true
        };
        slow.write_all(b"lo\n")?;
        let mut answer = String::new();
        slow.read_to_string(&mut answer)?;
        assert!(answer.ends_with(" hello\n"), "{answer:?}");
        if !ready {
            next.address = next.says()?.parse()?;
        }
        served.ends("followed")?;
        next.stop()?;
    }
    Ok(())
}

fn announced() -> Result {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path(), "lasting")?;
    let mut conn = BufReader::new(connect(served.address)?);
    let mut ask = |what: &str| -> Result {
        conn.get_mut().write_all(b"who?\n")?;
        let mut answer = String::new();
        conn.read_line(&mut answer)?;
        assert_eq!(answer, format!("{} {what}\n", served.id()));
        Ok(())
    };
    ask("false")?;
    let mut next = Served::start(dir.path(), "lasting")?;
    // The end came while it waited for this one, and so there is another.
    ask("true")?;
    ask("true")?;
    let mut rest = String::new();
    conn.read_to_string(&mut rest)?;
    assert_eq!(rest, "");
    let mut other = BufReader::new(connect(next.address)?);
    other.get_mut().write_all(b"who?\n")?;
    other.read_line(&mut rest)?;
    assert_eq!(rest, format!("{} false\n", next.id()));
    // The second stop ends the announcement, as ever.
    signal(served.id(), Signal::SIGUSR2)?;
    served.ends("followed")?;
    next.child.kill()?;
    next.child.wait()?;
    Ok(())
}

fn killed_meanwhile() -> Result {
    let dir = tempfile::tempdir()?;
    let (dir, path) = (dir.path(), dir.path().join("socket"));
    for strategy in ["threading", "fork-server"] {
        let mut served = Served::start(dir, strategy)?;
        let mut next = Served::made(dir, strategy)?;
        served.child.kill()?;
        served.child.wait()?;
        // The sockets are there for as long as anybody has them.
        let waiting = connect(served.address)?;
        next.become_ready()?;
        assert_eq!(exchange(waiting)?, next.id());
        assert_eq!(exchange(over_unix(&path)?)?, next.id());
        next.stop()?;
        assert_eq!(left(dir)?, NOTHING);
    }
    Ok(())
}

fn stopped_meanwhile() -> Result {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    let served = Served::start(dir, "threading")?;
    let (hand_over, mut sockets) = HandOver::take(dir.join("offer"))?;
    let tcp = sockets.take_next(Tcp::from_socket)?.ok_or("no TCP")?;
    let unix = sockets.take_next(UnixStream::from_socket)?.ok_or("no Unix socket")?;
    let transport = hand_over.offer(Beside::new(tcp, unix)?)?;
    served.stop()?;
    let error = hand_over.ready().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("socket: "), "{error}");
    drop(transport);
    assert_eq!(left(dir)?, NOTHING);
    Ok(())
}

fn tcp() -> io::Result<Tcp> {
    Tcp::options().bind("127.0.0.1:0")
}

fn one_offer() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("offer");
    let take = || HandOver::take(&path);
    let ((first, none), (second, _)) = (take()?, take()?);
    assert!(none.is_empty());
    let offered = first.offer(tcp()?)?;
    assert_eq!(path.metadata()?.permissions().mode() & 0o777, 0o600);
    let error = second.offer(tcp()?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    first.ready()?;
    assert!(!offered.is_handed_over());
    drop(offered);
    // A dead one is no hindrance.
    let offered = second.offer(tcp()?)?;
    std::mem::forget(offered);
    fs::write(dir.path().join("other"), "")?;
    Ok(())
}

fn strangers() -> Result {
    let dir = tempfile::tempdir()?;
    let served = Served::start(dir.path(), "sync")?;
    let offer: PathBuf = dir.path().join("offer");
    let client = unix::UnixDatagram::unbound()?;
    client.connect(&offer)?;
    for message in [&b""[..], b"socketserver 1: take", b"socketserver 1: ready", &[7; 5000]] {
        client.send(message)?;
        assert_eq!(exchange(connect(served.address)?)?, served.id());
    }
    served.stop()
}

fn another_user() -> Result {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let served = Served::start(dir.path(), "threading")?;
    seteuid(Uid::from_raw(65534))?;
    let error = HandOver::take(dir.path().join("offer")).map(|(_, all): (_, Inherited)| all);
    seteuid(Uid::from_raw(0))?;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
    served.stop()
}
