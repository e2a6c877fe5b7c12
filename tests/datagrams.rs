//! Packets at the edges: longer than there is room for, sent to one of many addresses, from sources
//! that lie, to clients that are gone or do not read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use socketserver::{
    AddressFamily, Amplifies, Failure, FailureKind, Handler, LocalAddr, Next, Outcome, Request,
    Server, Stage, Sync as OneByOne, Threading, ThreadingUnixDatagramServer, Transport, Truncation,
    Udp, UdpRequest, UdpServer, UnixDatagram, UnixDatagramRequest, UnixDatagramServer,
};
use support::net::{self, Echo, PATIENCE, Reach};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A UDP client that takes packets of the server alone, as `connect` makes it.
fn connected(to: impl Into<SocketAddr>) -> io::Result<UdpSocket> {
    let to = to.into();
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let client = UdpSocket::bind((any, 0))?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.connect(to)?;
    Ok(client)
}

#[test]
fn long_packets_are_counted_and_dropped_where_that_is_wanted() -> Result {
    let dir = tempfile::tempdir()?;
    let udp = Udp::options().max_packet_size(4).on_truncation(Truncation::Drop);
    let mut server = Server::new_fn(udp.bind("127.0.0.1:0")?, OneByOne, |packet| {
        assert!(!packet.is_truncated());
        packet.reply(format!("{}", packet.truncations()).as_bytes())
    })?;
    let to = server.local_addr()?;
    let _long = [Udp::send(&to, dir.path(), b"12345")?, Udp::send(&to, dir.path(), b"123456")?];
    let client = Udp::send(&to, dir.path(), b"1234")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(Udp::receive(client)?, b"2");
    assert_eq!(server.transport().truncations(), 2);

    let udp = Udp::options().max_packet_size(4).on_truncation(Truncation::Deliver);
    let mut server = Server::new_fn(udp.bind("127.0.0.1:0")?, OneByOne, |packet| {
        packet.reply(format!("{} {}", packet.is_truncated(), packet.truncations()).as_bytes())
    })?;
    let to = server.local_addr()?;
    for (packet, answer) in [("1234", "false 0"), ("12345", "true 1"), ("123456", "true 2")] {
        let client = Udp::send(&to, dir.path(), packet.as_bytes())?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(Udp::receive(client)?, answer.as_bytes());
    }
    assert_eq!(server.transport().truncations(), 2);

    let packets = UnixDatagram::options().max_packet_size(4).on_truncation(Truncation::Drop);
    let mut server = Server::new(packets.bind(dir.path().join("socket"))?, OneByOne, Echo)?;
    let to = server.local_addr()?;
    let _long = UnixDatagram::send(&to, dir.path(), b"12345")?;
    let client = UnixDatagram::send(&to, dir.path(), b"123\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(UnixDatagram::receive(client)?, b"123\n");
    assert_eq!(server.transport().truncations(), 1);
    Ok(())
}

/// The loop is given back the word now and then, or a stop would wait for the flood to end.
#[test]
fn a_queue_of_long_packets_does_not_hold_the_loop() -> Result {
    const LONG: u64 = 5000;
    let udp = Udp::options().max_packet_size(1).on_truncation(Truncation::Drop);
    let udp = udp.bind("127.0.0.1:0")?;
    // A kibibyte for each, in the kernel's count.
    if let Err(errno) = setsockopt(&udp, sockopt::RcvBufForce, &(8 << 20)) {
        eprintln!("SKIPPED: so long a queue needs CAP_NET_ADMIN: {errno}");
        return Ok(());
    }
    let client = connected(udp.local_addr()?)?;
    for _ in 0..LONG {
        client.send(b"long")?;
    }
    client.send(b"!")?;
    let kind = udp.get_request().err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::Interrupted), "not WouldBlock: there are more");
    assert!((1..LONG).contains(&udp.truncations()));
    let short = udp.get_request()?.expect("a packet");
    assert_eq!(short.data(), b"!");
    assert_eq!(udp.truncations(), LONG);
    Ok(())
}

#[test]
fn a_flood_of_long_packets_can_be_stopped_under() -> Result {
    let udp = Udp::options().max_packet_size(1).on_truncation(Truncation::Drop);
    let server = Server::new_fn(udp.bind("127.0.0.1:0")?, OneByOne, |packet| {
        packet.reply(if packet.truncations() > 0 { b"flooded" } else { b"dry" })
    })?;
    let client = connected(server.local_addr()?)?;
    client.set_read_timeout(Some(Duration::from_millis(10)))?;
    let running = server.spawn()?;
    let over = AtomicBool::new(false);
    let server = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = client.send(b"long");
                }
            });
        }
        // In the midst of the flood a short one is answered, now and then.
        let answered = (0..PATIENCE.as_millis() / 10).any(|_| {
            let _ = client.send(b"!");
            net::packet(&client).is_ok_and(|answer| answer == b"flooded")
        });
        running.stop();
        let server = running.join();
        over.store(true, Ordering::Relaxed);
        assert!(answered);
        server
    })?;
    assert!(server.transport().truncations() > 0);
    Ok(())
}

/// Answers with the address that the packet came to.
fn tells(packet: &mut UdpRequest) -> io::Result<()> {
    let ip = packet.local_ip().map_or("unknown".into(), |ip| ip.to_string());
    packet.reply(ip.as_bytes())
}

/// Asks `server` by each address, and expects to be answered from there.
fn answers_from_each(udp: Udp, addresses: &[&str]) -> Result {
    let mut server = Server::new_fn(udp, OneByOne, tells)?;
    let port = server.local_addr()?.port();
    for ip in addresses {
        let client = connected((ip.parse::<IpAddr>()?, port))?;
        client.send(b"who are you?")?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(String::from_utf8(net::packet(&client)?)?, *ip);
    }
    Ok(())
}

const LOOPBACKS: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.1.2.3"];

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() -> Result {
    answers_from_each(Udp::options().bind("0.0.0.0:0")?, &LOOPBACKS)?;
    answers_from_each(Udp::options().bind("[::]:0")?, &["::1"])?;
    let dual = || Udp::options().address_family(AddressFamily::Dual).bind("[::]:0");
    answers_from_each(dual()?, &LOOPBACKS)?;
    answers_from_each(dual()?, &["::1"])?;
    answers_from_each(Udp::from_socket(UdpSocket::bind("0.0.0.0:0")?)?, &LOOPBACKS)
}

#[test]
fn what_is_written_leaves_from_there_too_and_from_any_thread() -> Result {
    let udp = Udp::options().bind("0.0.0.0:0")?;
    let mut server = Server::new(udp, Threading::new(), Echo)?;
    let client = connected((Ipv4Addr::new(127, 0, 0, 2), server.local_addr()?.port()))?;
    client.send(b"line\n")?;
    server.handle_request()?;
    assert_eq!(net::packet(&client)?, b"line\n");
    server.close()?;
    Ok(())
}

/// A broadcast address is nobody's: the reply comes from the interface's own.
#[test]
fn a_broadcast_is_answered_from_the_interfaces_address() -> Result {
    let v4 = Udp::options().bind("0.0.0.0:0")?;
    let dual = Udp::options().address_family(AddressFamily::Dual).bind("[::]:0")?;
    for udp in [v4, dual] {
        let mut server = Server::new_fn(udp, OneByOne, tells)?;
        let client = net::packets()?;
        client.set_broadcast(true)?;
        client.send_to(b"anybody?", ("127.255.255.255", server.local_addr()?.port()))?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(net::packet(&client)?, b"127.0.0.1");
    }
    Ok(())
}

#[test]
fn a_server_of_one_address_asks_for_nothing() -> Result {
    for (address, asks) in [("127.0.0.1:0", false), ("0.0.0.0:0", true)] {
        let udp = Udp::options().bind(address)?;
        assert_eq!(getsockopt(&udp, sockopt::Ipv4PacketInfo)?, asks, "{address}");
    }
    for (address, asks) in [("[::1]:0", false), ("[::]:0", true)] {
        let udp = Udp::options().bind(address)?;
        assert_eq!(getsockopt(&udp, sockopt::Ipv6RecvPacketInfo)?, asks, "{address}");
    }
    let mut server = UdpServer::bind_fn("127.0.0.1:0", tells)?;
    let client = connected(server.local_addr()?)?;
    client.send(b"who are you?")?;
    server.handle_request()?;
    assert_eq!(net::packet(&client)?, b"unknown");
    Ok(())
}

/// What remains of an error when it is sent through a channel.
type Told = (FailureKind, Stage, ErrorKind, Option<Amplifies>);

/// Answers with a packet for each number in the packet, of so many bytes.
struct Answers(Sender<Told>);

impl Handler<UdpRequest> for Answers {
    fn handle(&self, packet: &mut UdpRequest) -> io::Result<Next> {
        let text = String::from_utf8_lossy(packet.data()).into_owned();
        if text.starts_with("cookie") {
            packet.set_verified();
        }
        let numbers = text.split(' ').filter_map(|word| word.parse().ok());
        for answer in numbers.map(|length| vec![b'x'; length]) {
            if text.starts_with("write") {
                packet.write_all(&answer)?;
            } else {
                packet.reply(&answer)?;
            }
        }
        Ok(Next::Done)
    }

    fn handle_error(&self, _packet: &mut UdpRequest, failure: &Failure) {
        let error = failure.as_error().expect("an error");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref().copied());
        let _ = self.0.send((failure.kind(), failure.stage(), error.kind(), inner));
    }
}

/// The lengths of the answers that `ip` gives to `question`, and what failed.
fn answers(udp: Udp, ip: &str, question: &str) -> Result<(Vec<usize>, Option<Told>)> {
    let (told, says) = channel();
    let mut server = Server::new(udp, OneByOne, Answers(told))?;
    let client = connected((ip.parse::<IpAddr>()?, server.local_addr()?.port()))?;
    client.send(question.as_bytes())?;
    server.handle_request()?;
    // Over loopback a packet has arrived when it has been sent.
    client.set_nonblocking(true)?;
    let lengths = std::iter::from_fn(|| net::packet(&client).ok()).map(|packet| packet.len());
    Ok((lengths.collect(), says.try_recv().ok()))
}

/// Asserts that `lengths` is what is answered, and whether that was all.
#[track_caller]
fn assert_answers(udp: io::Result<Udp>, ip: &str, question: &str, lengths: &[usize], all: bool) {
    let (answered, failed) = answers(udp.unwrap(), ip, question).unwrap();
    assert_eq!((&*answered, failed.is_none()), (lengths, all), "{question}: {failed:?}");
    if let Some((kind, _, error, inner)) = failed {
        assert_eq!((kind, error), (FailureKind::Error, ErrorKind::QuotaExceeded));
        assert!(inner.is_some());
    }
}

#[test]
fn replies_are_three_times_the_packet_at_most() -> Result {
    let v4 = || Udp::options().bind("127.0.0.1:0");
    let v6 = || Udp::options().bind("[::1]:0");
    let dual = || Udp::options().address_family(AddressFamily::Dual).bind("[::]:0");
    let (v4_most, v6_most) = (3 * (28 + 3) - 28, 3 * (48 + 3) - 48);
    assert_answers(v4(), "127.0.0.1", " 65", &[v4_most], true);
    assert_answers(v4(), "127.0.0.1", " 66", &[], false);
    assert_answers(v6(), "::1", "105", &[v6_most], true);
    assert_answers(v6(), "::1", "106", &[], false);
    assert_answers(dual(), "127.0.0.1", " 65", &[v4_most], true);
    assert_answers(dual(), "127.0.0.1", " 66", &[], false);
    assert_answers(dual(), "::1", "106", &[], false);
    // Together; and their headers count.
    assert_answers(v4(), "127.0.0.1", "10 10 10", &[10, 10], false);
    assert_answers(v4(), "127.0.0.1", "0 0 0 0", &[0, 0, 0], false);
    // An empty packet may be answered with 56 bytes, RFC 868's four among them.
    let mut server = UdpServer::bind_fn("127.0.0.1:0", |packet| packet.reply(&[0; 56]))?;
    let client = connected(server.local_addr()?)?;
    client.send(b"")?;
    server.handle_request()?;
    assert_eq!(net::packet(&client)?, [0; 56]);
    Ok(())
}

#[test]
fn what_is_written_is_limited_too() -> Result {
    assert_answers(Udp::options().bind("127.0.0.1:0"), "127.0.0.1", "write 9", &[9], true);
    let (lengths, told) = answers(Udp::options().bind("127.0.0.1:0")?, "127.0.0.1", "write 999")?;
    assert_eq!(lengths, [0; 0]);
    let (kind, stage, error, inner) = told.expect("an error");
    assert_eq!((kind, stage), (FailureKind::Error, Stage::Deliver));
    assert_eq!(error, ErrorKind::QuotaExceeded);
    let inner = inner.expect("an Amplifies");
    assert_eq!((inner.reply, inner.allowed), (999, 3 * (28 + 9) - 28));
    assert!(inner.to_string().contains("set_verified"));
    Ok(())
}

#[test]
fn the_limit_is_the_servers_choice() -> Result {
    let local = "127.0.0.1";
    let udp = |factor: Option<u32>| Udp::options().max_amplification(factor).bind("127.0.0.1:0");
    assert_answers(udp(Some(1)), local, "  4", &[], false);
    assert_answers(udp(Some(1)), local, "  3", &[3], true);
    assert_answers(udp(Some(1000)), local, "9000", &[9000], true);
    assert_answers(udp(None), local, "60000 60000", &[60000, 60000], true);
    assert_answers(Udp::options().max_amplification(9).bind("127.0.0.1:0"), local, "9", &[9], true);
    let none = udp(Some(0)).expect_err("no reply could ever be sent");
    assert_eq!(none.kind(), ErrorKind::InvalidInput);
    let taken_over = Udp::from_socket(UdpSocket::bind("127.0.0.1:0")?);
    assert_answers(taken_over, local, "999", &[], false);
    Ok(())
}

#[test]
fn a_source_that_has_been_verified_gets_what_it_asks_for() {
    let udp = || Udp::options().bind("127.0.0.1:0");
    assert_answers(udp(), "127.0.0.1", "cookie 9000 9000", &[9000, 9000], true);
    assert_answers(udp(), "127.0.0.1", "crumbs 9000 9000", &[], false);
}

#[test]
fn a_reply_that_cannot_be_sent_uses_nothing_up() -> Result {
    let udp = Udp::options().max_amplification(5000).bind("127.0.0.1:0")?;
    let client = connected(udp.local_addr()?)?;
    client.send(b"")?;
    let packet = udp.get_request()?.expect("a packet");
    for _ in 0..5 {
        let error = packet.reply(&[0; 65_508]).expect_err("more than a packet holds");
        assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE));
    }
    packet.reply(&[0; 65_507])?;
    packet.reply(&[0; 65_507])?;
    assert_eq!(kind(packet.reply(&[0; 65_507])), Some(ErrorKind::QuotaExceeded));
    Ok(())
}

fn kind(result: io::Result<()>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The last word to a packet that is not handled.
#[test]
fn a_last_word_is_limited_as_a_reply_is() -> Result {
    let udp = Udp::options().bind("127.0.0.1:0")?;
    let client = connected(udp.local_addr()?)?;
    client.send(b"please")?;
    let mut packet = udp.get_request()?.expect("a packet");
    packet.answer(&[b'x'; 999]);
    packet.answer(b"busy");
    assert_eq!(net::packet(&client)?, b"busy");
    Ok(())
}

/// The kernel tells an unconnected socket nothing of it, unless it asks (`IP_RECVERR`, ip(7)).
#[test]
fn a_client_that_is_gone_disturbs_nobody() -> Result {
    for hears in [false, true] {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        setsockopt(&socket, sockopt::Ipv4RecvErr, &hears)?;
        let udp = Udp::from_socket(socket)?;
        let mut server = Server::new_fn(udp, OneByOne, |packet| packet.reply(b"too late"))?;
        let to = server.local_addr()?;
        let client = connected(to)?;
        let told = if hears { ErrorKind::ConnectionRefused } else { ErrorKind::WouldBlock };
        for _ in 0..10 {
            connected(to)?.send(b"I am going")?;
            assert_eq!(server.handle_request()?, Outcome::Handled);
            let error = server.transport().get_request().err();
            assert_eq!(error.map(|error| error.kind()), Some(told));
            // Once more, for the loop.
            connected(to)?.send(b"I am going")?;
            assert_eq!(server.handle_request()?, Outcome::Handled);
            client.send(b"I am here")?;
            assert_eq!(server.handle_request()?, Outcome::Handled);
            assert_eq!(net::packet(&client)?, b"too late");
        }
        assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
    }
    Ok(())
}

/// Answers each packet with as many as its text says, and tells how many have been sent.
fn many(packet: &mut UnixDatagramRequest) -> io::Result<()> {
    let count = String::from_utf8_lossy(packet.data()).parse().unwrap_or(1);
    (0..count).try_for_each(|_| packet.reply(b"an answer"))
}

/// The queue of a Unix client holds 10 packets by default (`net.unix.max_dgram_qlen`); a blocking
/// send of the next waits for ever.
#[test]
fn a_client_that_reads_nothing_holds_up_nobody() -> Result {
    let dir = tempfile::tempdir()?;
    let running = UnixDatagramServer::bind_fn(dir.path().join("socket"), many)?.spawn()?;
    let to = running.local_addr()?;
    let _deaf = UnixDatagram::send(&to, dir.path(), b"100000")?;
    assert_eq!(UnixDatagram::ask(&to, dir.path(), b"1")?, b"an answer");
    running.close()?;

    let (send, ended) = channel();
    let path = dir.path().join("threads");
    let threads = ThreadingUnixDatagramServer::bind_fn(path, move |packet| {
        let told = send.send(kind(many(packet)));
        told.map_err(io::Error::other)
    })?;
    let running = threads.spawn()?;
    let _deaf = UnixDatagram::send(&running.local_addr()?, dir.path(), b"100000")?;
    assert_eq!(ended.recv_timeout(PATIENCE)?, Some(ErrorKind::WouldBlock), "no thread waits");
    running.close()?;
    Ok(())
}

#[test]
fn a_client_that_reads_nothing_is_not_waited_for_with_a_last_word() -> Result {
    let dir = tempfile::tempdir()?;
    let transport = UnixDatagram::options().bind(dir.path().join("socket"))?;
    let _deaf = UnixDatagram::send(&transport.local_addr()?, dir.path(), b"hello")?;
    let mut packet = transport.get_request()?.expect("a packet");
    let (send, ended) = channel();
    thread::spawn(move || {
        (0..1000).for_each(|_| packet.answer(b"no"));
        let _ = send.send(());
    });
    Ok(ended.recv_timeout(PATIENCE)?)
}
