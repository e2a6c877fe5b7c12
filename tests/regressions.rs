//! Bugs that a review has found, as the behaviour that there is instead; those of processes are in
//! `regressions_fork.rs`.

#[path = "support/time.rs"]
mod time;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net as unix;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::libc;
use socket2::{Domain, Socket, Type};
use socketserver::{
    Concurrency, Handler, LocalAddr, Next, Outcome, Request, Server, Session, Sync, Tcp,
    TcpRequest, TcpServer, Threading, Transport, Udp, UnixDatagram, UnixDatagramRequest,
    UnixDatagramServer, Waiter, handler_fn,
};
use time::let_pass;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Far beyond what anything here needs, so that only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(20);

/// What `run` returns, or an error where it hangs.
fn without_hanging<V: Send + 'static>(run: impl FnOnce() -> V + Send + 'static) -> Result<V> {
    let (tell, told) = bounded(1);
    thread::spawn(move || tell.send(run()));
    Ok(told.recv_timeout(LIMIT)?)
}

struct Token;

impl Request for Token {}

/// A transport of two closures.
struct Scripted<G, W> {
    get: G,
    wait: W,
}

impl<G, W> Transport for Scripted<G, W>
where
    G: Fn() -> io::Result<Option<Token>>,
    W: Fn(&Waiter<'_>) -> io::Result<()>,
{
    type Request = Token;

    fn get_request(&self) -> io::Result<Option<Token>> {
        (self.get)()
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        (self.wait)(waiter)
    }
}

fn nothing<V>() -> io::Result<V> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// A TCP transport that tells of its end.
struct Telling {
    tcp: Tcp,
    closed: Sender<()>,
}

impl Telling {
    fn bind() -> io::Result<(Self, SocketAddr, Receiver<()>)> {
        let tcp = Tcp::options().bind("127.0.0.1:0")?;
        let address = tcp.local_addr()?;
        let (closed, tells) = unbounded();
        Ok((Self { tcp, closed }, address, tells))
    }
}

impl Transport for Telling {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        self.tcp.get_request()
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.tcp.wait(waiter)
    }

    fn server_close(self) -> io::Result<()> {
        self.closed.send(()).map_err(io::Error::other)?;
        self.tcp.server_close()
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

#[test]
fn a_stop_between_two_calls_is_kept_though_its_handle_is_older_than_the_session() -> Result {
    let mut server = TcpServer::bind_fn("127.0.0.1:0", |_| Ok(()))?;
    let stop = server.stop_handle();
    stop.stop();
    server.serve_forever()?;
    assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);

    stop.stop();

    assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::Stopped);
    Ok(())
}

/// A handler's thread-local whose destructor takes its time.
struct Slow {
    entered: Sender<()>,
    go_on: Receiver<()>,
    over: Arc<AtomicUsize>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.entered.send(());
        let _ = self.go_on.recv_timeout(LIMIT);
        // A `close` that does not wait for this returns earlier.
        let_pass(Duration::from_millis(50));
        self.over.fetch_add(1, SeqCst);
    }
}

thread_local! {
    static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) };
}

#[test]
fn a_slow_thread_local_of_one_request_holds_up_close_and_no_other_request() -> Result {
    let (transport, address, closed) = Telling::bind()?;
    let (entered, enters) = unbounded();
    let over = Arc::<AtomicUsize>::default();
    let first = Cell::new(Some(Slow { entered, go_on: closed, over: Arc::clone(&over) }));
    let first = parking_lot::Mutex::new(first);
    let server = Server::new_fn(transport, Threading::new().fresh_threads(true), move |conn| {
        if let Some(slow) = first.lock().take() {
            SLOW.set(Some(slow));
        }
        conn.write_all(b"x")
    })?;
    let running = server.spawn()?;
    let ask = || connect(address)?.read_to_string(&mut String::new());
    assert_eq!(ask()?, 1);
    enters.recv_timeout(LIMIT)?;

    for _ in 0..3 {
        assert_eq!(ask()?, 1);
    }

    running.stop();
    let server = running.join()?;
    assert_eq!(over.load(SeqCst), 0);
    // Its transport lets the destructor go on.
    server.close()?;
    assert_eq!(over.load(SeqCst), 1);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_transport_that_polls_the_wake_up_itself_hears_a_stale_ring_once() -> Result {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    let rings = RefCell::new(Vec::new());
    let transport = Scripted {
        get: || if rings.borrow().len() < 3 { nothing() } else { Ok(None) },
        wait: |waiter: &Waiter<'_>| {
            if rings.borrow().is_empty() {
                // What a stop for a session that is over by then leaves behind.
                nix::unistd::write(waiter, &1_u64.to_ne_bytes())?;
            }
            let mut bell = [PollFd::new(waiter.as_fd(), PollFlags::POLLIN)];
            rings.borrow_mut().push(poll(&mut bell, PollTimeout::ZERO)? == 1);
            Ok(())
        },
    };
    let mut server = Server::new(transport, Sync, handler_fn(|_: &mut Token| Ok(())))?;

    server.serve_forever()?;

    drop(server);
    assert_eq!(rings.into_inner(), [true, false, false]);
    Ok(())
}

/// Three threads that pull, the one that serves among them.
struct Three;

impl<T, H> Concurrency<T, H> for Three
where
    T: Transport + Send + std::marker::Sync,
    H: Handler<T::Request> + Send + std::marker::Sync,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        fn pull<T: Transport, H: Handler<T::Request>>(session: &Session<T, H>) -> io::Result<()> {
            while let Some(job) = session.next_request()? {
                session.finish_request(job);
            }
            Ok(())
        }
        thread::scope(|scope| {
            let others = [session.puller(), session.puller()].map(|puller| {
                scope.spawn(move || puller.session().map_or(Ok(()), |session| pull(&session)))
            });
            let own = pull(session);
            others.into_iter().fold(own, |all, other| {
                all.and(other.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
            })
        })
    }
}

/// How a session of three ends when one of them meets `end`, once the last has begun to wait.
fn end_of_three(end: fn() -> io::Result<Option<Token>>) -> Result<io::Result<()>> {
    without_hanging(move || {
        let waiting = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&waiting);
        let transport = Scripted {
            get: move || seen.compare_exchange(3, 4, SeqCst, SeqCst).map_or(nothing(), |_| end()),
            wait: move |waiter: &Waiter<'_>| {
                if waiting.fetch_add(1, SeqCst) < 2 { waiter.pause() } else { Ok(()) }
            },
        };
        Server::new(transport, Three, handler_fn(|_: &mut Token| Ok(())))?.serve_forever()
    })
}

#[test]
fn a_transport_that_breaks_for_one_puller_ends_the_session_for_all() -> Result {
    let served = end_of_three(|| Err(io::Error::from_raw_os_error(libc::EBADF)))?;

    assert_eq!(served.map_err(|error| error.raw_os_error()), Err(Some(libc::EBADF)));
    Ok(())
}

#[test]
fn a_transport_that_is_exhausted_for_one_puller_ends_the_session_for_all() -> Result {
    Ok(end_of_three(|| Ok(None))??)
}

#[test]
fn next_again_ends_when_the_server_is_closed_after_handle_request() -> Result {
    let (transport, address, closed) = Telling::bind()?;
    /// Tells of each exchange that begins.
    struct ByteByByte(Sender<()>);
    impl<R: Read + Write> Handler<R> for ByteByByte {
        fn handle(&self, conn: &mut R) -> io::Result<Next> {
            let _ = self.0.send(());
            let mut byte = [0];
            conn.read_exact(&mut byte)?;
            conn.write_all(&byte)?;
            Ok(Next::Again)
        }
    }
    let (tell, exchanges) = unbounded();
    let mut server = Server::new(transport, Threading::new(), ByteByByte(tell))?;
    let mut client = connect(address)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    client.write_all(b"1")?;
    client.read_exact(&mut [0])?;
    // The second has begun, and waits for its byte.
    exchanges.recv_timeout(LIMIT)?;
    exchanges.recv_timeout(LIMIT)?;

    let after_close = thread::spawn(move || {
        closed.recv_timeout(LIMIT).map_err(io::Error::other)?;
        client.write_all(b"2")?;
        let mut rest = String::new();
        client.read_to_string(&mut rest)?;
        Ok::<_, io::Error>(rest)
    });
    server.close()?;

    assert_eq!(after_close.join().map_err(|_| "a panic")??, "2");
    Ok(())
}

/// Counts what a loop tells when it can't get requests.
#[derive(Default)]
struct Told {
    failed: AtomicUsize,
    serviced: AtomicUsize,
    handled: AtomicUsize,
}

impl Handler<Token> for &Told {
    fn handle(&self, _: &mut Token) -> io::Result<Next> {
        self.handled.fetch_add(1, SeqCst);
        Ok(Next::Done)
    }

    fn service_actions(&self) {
        self.serviced.fetch_add(1, SeqCst);
    }

    fn get_request_failed(&self, _: &io::Error) {
        self.failed.fetch_add(1, SeqCst);
    }
}

#[test]
fn errors_with_idle_times_between_are_not_in_a_row() -> Result {
    let (told, gets) = (Told::default(), Cell::new(0));
    let get = || {
        gets.set(gets.get() + 1);
        match gets.get() {
            150.. => Ok(None),
            odd if odd % 2 == 1 => Err(io::Error::from_raw_os_error(libc::ECONNABORTED)),
            _ => nothing(),
        }
    };

    Server::new(Scripted { get, wait: |_: &Waiter<'_>| Ok(()) }, Sync, &told)?.serve_forever()?;

    assert_eq!(told.failed.load(SeqCst), 0);
    Ok(())
}

#[test]
fn a_panic_in_wait_does_not_end_the_session() -> Result {
    let (told, waits) = (Told::default(), Cell::new(0));
    let taken = Cell::new(false);
    let transport = Scripted {
        get: || match waits.get() {
            ..3 => nothing(),
            _ if taken.replace(true) => Ok(None),
            _ => Ok(Some(Token)),
        },
        wait: |_: &Waiter<'_>| {
            waits.set(waits.get() + 1);
            panic!("of the transport, and part of this test")
        },
    };

    Server::new(transport, Sync, &told)?.serve_forever()?;

    assert_eq!(told.handled.load(SeqCst), 1);
    Ok(())
}

#[test]
fn want_of_descriptors_is_waited_out_in_lengthening_pauses_and_told_once() -> Result {
    let (told, gets) = (Told::default(), Cell::new(0));
    let get = || {
        gets.set(gets.get() + 1);
        if gets.get() > 6 { Ok(None) } else { Err(io::Error::from_raw_os_error(libc::EMFILE)) }
    };
    let began = Instant::now();

    Server::new(Scripted { get, wait: |_: &Waiter<'_>| Ok(()) }, Sync, &told)?.serve_forever()?;

    let pauses = Duration::from_millis(5 + 10 + 20 + 40 + 80 + 160);
    assert!(began.elapsed() >= pauses, "{:?}", began.elapsed());
    assert_eq!(told.failed.load(SeqCst), 1);
    Ok(())
}

#[test]
fn service_actions_keeps_its_interval_while_descriptors_are_wanting() -> Result {
    let (told, gets) = (Told::default(), Cell::new(0));
    let get = || {
        gets.set(gets.get() + 1);
        // Without a tick in them, the pauses of so many attempts have one call each.
        if told.serviced.load(SeqCst) > 20 || gets.get() > 12 {
            return Ok(None);
        }
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    };
    let transport = Scripted { get, wait: |_: &Waiter<'_>| Ok(()) };
    let server = Server::new(transport, Sync, &told)?;

    server.service_interval(Duration::from_millis(1)).serve_forever()?;

    assert!(told.serviced.load(SeqCst) > 20, "{}", told.serviced.load(SeqCst));
    Ok(())
}

#[test]
fn after_a_pause_the_transport_is_asked_again_though_it_would_wait() -> Result {
    without_hanging(|| {
        let gets = Cell::new(0);
        let get = || {
            gets.set(gets.get() + 1);
            if gets.get() == 1 { Err(io::Error::other("this passes")) } else { Ok(None) }
        };
        let transport = Scripted { get, wait: |waiter: &Waiter<'_>| waiter.pause() };
        Server::new(transport, Sync, &Told::default())?.serve_forever()
    })??;
    Ok(())
}

/// Binds to a path that fills `sun_path` to its last byte, so that no NUL ends it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no crate in use binds to a path of this length")]
fn bind_to_the_longest_path(socket: &unix::UnixDatagram, dir: &std::path::Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    // SAFETY: all its fields are numbers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).map_err(io::Error::other)?;
    let path = dir.join("x".repeat(address.sun_path.len()));
    for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
        *to = *from as libc::c_char;
    }
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: `address` is a whole sockaddr_un, and `length` is its size.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_bound_to_a_path_of_108_bytes_gets_its_reply() -> Result {
    let dir = tempfile::tempdir()?;
    let client = unix::UnixDatagram::unbound()?;
    bind_to_the_longest_path(&client, dir.path())?;
    let path = dir.path().join("server");
    let reply = |packet: &mut UnixDatagramRequest| packet.reply(b"hello");
    let mut server = UnixDatagramServer::bind_fn(&path, reply)?;
    client.send_to(b"?", &path)?;
    client.set_read_timeout(Some(LIMIT))?;

    assert_eq!(server.handle_request()?, Outcome::Handled);

    let mut bytes = [0; 8];
    assert_eq!(client.recv(&mut bytes)?, 5);
    Ok(())
}

#[test]
fn a_socket_that_is_not_bound_is_refused() -> Result {
    let udp = Udp::from_socket(Socket::new(Domain::IPV4, Type::DGRAM, None)?).map(drop);
    let unix = UnixDatagram::from_socket(unix::UnixDatagram::unbound()?).map(drop);
    let bound = Udp::from_socket(UdpSocket::bind("127.0.0.1:0")?).map(drop);

    assert_eq!(udp.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
    assert_eq!(unix.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
    Ok(bound?)
}

#[test]
fn a_source_that_is_always_ready_and_never_has_anything_is_not_spun_on() -> Result {
    // Some hundred thousand without the pauses; with them 1,000 at once, and then one in 5 ms.
    const MOST: usize = 20_000;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let transport = Scripted {
        get: move || {
            counted.fetch_add(1, SeqCst);
            Err(io::ErrorKind::WouldBlock.into())
        },
        wait: |_: &Waiter<'_>| Ok(()),
    };
    let running = Server::new_fn(transport, Sync, |_| Ok(()))?.spawn()?;
    let_pass(Duration::from_millis(300));
    running.close()?;

    assert!(looks.load(SeqCst) < MOST, "{looks:?}");
    Ok(())
}

#[test]
fn what_is_written_before_next_again_is_sent_before_the_next_exchange() -> Result {
    struct Lines;
    impl<R: Read + Write> Handler<R> for Lines {
        fn handle(&self, conn: &mut R) -> io::Result<Next> {
            let mut byte = [0];
            conn.read_exact(&mut byte)?;
            conn.write_all(&byte)?;
            Ok(if byte == *b"." { Next::Done } else { Next::Again })
        }
    }
    let tcp = Tcp::options().wbufsize(4096).bind("127.0.0.1:0")?;
    let running = Server::new(tcp, Threading::new(), Lines)?.spawn()?;
    let mut client = connect(running.local_addr()?)?;
    for byte in [b'1', b'2', b'.'] {
        let mut echo = [0];
        client.write_all(&[byte]).and_then(|()| client.read_exact(&mut echo))?;
        assert_eq!(echo, [byte]);
    }
    Ok(running.close().map(|_report| ())?)
}
