//! What a child of `Forking` is: its signals, its descriptors, its random numbers, and when it may be
//! there at all. Each case runs on the only thread of a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{SigSet, Signal, pthread_sigmask};
use nix::sys::wait::WaitStatus;
use socketserver::{AssumeForkSafe, Forking, ForkingTcpServer, Outcome, Server, TcpRequest};
use support::one_byte::{echo_one, release, tcp};
use support::processes::{self, peek, signal};
use support::{alone, net, signals};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("a_signal_that_stops_the_server_ends_a_child", signal_ends_a_child),
        ("ignored_signals_and_the_mask_are_the_childs_too", ignored_signals_and_mask),
        ("a_handler_that_comes_later_counts_in_the_next_session", handlers_of_the_next_session),
        ("siblings_hash_with_seeds_of_their_own", seeds),
        ("a_child_holds_what_it_needs_and_no_more", descriptors),
        ("a_child_does_not_listen_for_another_server", listens_for_another),
        ("a_process_with_threads_forks_where_somebody_has_promised", promised),
    ])
}

/// Asks its client for a byte when it has begun.
fn ask(conn: &mut TcpRequest) -> io::Result<()> {
    conn.write_all(b"?")?;
    conn.read_exact(&mut [0])
}

/// A connection whose handler has begun.
fn begun<H>(server: &mut ForkingTcpServer<H>) -> Result<TcpStream>
where
    H: socketserver::Handler<TcpRequest>,
{
    let mut client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    client.read_exact(&mut [0])?;
    Ok(client)
}

fn signal_ends_a_child() -> Result {
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", ask)?;
    signals::stop_on_usr2(server.stop_handle())?;
    let client = begun(&mut server)?;
    let child = server.active_children().next().ok_or("no child")?;

    signal(child, Signal::SIGUSR2)?;

    let ended = peek(child)?;
    assert!(matches!(ended, WaitStatus::Signaled(_, Signal::SIGUSR2, _)), "{ended:?}");
    assert!(net::is_closed(client)?);
    // Nor has the server been stopped by it, which hears it itself all the same.
    release(&begun(&mut server)?)?;
    signal(std::process::id(), Signal::SIGUSR2)?;
    server.serve_forever()?;
    server.close()?;
    Ok(())
}

/// The lines of `/proc/self/status` about signals.
fn status() -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let about =
        |line: &&str| ["SigBlk", "SigIgn", "SigCgt"].iter().any(|part| line.starts_with(part));
    Ok(status.lines().filter(about).collect::<Vec<_>>().join(" "))
}

fn says_status(conn: &mut TcpRequest) -> io::Result<()> {
    conn.write_all(status()?.as_bytes())
}

fn ignored_signals_and_mask() -> Result {
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", says_status)?;
    let mut held = SigSet::empty();
    held.add(Signal::SIGHUP);
    pthread_sigmask(nix::sys::signal::SigmaskHow::SIG_BLOCK, Some(&held), None)?;
    let before = status()?;
    signals::interrupt_on_usr1()?;
    let with_handler = status()?;
    assert_ne!(before, with_handler, "the handler is there");
    let client = net::connect(server.local_addr()?)?;

    assert_eq!(server.handle_request()?, Outcome::Handled);

    assert_eq!(String::from_utf8(net::all(client)?)?, before, "blocked, ignored, caught");
    assert_eq!(status()?, with_handler, "the parent's are what they were");
    server.close()?;
    Ok(())
}

fn handlers_of_the_next_session() -> Result {
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", says_status)?;
    let before = status()?;
    let first = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(String::from_utf8(net::all(first)?)?, before);
    server.stop_handle().stop();
    assert_eq!(server.handle_request()?, Outcome::Stopped);

    signals::interrupt_on_usr1()?;
    let second = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(String::from_utf8(net::all(second)?)?, before);
    server.close()?;
    Ok(())
}

fn seeds() -> Result {
    // From now on this thread has keys, which its children inherit.
    let _ = RandomState::new();
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", |conn| {
        write!(conn, "{}", RandomState::new().hash_one(1))
    })?;
    let mut hashes = Vec::new();
    for _ in 0..3 {
        let client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        hashes.push(net::all(client)?);
    }
    let (first, second, third) = (&hashes[0], &hashes[1], &hashes[2]);
    assert!(first != second && second != third && first != third, "{hashes:?}");
    server.close()?;
    Ok(())
}

fn descriptors() -> Result {
    // The wake-up, which stands for the listener too; and the connection.
    let mut needed: Vec<String> = processes::descriptors()?;
    needed.extend(["anon_inode:", "anon_inode:", "socket:"].map(String::from));
    needed.sort();
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", |conn| {
        writeln!(conn, "{}", processes::descriptors()?.join(" "))?;
        conn.read_exact(&mut [0])
    })?;
    let address = server.local_addr()?;
    for round in 0..3 {
        let late = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        // Waits, with a descriptor for each child, which the next child is not to have.
        let waited = server.handle_request_timeout(std::time::Duration::from_millis(5))?;
        assert_eq!(waited, Outcome::TimedOut);
        late.connect(&address.into())?;
        let client: TcpStream = late.into();
        client.set_read_timeout(Some(net::PATIENCE))?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line)?;
        // The clients of this test are in this process, and so in its children.
        let clients = round + 1;
        let mut expected = needed.clone();
        expected.extend(vec!["socket:".to_owned(); clients]);
        expected.sort();
        assert_eq!(line.trim().split(' ').collect::<Vec<_>>(), expected);
        // Kept, so that its child goes on.
        std::mem::forget(client);
    }
    for child in server.active_children() {
        signal(child, Signal::SIGKILL)?;
    }
    server.close()?;
    Ok(())
}

fn listens_for_another() -> Result {
    let other = ForkingTcpServer::bind_fn("127.0.0.1:0", ask)?;
    let mut server = ForkingTcpServer::bind_fn("127.0.0.1:0", ask)?;
    let address = other.local_addr()?;
    let client = begun(&mut server)?;
    other.close()?;
    net::assert_nobody_listens(address);
    release(&client)?;
    server.close()?;
    Ok(())
}

#[expect(unsafe_code, reason = "that is the point")]
fn promised() -> Result {
    let (go, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    // SAFETY: the other thread waits in a channel, and has nothing locked that a child uses.
    let promise = unsafe { AssumeForkSafe::new() };
    let mut server = Server::new_fn(tcp()?, Forking::new().assume_fork_safe(promise), echo_one)?;
    let client = net::connect(server.local_addr()?)?;

    assert_eq!(server.handle_request()?, Outcome::Handled);

    release(&client)?;
    assert_eq!(net::all(client)?, b"x");
    go.send(())?;
    other.join().map_err(|_| "the thread panicked")??;
    server.close()?;
    Ok(())
}
