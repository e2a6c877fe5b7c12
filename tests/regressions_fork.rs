//! Bugs that a review has found in what forks, as the behaviour that there is instead. Each runs on
//! the only thread of a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitPidFlag, waitpid};
use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{
    Failure, ForkedChild, Forking, ForkingUdpServer, Handler, LocalAddr, Next, Outcome, Server,
    Tcp, TcpRequest, Transport, UdpRequest, Waiter,
};

use support::alone;
use support::footprint::lift_limit;
use support::one_byte::{echo_one, release, tcp};
use support::time::let_pass;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("a_full_table_of_descriptors_is_freed_by_reaping", full_table_is_freed_by_reaping),
        ("handle_request_too_reaps_where_descriptors_are_wanting", handle_request_too_reaps),
        ("handle_request_returns_although_the_last_slot_is_filled", last_slot_is_filled),
        ("close_waits_for_all_although_one_died_by_a_real_time_signal", real_time_signal),
        ("a_thread_that_has_been_joined_is_no_reason_to_refuse", joined_threads),
        ("children_behind_one_that_lasts_are_reaped_too", behind_one_that_lasts),
        ("more_children_than_descriptors_are_waited_for", more_children_than_descriptors),
        ("a_panic_in_after_fork_is_contained", panic_in_after_fork),
        ("after_fork_twice_closes_no_other_descriptor", after_fork_twice),
    ])
}

/// The end of a server's life: nothing that it has started is left over.
fn assert_no_children() {
    assert_eq!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD));
}

/// Lets this process have `more` descriptors than it has now; all those below are in use.
fn limit_to(more: u64) -> io::Result<()> {
    let next = File::open("/dev/null")?;
    let used = u64::try_from(next.as_raw_fd()).map_err(io::Error::other)?;
    drop(next);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, used + more, hard)?)
}

/// A transport whose four first connections are there from the start, and whose next three come
/// when the loop waits with a descriptor for each child; then the table is full, and at the first
/// connection that can't be taken the children may end.
struct Crowded {
    tcp: Tcp,
    early: Vec<TcpStream>,
    late: RefCell<Vec<Socket>>,
    address: SocketAddr,
    taken: Cell<usize>,
    refused: Cell<usize>,
}

const EARLY: usize = 4;
const LATE: usize = 3;
/// Attempts between which there are pauses of more than a minute, all in all.
const MANY: usize = 70;

impl Crowded {
    fn new() -> Result<Self> {
        let tcp = tcp()?;
        let address = tcp.local_addr()?;
        let early = (0..EARLY).map(|_| TcpStream::connect(address));
        let late = (0..LATE).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None));
        Ok(Self {
            early: early.collect::<io::Result<_>>()?,
            late: RefCell::new(late.collect::<io::Result<_>>()?),
            address,
            tcp,
            taken: Cell::default(),
            refused: Cell::default(),
        })
    }
}

impl Transport for Crowded {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        if self.taken.get() == EARLY + LATE || self.refused.get() == MANY {
            return Ok(None);
        }
        let got = self.tcp.get_request();
        match &got {
            Ok(_) => self.taken.set(self.taken.get() + 1),
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                if self.refused.replace(self.refused.get() + 1) == 0 {
                    self.early.iter().try_for_each(release)?;
                }
            }
            Err(_) => {}
        }
        got
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        if self.refused.get() == 0 {
            for socket in &*self.late.borrow() {
                socket.connect(&SockAddr::from(self.address))?;
                socket.send(b"x")?;
            }
        }
        self.tcp.wait(waiter)
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.tcp.after_fork(child);
    }
}

/// Counts what the parent is told.
#[derive(Default)]
struct Told {
    failed: AtomicUsize,
}

impl Handler<TcpRequest> for Told {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        echo_one(conn).map(Next::from)
    }

    fn get_request_failed(&self, _: &io::Error) {
        self.failed.fetch_add(1, SeqCst);
    }
}

fn full_table_is_freed_by_reaping() -> Result {
    let mut server = Server::new(Crowded::new()?, Forking::new(), Told::default())?;
    // One for the connection that is taken and handed on, and later for a child's end.
    limit_to(2)?;

    server.serve_forever()?;

    lift_limit()?;
    let transport = server.transport();
    assert_eq!(transport.taken.get(), EARLY + LATE);
    assert!(transport.refused.get() > 0, "the table was never full");
    // One is told for each time that it was full, and it was asked more often than that only after
    // pauses.
    let told = server.handler().failed.load(SeqCst);
    assert!((1..=LATE).contains(&told), "{told}");
    for client in transport.late.borrow().iter() {
        assert_eq!((&*client).read(&mut [0; 2])?, 1);
    }
    server.close()?;
    assert_no_children();
    Ok(())
}

fn handle_request_too_reaps() -> Result {
    let mut server = Server::new_fn(tcp()?, Forking::new(), echo_one)?;
    let address = server.local_addr()?;
    let clients = [TcpStream::connect(address)?, TcpStream::connect(address)?];
    for _ in &clients {
        assert_eq!(server.handle_request()?, Outcome::Handled);
    }
    let late = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    limit_to(2)?;
    // Waits, with a descriptor for each child: the table is full, which accept(2) says even where
    // nobody has connected.
    let waited = server.handle_request_timeout(Duration::from_millis(20));
    assert_eq!(waited.map_err(|error| error.raw_os_error()), Err(Some(libc::EMFILE)));
    late.connect(&SockAddr::from(address))?;
    late.send(b"x")?;
    // The older child goes on, the younger ends.
    release(&clients[1])?;
    assert_eq!((&clients[1]).read_to_end(&mut Vec::new())?, 1);
    let mut handled = false;
    for _ in 0..1000 {
        match server.handle_request() {
            Ok(outcome) => {
                handled = outcome == Outcome::Handled;
                break;
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
        }
        let_pass(Duration::from_millis(1));
    }
    lift_limit()?;
    assert!(handled);
    release(&clients[0])?;
    server.close()?;
    assert_no_children();
    Ok(())
}

fn last_slot_is_filled() -> Result {
    let mut server = Server::new_fn(tcp()?, Forking::new().max_children(1)?, echo_one)?;
    let client = TcpStream::connect(server.local_addr()?)?;

    assert_eq!(server.handle_request()?, Outcome::Handled);

    assert_eq!(server.active_children().count(), 1);
    release(&client)?;
    server.close()?;
    assert_no_children();
    Ok(())
}

#[expect(unsafe_code, reason = "nix does not know real-time signals")]
fn die_by_a_real_time_signal() {
    // SAFETY: raise(3) takes a number.
    unsafe { libc::raise(libc::SIGRTMIN() + 6) };
}

fn real_time_signal() -> Result {
    let mut server = Server::new_fn(tcp()?, Forking::new(), |conn: &mut TcpRequest| {
        let mut byte = [0];
        conn.read_exact(&mut byte)?;
        if byte == *b"!" {
            die_by_a_real_time_signal();
        }
        Ok(())
    })?;
    let address = server.local_addr()?;
    let clients = [TcpStream::connect(address)?, TcpStream::connect(address)?];
    for _ in &clients {
        assert_eq!(server.handle_request()?, Outcome::Handled);
    }
    assert_eq!(server.active_children().count(), 2);
    (&clients[0]).write_all(b"!")?;
    release(&clients[1])?;

    server.close()?;

    assert_no_children();
    Ok(())
}

/// Answers nothing, and counts what could not be started.
#[derive(Default)]
struct Refused(AtomicUsize);

impl Handler<UdpRequest> for Refused {
    fn handle(&self, _: &mut UdpRequest) -> io::Result<Next> {
        Ok(Next::Done)
    }

    fn handle_error(&self, _: &mut UdpRequest, _: &Failure) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn joined_threads() -> Result {
    let mut server = ForkingUdpServer::bind("127.0.0.1:0", Refused::default())?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..2000 {
        client.send_to(b"", server.local_addr()?)?;
        let threads = [(); 4].map(|()| thread::spawn(|| ()));
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a panic"))?;
        server.handle_request()?;
    }

    assert_eq!(server.handler().0.load(SeqCst), 0);
    server.close()?;
    assert_no_children();
    Ok(())
}

fn behind_one_that_lasts() -> Result {
    const SHORT: usize = 40;
    let (held, hold) = UnixStream::pair()?;
    let hold = Cell::new(Some(hold));
    let mut server = Server::new_fn(tcp()?, Forking::new().max_children(1000)?, |conn| {
        let mut first = [0];
        conn.read_exact(&mut first)?;
        if first == *b"l" {
            drop(hold.take());
            (&held).read(&mut [0]).map(drop)?;
        }
        conn.write_all(b"done")
    })?;
    let mut lasts = TcpStream::connect(server.local_addr()?)?;
    lasts.write_all(b"l")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    for _ in 0..SHORT {
        let mut short = TcpStream::connect(server.local_addr()?)?;
        short.write_all(b"s")?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        short.read_to_end(&mut Vec::new())?;
    }
    let left = server.active_children().count();
    assert!(left < SHORT, "{left} children are left, and one runs");
    drop(hold.take());
    server.close()?;
    assert_no_children();
    Ok(())
}

fn more_children_than_descriptors() -> Result {
    let (held, hold) = UnixStream::pair()?;
    let hold = Cell::new(Some(hold));
    let mut server = ForkingUdpServer::bind_fn("127.0.0.1:0", |_| {
        // The parent's end is closed when all may end; the copy of each child has to be, too.
        drop(hold.take());
        (&held).read(&mut [0]).map(drop)
    })?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    let children = 8;
    for _ in 0..children {
        client.send_to(b"", address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
    }
    // Waits, with a descriptor for each child.
    let moment = Duration::from_millis(20);
    assert_eq!(server.handle_request_timeout(moment)?, Outcome::TimedOut);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, children, hard)?;

    assert_eq!(server.handle_request_timeout(moment)?, Outcome::TimedOut);
    client.send_to(b"", address)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);

    lift_limit()?;
    drop(hold.take());
    server.close()?;
    assert_no_children();
    Ok(())
}

/// A TCP transport with a hook of its own in the child.
struct Hooked<F>(Tcp, F);

impl<F: Fn(&Tcp, &ForkedChild<'_>)> Transport for Hooked<F> {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        self.0.get_request()
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.0.wait(waiter)
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        (self.1)(&self.0, child);
    }
}

fn panic_in_after_fork() -> Result {
    let panics = |_: &Tcp, _: &ForkedChild<'_>| panic!("of the transport, and part of this test");
    let mut server = Server::new_fn(Hooked(tcp()?, panics), Forking::new(), echo_one)?;
    let mut client = TcpStream::connect(server.transport().0.local_addr()?)?;
    release(&client)?;

    assert_eq!(server.handle_request()?, Outcome::Handled);

    assert_eq!(client.read(&mut [0; 2])?, 1);
    server.close()?;
    Ok(())
}

fn after_fork_twice() -> Result {
    let opened = RefCell::new(None);
    let twice = |tcp: &Tcp, child: &ForkedChild<'_>| {
        tcp.after_fork(child);
        // Takes the lowest number that is free.
        *opened.borrow_mut() = File::open("/dev/zero").ok();
        tcp.after_fork(child);
    };
    let mut server = Server::new_fn(Hooked(tcp()?, twice), Forking::new(), |conn| {
        let mut bytes = [1; 4];
        let mut opened = opened.borrow_mut();
        opened.as_mut().ok_or(io::ErrorKind::NotFound)?.read_exact(&mut bytes)?;
        conn.write_all(&bytes)
    })?;
    let mut client = TcpStream::connect(server.transport().0.local_addr()?)?;

    assert_eq!(server.handle_request()?, Outcome::Handled);

    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes)?;
    assert_eq!(bytes, [0; 4]);
    server.close()?;
    Ok(())
}
