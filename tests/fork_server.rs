//! `ForkServer`: a process for each request, of a process that has threads. Each case runs in a
//! process of its own, which has one thread until the server is made.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::env;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{self, Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use nix::sys::signal::Signal;
use socketserver::{
    Concurrency, ForkRefused, ForkRole, ForkServer, Handler, Next, Outcome, Portable, Server,
    Session, StopHandle, Tcp, TcpRequest, Transport, Waiter,
};
use support::net;
use support::one_byte::{echo_one, release, tcp};
use support::processes::{self, eventually, no_child_is_left, peek, signal};
use support::{alone, signals, story};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("a_process_with_busy_threads_is_served", busy_threads),
        ("the_hooks_have_one_order_under_a_fork_server", hooks_have_one_order),
        ("a_server_is_not_made_beside_threads", not_beside_threads),
        ("a_transport_says_whether_it_may_be_forked", reluctant),
        ("children_are_of_the_process_as_it_was", as_it_was),
        ("a_stop_from_a_child_is_heard", stop_from_a_child),
        ("a_full_house_hears_the_stop", full_house),
        ("sessions_follow_each_other", sessions),
        ("a_child_holds_what_it_needs_and_no_more", descriptors),
        ("a_child_has_default_signals_and_seeds_of_its_own", signals_and_seeds),
        ("other_peoples_children_keep_their_status", other_peoples_children),
        ("close_waits_for_the_children_and_leaves_nothing", close_waits),
        ("a_strategy_that_keeps_prepare_to_itself_is_told_so", unprepared),
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

/// What can be sent to another process, and does not want to be.
#[derive(Debug)]
struct Reluctant(Tcp);

impl Transport for Reluctant {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        self.0.get_request()
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.0.wait(waiter)
    }

    fn check_fork(&self, role: ForkRole) -> io::Result<()> {
        assert_eq!(role, ForkRole::Handles);
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Portable for Reluctant {
    fn pack<'r>(
        &self,
        request: &'r TcpRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.0.pack(request, bytes)
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<TcpRequest> {
        self.0.unpack(bytes, descriptor)
    }
}

fn reluctant() -> Result {
    let made = Server::new_fn(Reluctant(tcp()?), ForkServer::new(), echo_one);
    assert_eq!(made.expect_err("refused").kind(), io::ErrorKind::Unsupported);
    assert!(no_child_is_left());
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

/// Wraps another, and forgets the one method that has a default.
struct Forgetful<C>(C);

impl<T, H, C: Concurrency<T, H>> Concurrency<T, H> for Forgetful<C> {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.0.serve(session)
    }
}

fn unprepared() -> Result {
    let mut server = Server::new_fn(tcp()?, Forgetful(ForkServer::new()), echo_one)?;
    let error = server.serve_forever().expect_err("there is no helper");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("prepare"), "{error}");
    server.close()?;
    Ok(())
}
