//! `ForkServer`: a process for each request, of a process that has threads. Each case runs in a
//! process of its own, which has one thread until the server is made.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::env;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net as unix;
use std::process::{self, Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use nix::sys::signal::Signal;
use socketserver::{
    ForkRefused, ForkServer, Handler, Next, Outcome, Server, StopHandle, Tcp, TcpRequest, Udp,
    UnixDatagram, UnixDatagramRequest, UnixStream, UnixStreamRequest,
};
use support::net::{self, Echo, Reach};
use support::one_byte::{echo_one, release, tcp};
use support::processes::{self, eventually, no_child_is_left, peek, signal};
use support::{alone, signals, story};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("a_process_with_busy_threads_is_served", busy_threads),
        ("the_hooks_have_one_order_under_a_fork_server", hooks_have_one_order),
        ("all_four_transports_are_served", four_transports),
        ("peers_are_the_same_in_the_child", peers),
        ("packets_are_the_same_in_the_child", packets),
        ("settings_of_the_transport_hold_in_the_child", settings),
        ("a_server_is_not_made_beside_threads", not_beside_threads),
        ("children_are_of_the_process_as_it_was", as_it_was),
        ("a_stop_from_a_child_is_heard", stop_from_a_child),
        ("a_full_house_hears_the_stop", full_house),
        ("sessions_follow_each_other", sessions),
        ("a_child_holds_what_it_needs_and_no_more", descriptors),
        ("a_child_has_default_signals_and_seeds_of_its_own", signals_and_seeds),
        ("other_peoples_children_keep_their_status", other_peoples_children),
        ("close_waits_for_the_children_and_leaves_nothing", close_waits),
        ("a_request_that_is_too_long_is_refused_alone", too_long),
    ])
}

/// What hangs in the child of a process whose threads do the same.
fn touches_everything(conn: &mut TcpRequest) -> io::Result<()> {
    static LOCK: Mutex<u64> = Mutex::new(0);
    *LOCK.lock().expect("nobody panics with it") += 1;
    println!("{:?}", env::var("PATH"));
    let line = format!("{}", vec![1_u8; 4096].len());
    // A panic locks stderr and looks at the environment.
    let _ = std::panic::catch_unwind(|| panic!("as ever"));
    *LOCK.lock().expect("nobody panics with it") += 1;
    conn.write_all(line.as_bytes())
}

fn busy_threads() -> Result {
    const REQUESTS: usize = 300;
    std::panic::set_hook(Box::new(|_| {
        print!("{:?}", env::var_os("RUST_BACKTRACE"));
    }));
    let server = Server::new_fn(tcp()?, ForkServer::new(), touches_everything)?;
    let helper = server.concurrency().helper().ok_or("no helper")?;
    let over = Arc::new(AtomicBool::new(false));
    let hammers: Vec<_> = (0..4)
        .map(|_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(SeqCst) {
                    println!("{:?} {:?}", env::vars_os().count(), vec![0_u8; 10_000].len());
                    let _ = std::panic::catch_unwind(|| panic!("as ever"));
                }
            })
        })
        .collect();
    let running = server.spawn()?;
    for _ in 0..REQUESTS {
        assert_eq!(net::all(net::connect(running.local_addr()?)?)?, b"4096");
    }
    running.close()?;
    over.store(true, SeqCst);
    hammers.into_iter().try_for_each(|hammer| hammer.join().map_err(|_| "a panic"))?;
    assert!(!processes::lives(helper));
    assert!(no_child_is_left());
    Ok(())
}

fn hooks_have_one_order() -> Result {
    story::play(ForkServer::new, true, false)
}

fn echoes<T>() -> Result
where
    T: Reach + socketserver::Portable,
    T::Request: BufRead + Write,
{
    let dir = tempfile::tempdir()?;
    let transport = T::open(dir.path())?;
    let address = transport.local_addr()?;
    let mut server = Server::new(transport, ForkServer::new(), Echo)?;
    for number in 0..5 {
        let line = format!("line {number}\n");
        let client = T::send(&address, dir.path(), line.as_bytes())?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(T::receive(client)?, line.as_bytes());
    }
    server.close()?;
    Ok(())
}

fn four_transports() -> Result {
    echoes::<Tcp>()?;
    echoes::<Udp>()?;
    echoes::<UnixStream>()?;
    echoes::<UnixDatagram>()
}

fn peers() -> Result {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut server = Server::new_fn(
            Tcp::options().bind(bind)?,
            ForkServer::new(),
            |conn: &mut TcpRequest| {
                let peer = *conn.peer();
                write!(conn, "{peer}")
            },
        )?;
        let client = net::connect(server.local_addr()?)?;
        let own = client.local_addr()?;
        server.handle_request()?;
        assert_eq!(String::from_utf8(net::all(client)?)?, own.to_string());
        server.close()?;
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("server");
    let transport = UnixStream::options().bind(&path)?;
    let mut server =
        Server::new_fn(transport, ForkServer::new(), |conn: &mut UnixStreamRequest| {
            let peer = format!("{:?}", conn.peer());
            conn.write_all(peer.as_bytes())
        })?;
    let unnamed = unix::UnixStream::connect(&path)?;
    let named = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    named.bind(&socket2::SockAddr::unix(dir.path().join("client"))?)?;
    named.connect(&socket2::SockAddr::unix(&path)?)?;
    let named: unix::UnixStream = std::os::fd::OwnedFd::from(named).into();
    for client in [unnamed, named] {
        let own = format!("{:?}", client.local_addr()?);
        server.handle_request()?;
        assert_eq!(String::from_utf8(net::all(client)?)?, own);
    }
    server.close()?;
    Ok(())
}

fn packets() -> Result {
    let udp = Udp::options().max_packet_size(60_000).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(udp, ForkServer::new(), |packet| {
        let (length, peer) = (packet.data().len(), *packet.peer());
        let sum: u64 = packet.data().iter().map(|byte| u64::from(*byte)).sum();
        packet.reply(format!("{length} {sum} {} {peer}", packet.is_truncated()).as_bytes())
    })?;
    let client = net::packets()?;
    for (length, told, cut) in [(0, 0, false), (60_000, 60_000, false), (60_001, 60_000, true)] {
        client.send_to(&vec![3; length], server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let wanted = format!("{told} {} {cut} {}", 3 * told, client.local_addr()?);
        assert_eq!(String::from_utf8(net::packet(&client)?)?, wanted);
    }
    server.close()?;

    let dir = tempfile::tempdir()?;
    let path = dir.path().join("server");
    let said = dir.path().join("said");
    let unixgram = UnixDatagram::options().bind(&path)?;
    let mut server =
        Server::new_fn(unixgram, ForkServer::new(), |packet: &mut UnixDatagramRequest| {
            std::fs::write(&said, format!("{:?}", packet.peer()))
        })?;
    unix::UnixDatagram::unbound()?.send_to(b"who am I", &path)?;
    server.handle_request()?;
    server.close()?;
    assert_eq!(std::fs::read_to_string(&said)?, "None");
    Ok(())
}

fn settings() -> Result {
    let timeout = std::time::Duration::from_millis(1500);
    let tcp = Tcp::options().timeout(timeout).wbufsize(10).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(tcp, ForkServer::new(), |conn: &mut TcpRequest| {
        let (read, write) = (conn.get_ref().read_timeout()?, conn.get_ref().write_timeout()?);
        write!(conn, "{read:?} {write:?}")
    })?;
    let client = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    assert_eq!(net::all(client)?, b"Some(1.5s) Some(1.5s)");
    server.close()?;
    Ok(())
}

fn not_beside_threads() -> Result {
    let (go, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let error = Server::new_fn(tcp()?, ForkServer::new(), echo_one).expect_err("refused");
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<ForkRefused>());
    assert_eq!(refused, Some(&ForkRefused::Threads(2)));
    assert!(error.to_string().contains("make the server"), "{error}");
    assert!(no_child_is_left());
    go.send(())?;
    other.join().map_err(|_| "the thread panicked")??;
    Ok(())
}

fn as_it_was() -> Result {
    static CHANGED: AtomicU32 = AtomicU32::new(1);
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), |conn: &mut TcpRequest| {
        write!(conn, "{}", CHANGED.fetch_add(1, SeqCst))
    })?;
    CHANGED.store(100, SeqCst);
    for _ in 0..2 {
        let client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        assert_eq!(net::all(client)?, b"1");
    }
    assert_eq!(CHANGED.load(SeqCst), 100);
    server.close()?;
    Ok(())
}

/// Stops its server when it is asked to, and goes on until its client says so.
struct Stops(OnceLock<StopHandle>);

impl Handler<TcpRequest> for Stops {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut how = [0];
        conn.read_exact(&mut how)?;
        if how == *b"s" {
            self.0.get().ok_or(io::ErrorKind::NotFound)?.stop();
        }
        echo_one(conn).map(Next::from)
    }
}

fn stops(strategy: ForkServer) -> Result<Server<Tcp, ForkServer, Stops>> {
    Ok(Server::with_stop(tcp()?, strategy, |stop| Stops(OnceLock::from(stop)))?)
}

fn asks(address: SocketAddr, how: &[u8]) -> io::Result<TcpStream> {
    let mut client = net::connect(address)?;
    client.write_all(how)?;
    Ok(client)
}

fn stop_from_a_child() -> Result {
    let mut server = stops(ForkServer::new())?;
    for _ in 0..3 {
        let client = asks(server.local_addr()?, b"s")?;
        server.serve_forever()?;
        release(&client)?;
        assert_eq!(net::all(client)?, b"x");
    }
    server.close()?;
    Ok(())
}

fn full_house() -> Result {
    let mut server = stops(ForkServer::new().max_children(1)?)?;
    let address = server.local_addr()?;
    let (first, second) = (asks(address, b"s")?, asks(address, b"-")?);
    // The child stops it and goes on; there is no room for the second.
    server.serve_forever()?;
    assert_eq!(server.concurrency().active_children().count(), 1);
    release(&first)?;
    // There is room again as soon as it has ended.
    let handle = server.stop_handle();
    let served = thread::spawn(move || server.serve_forever().map(|()| server));
    release(&second)?;
    assert_eq!(net::all(second)?, b"x");
    handle.stop();
    let server = served.join().map_err(|_| "a panic")??;
    assert_eq!(net::all(first)?, b"x");
    server.close()?;
    Ok(())
}

/// Answers each byte, until its client is at its end.
struct Again;

impl Handler<TcpRequest> for Again {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut byte = [0];
        if conn.read(&mut byte)? == 0 {
            return Ok(Next::Done);
        }
        conn.write_all(&byte)?;
        Ok(Next::Again)
    }
}

fn sessions() -> Result {
    let mut server = Server::new(tcp()?, ForkServer::new(), Again)?;
    for _ in 0..3 {
        let mut client = net::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        for _ in 0..2 {
            release(&client)?;
            client.read_exact(&mut [0])?;
        }
        // The child knows which session it is of, and that it is over.
        server.stop_handle().stop();
        server.serve_forever()?;
        let _ = release(&client);
        let ended = net::all(client).map_err(|error| error.kind());
        assert_ne!(ended, Err(io::ErrorKind::WouldBlock), "it goes on");
    }
    server.close()?;
    Ok(())
}

fn descriptors() -> Result {
    let mut needed = processes::descriptors()?;
    // The wake-up, which stands for the listener too; and the connection.
    needed.extend(["anon_inode:", "anon_inode:", "socket:"].map(String::from));
    needed.sort();
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), |conn: &mut TcpRequest| {
        writeln!(conn, "{}", processes::descriptors()?.join(" "))?;
        conn.read_exact(&mut [0])
    })?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = net::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line)?;
        // Not those of this process, which came after the helper.
        assert_eq!(line.trim().split(' ').collect::<Vec<_>>(), needed);
        clients.push(client);
    }
    drop(clients);
    server.close()?;
    Ok(())
}

fn signals_and_seeds() -> Result {
    let _ = RandomState::new();
    let status = || std::fs::read_to_string("/proc/self/status");
    let about = |status: &str| -> String {
        status.lines().filter(|line| line.starts_with("Sig")).skip(1).collect()
    };
    let before = about(&status()?);
    signals::interrupt_on_usr1()?;
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), |conn: &mut TcpRequest| {
        writeln!(conn, "{}", RandomState::new().hash_one(1))?;
        write!(conn, "{}", about(&status()?))
    })?;
    let mut said = Vec::new();
    for _ in 0..2 {
        let client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        said.push(String::from_utf8(net::all(client)?)?);
    }
    let parts: Vec<_> = said.iter().filter_map(|said| said.split_once('\n')).collect();
    assert_ne!(parts[0].0, parts[1].0, "the same seeds");
    assert_eq!(parts[0].1, before, "blocked, ignored, caught");
    server.close()?;
    Ok(())
}

fn other_peoples_children() -> Result {
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), echo_one)?;
    let mut other = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
    peek(other.id())?;
    for _ in 0..3 {
        let client = asks(server.local_addr()?, b"x")?;
        server.handle_request()?;
        assert_eq!(net::all(client)?, b"x");
    }
    server.close()?;
    assert_eq!(other.wait()?.code(), Some(7));
    Ok(())
}

fn close_waits() -> Result {
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), echo_one)?;
    let before = processes::descriptors()?.len();
    let helper = server.concurrency().helper().ok_or("no helper")?;
    let clients: Vec<_> =
        (0..5).map(|_| net::connect(server.local_addr()?)).collect::<io::Result<_>>()?;
    for _ in &clients {
        assert_eq!(server.handle_request()?, Outcome::Handled);
    }
    let children: Vec<_> = server.concurrency().active_children().collect();
    assert_eq!(children.len(), 5);
    clients.iter().try_for_each(release)?;
    server.close()?;
    assert!(children.iter().all(|child| !processes::lives(*child)));
    assert!(!processes::lives(helper) && no_child_is_left());
    for client in clients {
        assert_eq!(net::all(client)?, b"x");
    }
    // The listener, the wake-up and the way to the helper.
    assert_eq!(processes::descriptors()?.len(), before - 3);

    // Nor does one that is killed keep it waiting.
    let mut server = Server::new_fn(tcp()?, ForkServer::new(), echo_one)?;
    let client = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    let child = server.concurrency().active_children().next().ok_or("no child")?;
    signal(child, Signal::SIGKILL)?;
    server.close()?;
    assert!(net::is_closed(client)?);
    assert_ne!(process::id(), child);
    eventually("the child is gone", || !processes::lives(child))
}

fn too_long() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("server");
    let unixgram = UnixDatagram::options().max_packet_size(1 << 20).bind(&path)?;
    let mut server = Server::new(unixgram, ForkServer::new(), Echo)?;
    let client = unix::UnixDatagram::bind(dir.path().join("client"))?;
    client.set_read_timeout(Some(net::PATIENCE))?;
    client.send_to(&vec![1; 150_000], &path)?;
    assert_eq!(server.handle_request()?, Outcome::Failed);
    client.send_to(b"short\n", &path)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let mut bytes = [0; 16];
    assert_eq!(client.recv(&mut bytes)?, 6);
    server.close()?;
    Ok(())
}
