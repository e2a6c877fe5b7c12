//! Rows H1 to H8 of `docs/from-python.md`: what a handler reads and writes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use socketserver::{
    Datagram, DatagramSocket, Failure, FailureKind, Handler, Next, Outcome, ReadLine, Server,
    Stage, Sync as OneByOne, Tcp, TcpServer, Threading, ThreadingTcpServer, Udp, UdpServer,
    UnixDatagram, UnixStream,
};
use support::net::{self, Echo, PATIENCE, Reach};
use support::signals;
use support::time::let_pass;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// H1: what is local to `handle` is each request's own, what is in the handler is everybody's.
#[test]
fn requests_share_their_handler_and_nothing_else() -> Result {
    struct Meet(Barrier);
    impl<R: BufRead + Write> Handler<R> for Meet {
        fn handle(&self, request: &mut R) -> io::Result<Next> {
            let mut own = String::new();
            request.read_line(&mut own)?;
            self.0.wait();
            request.write_all(own.as_bytes())?;
            Ok(Next::Done)
        }
    }
    let dir = tempfile::tempdir()?;
    let handler = Arc::new(Meet(Barrier::new(2)));
    let running = ThreadingTcpServer::bind("127.0.0.1:0", handler)?.spawn()?;
    let address = running.local_addr()?;
    let one = Tcp::send(&address, dir.path(), b"one\n")?;
    let two = Tcp::send(&address, dir.path(), b"two\n")?;
    assert_eq!((Tcp::receive(one)?, Tcp::receive(two)?), (b"one\n".into(), b"two\n".into()));
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// H2: Python's `rfile` can't be read any more.
#[test]
fn a_connection_can_be_read_after_a_timeout() -> Result {
    let tcp = Tcp::options().timeout(Duration::from_millis(20)).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(tcp, OneByOne, |conn| {
        let mut line = String::new();
        let late = conn.read_line(&mut line).expect_err("nobody has said anything");
        assert!(matches!(late.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{late}");
        conn.set_timeout(Some(PATIENCE))?;
        conn.write_all(b"late\n")?;
        conn.read_line(&mut line)?;
        conn.write_all(line.as_bytes())
    })?;
    let address = server.local_addr()?;
    let client = thread::spawn(move || -> io::Result<Vec<u8>> {
        let mut client = net::connect(address)?;
        client.read_exact(&mut [0; 5])?;
        client.write_all(b"here I am\n")?;
        net::all(client)
    });
    server.handle_request()?;
    assert_eq!(client.join().map_err(|_| "the client panicked")??, b"here I am\n");
    Ok(())
}

/// H2: buffered, with what is there to be seen; or not, with a size of 0.
#[test]
fn reading_is_buffered_by_rbufsize() -> Result {
    for (size, rest) in [(8192, &b"rest"[..]), (0, b"")] {
        let tcp = Tcp::options().rbufsize(size).bind("127.0.0.1:0")?;
        let mut server = Server::new_fn(tcp, OneByOne, |conn| {
            let mut line = String::new();
            conn.read_line(&mut line)?;
            let unread = conn.unread().to_vec();
            conn.write_all(&unread)?;
            // What the buffer lacks is in the socket.
            conn.read_exact(&mut [0; 4])
        })?;
        let client = Tcp::send(&server.local_addr()?, "".as_ref(), b"line\nrest")?;
        server.handle_request()?;
        assert_eq!(net::all(client)?, rest, "rbufsize {size}");
    }
    Ok(())
}

/// H3: at once, and through a buffer.
#[test]
fn a_write_of_many_megabytes_survives_signals() -> Result {
    const MEGABYTES: usize = 8 << 20;
    signals::interrupt_on_usr1()?;
    let before = signals::seen();
    for (wbufsize, part) in [(0, MEGABYTES), (8192, 1000)] {
        let tcp = Tcp::options().wbufsize(wbufsize).bind("127.0.0.1:0")?;
        let mut server = Server::new_fn(tcp, OneByOne, |conn| {
            vec![b'x'; MEGABYTES].chunks(part).try_for_each(|part| conn.write_all(part))
        })?;
        let (address, serving) = (server.local_addr()?, pthread_self());
        let client = thread::spawn(move || -> io::Result<usize> {
            let client = net::connect(address)?;
            for _ in 0..40 {
                // Nobody reads: as a rule, the writer waits for room by now.
                let_pass(Duration::from_millis(5));
                pthread_kill(serving, Signal::SIGUSR1)?;
            }
            Ok(net::all(client)?.len())
        });
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(client.join().map_err(|_| "the client panicked")??, MEGABYTES);
    }
    assert!(signals::seen() > before);
    Ok(())
}

/// H4.
#[test]
fn what_a_failed_handler_wrote_is_sent() -> Result {
    for panics in [false, true] {
        for wbufsize in [0, 8192] {
            let tcp = Tcp::options().wbufsize(wbufsize).bind("127.0.0.1:0")?;
            let mut server = Server::new_fn(tcp, OneByOne, move |conn| -> io::Result<()> {
                conn.write_all(b"half of ")?;
                assert!(!panics, "as it is told");
                Err(io::Error::other("as it is told"))
            })?;
            let client = net::connect(server.local_addr()?)?;
            server.handle_request()?;
            assert_eq!(net::all(client)?, b"half of ");
        }
    }
    Ok(())
}

/// H4: held back up to its size, until it is flushed.
#[test]
fn writing_is_buffered_by_wbufsize() -> Result {
    let tcp = Tcp::options().wbufsize(100).bind("127.0.0.1:0")?;
    let (now, flushed) = channel();
    let (look, looked) = channel();
    let looked = std::sync::Mutex::new(looked);
    let server = Server::new_fn(tcp, Threading::new(), move |conn| {
        conn.write_all(b"held")?;
        let _ = now.send(());
        let looked = looked.lock().expect("not poisoned");
        looked.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        conn.flush()?;
        looked.recv_timeout(PATIENCE).map_err(io::Error::other)
    })?;
    let running = server.spawn()?;
    let mut client = net::connect(running.local_addr()?)?;
    flushed.recv_timeout(PATIENCE)?;
    client.set_nonblocking(true)?;
    assert_eq!(client.read(&mut [0]).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
    client.set_nonblocking(false)?;
    look.send(())?;
    let mut bytes = [0; 4];
    client.read_exact(&mut bytes)?;
    assert_eq!(&bytes, b"held");
    look.send(())?;
    running.stop();
    running.join()?.close()?;
    Ok(())
}

/// What a handler was told of a failure.
struct Told<H>(H, Sender<(FailureKind, Stage, Option<i32>)>);

impl<R, H: Handler<R>> Handler<R> for Told<H> {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        self.0.handle(request)
    }

    fn handle_error(&self, _request: &mut R, failure: &Failure) {
        let errno = failure.as_error().and_then(io::Error::raw_os_error);
        let _ = self.1.send((failure.kind(), failure.stage(), errno));
    }
}

/// H2: what is not UTF-8 is told before the timeout, and its rest is not taken for a line.
#[test]
fn a_line_that_is_not_text_is_an_error_though_its_end_is_late() -> Result {
    let tcp = Tcp::options().timeout(Duration::from_millis(20)).bind("127.0.0.1:0")?;
    let (told, says) = channel();
    let mut server = Server::new_fn(tcp, OneByOne, move |conn| {
        let kind = conn.read_line_bounded(&mut String::new(), 80).err().map(|error| error.kind());
        told.send(kind).map_err(io::Error::other)
    })?;
    let mut client = net::connect(server.local_addr()?)?;
    client.write_all(b"\xff evil ")?;
    server.handle_request()?;
    assert_eq!(says.try_recv()?, Some(ErrorKind::InvalidData));
    Ok(())
}

/// H5.
#[test]
fn a_timeout_that_expires_is_told_as_one() -> Result {
    let tcp = Tcp::options().timeout(Duration::from_millis(20)).bind("127.0.0.1:0")?;
    let (told, says) = channel();
    let mut server = Server::new(tcp, OneByOne, Told(Echo, told))?;
    let client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Failed);
    let (kind, stage, _) = says.try_recv()?;
    assert_eq!((kind, stage), (FailureKind::TimedOut, Stage::Handle));
    assert!(net::is_closed(client)?);
    Ok(())
}

/// H5: each read has the whole of it, as in Python; together they may take longer.
#[test]
fn a_timeout_is_that_of_each_read() -> Result {
    let timeout = Duration::from_secs(2);
    let tcp = Tcp::options().timeout(timeout).bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, OneByOne, Echo)?;
    let address = server.local_addr()?;
    let client = thread::spawn(move || -> io::Result<Vec<u8>> {
        let mut client = net::connect(address)?;
        for byte in b"slow\n" {
            let_pass(timeout / 4);
            client.write_all(&[*byte])?;
        }
        net::all(client)
    });
    server.handle_request()?;
    assert_eq!(client.join().map_err(|_| "the client panicked")??, b"slow\n");
    Ok(())
}

/// H6: for `Tcp` alone; no other transport has the option.
#[test]
fn nagle_is_disabled_where_asked_for() -> Result {
    for disable in [false, true] {
        let tcp = Tcp::options().disable_nagle_algorithm(disable).bind("127.0.0.1:0")?;
        let mut server = Server::new_fn(tcp, OneByOne, |conn| {
            let disabled = conn.get_ref().nodelay()?;
            conn.write_all(disabled.to_string().as_bytes())
        })?;
        let client = net::connect(server.local_addr()?)?;
        server.handle_request()?;
        assert_eq!(net::all(client)?, disable.to_string().as_bytes());
    }
    Ok(())
}

/// Answers packets in every way there is.
struct Answers;

impl<S: DatagramSocket, A> Handler<Datagram<S, A>> for Answers {
    fn handle(&self, packet: &mut Datagram<S, A>) -> io::Result<Next> {
        match packet.data() {
            b"nothing" => {}
            b"empty" => packet.reply(b"")?,
            b"parts" => {
                packet.write_all(b"one ")?;
                packet.write_all(b"datagram")?;
            }
            b"twice" => {
                packet.reply(b"first")?;
                packet.reply(b"second")?;
            }
            b"fail" => {
                packet.write_all(b"half of it")?;
                return Err(io::Error::other("as it is told"));
            }
            b"panic" => {
                packet.write_all(b"half of it")?;
                panic!("as it is told");
            }
            b"long" => packet.write_all(&[b'x'; 70_000])?,
            _ => packet.reply(packet.data())?,
        }
        Ok(Next::Done)
    }
}

/// H7: Python sends an empty datagram for nothing, and the half of a failed handler's.
#[test]
fn a_packet_is_answered_when_asked_and_only_then() -> Result {
    let mut server = UdpServer::bind("127.0.0.1:0", Answers)?;
    let client = net::packets()?;
    client.connect(server.local_addr()?)?;
    let mut answers = |packet: &[u8]| -> Result<Vec<Vec<u8>>> {
        client.send(packet)?;
        server.handle_request()?;
        // What comes before the answer to this one belongs to that one: loopback keeps the order.
        client.send(b"mark")?;
        server.handle_request()?;
        let mut all = Vec::new();
        loop {
            match net::packet(&client)? {
                mark if mark == b"mark" => return Ok(all),
                answer => all.push(answer),
            }
        }
    };
    let nothing: [&[u8]; 0] = [];
    assert_eq!(answers(b"nothing")?, nothing);
    assert_eq!(answers(b"empty")?, [b""]);
    assert_eq!(answers(b"parts")?, [b"one datagram"]);
    assert_eq!(answers(b"twice")?, [&b"first"[..], b"second"]);
    assert_eq!(answers(b"fail")?, nothing);
    assert_eq!(answers(b"panic")?, nothing);
    Ok(())
}

/// H7.
#[test]
fn an_answer_that_no_packet_holds_is_an_error() -> Result {
    let (told, says) = channel();
    let udp = Udp::options().max_amplification(None).bind("127.0.0.1:0")?;
    let mut server = Server::new(udp, OneByOne, Told(Answers, told))?;
    net::packets()?.send_to(b"long", server.local_addr()?)?;
    server.handle_request()?;
    let failure = (FailureKind::Error, Stage::Deliver, Some(libc::EMSGSIZE));
    assert_eq!(says.try_recv()?, failure);
    Ok(())
}

/// H8: where Python finds out at run time that a handler and a transport do not go together.
#[test]
fn one_handler_serves_connections_and_packets() -> Result {
    fn answers<T: Reach>() -> Result
    where
        Echo: Handler<T::Request>,
    {
        let dir = tempfile::tempdir()?;
        let mut server = Server::new(T::open(dir.path())?, OneByOne, Echo)?;
        let client = T::send(&server.local_addr()?, dir.path(), b"the same\n")?;
        server.handle_request()?;
        assert_eq!(T::receive(client)?, b"the same\n");
        Ok(())
    }
    answers::<Tcp>()?;
    answers::<UnixStream>()?;
    answers::<Udp>()?;
    answers::<UnixDatagram>()
}

/// H1: the connection can outlive its request, as Python's never can.
#[test]
fn a_detached_connection_goes_on() -> Result {
    let (keep, kept) = channel();
    let mut server = TcpServer::bind_fn("127.0.0.1:0", move |conn| {
        let _ = keep.send(conn.detach()?);
        Ok(())
    })?;
    let client = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    server.close()?;
    kept.try_recv()?.write_all(b"long after")?;
    assert_eq!(net::all(client)?, b"long after");
    Ok(())
}
