//! Rows T1 to T9 of `docs/from-python.md`: the four transports on their own; T10 is proved by
//! whoever implements one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use socket2::SockRef;
use socketserver::{
    AddressFamily, Failure, FailureKind, Handler, Hangup, LocalAddr, Next, Outcome, Server, Stage,
    Sync as OneByOne, Tcp, TcpServer, ThreadingUdpServer, Udp, UdpServer, UnixDatagram,
    UnixDatagramRequest, UnixDatagramServer, UnixStream, UnixStreamServer,
};
use support::net::{self, Echo, PATIENCE, Reach};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// T1: Python has IPv4 alone, unless a class attribute says otherwise.
#[test]
fn the_family_is_that_of_the_address() -> Result {
    let dir = tempfile::tempdir()?;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut tcp = TcpServer::bind(address, Echo)?;
        let client = Tcp::send(&tcp.local_addr()?, dir.path(), b"family\n")?;
        tcp.handle_request()?;
        assert_eq!(Tcp::receive(client)?, b"family\n");
        assert_eq!(tcp.local_addr()?.is_ipv6(), address.contains("::1"));

        let mut udp = UdpServer::bind(address, Echo)?;
        let client = UdpSocket::bind(address)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.send_to(b"family\n", udp.local_addr()?)?;
        udp.handle_request()?;
        assert_eq!(net::packet(&client)?, b"family\n");
    }
    Ok(())
}

/// T1: Python says that a name could not be resolved.
#[test]
fn an_address_of_the_wrong_family_is_refused_with_words() {
    let cases = [
        ("[::1]:0", AddressFamily::V4, "V6"),
        ("127.0.0.1:0", AddressFamily::V6, "V4"),
        ("127.0.0.1:0", AddressFamily::Dual, "[::]"),
    ];
    for (address, family, hint) in cases {
        let tcp = Tcp::options().address_family(family).bind(address).err();
        let udp = Udp::options().address_family(family).bind(address).err();
        for error in [tcp, udp] {
            let error = error.expect("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}

/// T2.
#[test]
fn the_address_is_reused_for_a_fixed_tcp_port_alone() -> Result {
    let reuses = |tcp: &Tcp| SockRef::from(tcp).reuse_address();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    assert!(!reuses(&tcp)?, "port 0 could be another server's");
    let address = tcp.local_addr()?;
    drop(tcp);
    assert!(reuses(&Tcp::options().bind(address)?)?);
    assert!(!reuses(&Tcp::options().allow_reuse_address(false).bind(address)?)?);
    assert!(reuses(&Tcp::options().allow_reuse_address(true).bind("127.0.0.1:0")?)?);

    let udp = Udp::options().bind(address)?;
    assert!(!SockRef::from(&udp).reuse_address()?);
    Ok(())
}

/// T2: the restart that Python's default makes wait for a minute.
#[test]
fn a_server_can_follow_another_at_once() -> Result {
    let mut address: SocketAddr = "127.0.0.1:0".parse()?;
    for _ in 0..3 {
        // Port 0 says nothing about what follows: only a fixed port is reused by default.
        let tcp = Tcp::options().allow_reuse_address(true).bind(address)?;
        let mut server = Server::new_fn(tcp, OneByOne, |conn| conn.write_all(b"bye"))?;
        address = server.local_addr()?;
        let client = net::connect(address)?;
        server.handle_request()?;
        // The server ended the connection first: its side lingers.
        assert_eq!(net::all(client)?, b"bye");
        server.close()?;
    }
    TcpServer::bind(address, Echo)?;
    Ok(())
}

/// T3.
#[test]
fn a_port_is_shared_only_on_request() -> Result {
    let shared = || Tcp::options().allow_reuse_port(true);
    let first = shared().bind("127.0.0.1:0")?;
    let address = first.local_addr()?;
    shared().bind(address)?;
    assert_eq!(kind(Tcp::options().bind(address)), Some(ErrorKind::AddrInUse));

    let first = Udp::options().allow_reuse_port(true).bind("127.0.0.1:0")?;
    let address = first.local_addr()?;
    Udp::options().allow_reuse_port(true).bind(address)?;
    assert_eq!(kind(Udp::options().bind(address)), Some(ErrorKind::AddrInUse));
    Ok(())
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// T4: Python shows IPv4 peers as `::ffff:127.0.0.1`.
#[test]
fn a_dual_socket_shows_each_peer_as_it_is() -> Result {
    let dual = Tcp::options().address_family(AddressFamily::Dual).bind("[::]:0")?;
    let mut server = Server::new_fn(dual, OneByOne, |conn| {
        let peer = conn.peer().ip().to_string();
        conn.write_all(peer.as_bytes())
    })?;
    let port = server.local_addr()?.port();
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let client = net::connect((ip, port).into())?;
        server.handle_request()?;
        assert_eq!(String::from_utf8(net::all(client)?)?, ip.to_string());
    }

    let dual = Udp::options().address_family(AddressFamily::Dual).bind("[::]:0")?;
    let mut server = Server::new_fn(dual, OneByOne, |packet| {
        packet.reply(packet.peer().ip().to_string().as_bytes())
    })?;
    let port = server.local_addr()?.port();
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let client = UdpSocket::bind((ip, 0))?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.send_to(b"who am I?", (ip, port))?;
        server.handle_request()?;
        assert_eq!(String::from_utf8(net::packet(&client)?)?, ip.to_string());
    }
    Ok(())
}

/// T4.
#[test]
fn an_ipv6_socket_is_not_dual_by_accident() -> Result {
    let server = TcpServer::bind("[::]:0", Echo)?;
    assert!(SockRef::from(&server).only_v6()?);
    let v4 = net::connect((Ipv4Addr::LOCALHOST, server.local_addr()?.port()).into());
    assert_eq!(kind(v4), Some(ErrorKind::ConnectionRefused));
    Ok(())
}

/// T5: a close alone answers unread input with a reset, which overtakes the reply.
#[test]
fn a_reply_survives_input_that_nobody_has_read() -> Result {
    // The client stays, so each drain is as long as it may be.
    let hangup = Hangup::Drain { bytes: 1 << 20, time: Duration::from_millis(10) };
    let tcp = Tcp::options().hangup(hangup).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(tcp, OneByOne, |conn| conn.write_all(b"enough\n"))?;
    for _ in 0..20 {
        let mut client = net::connect(server.local_addr()?)?;
        client.write_all(&[b'x'; 1000])?;
        server.handle_request()?;
        let mut line = [0; 7];
        client.read_exact(&mut line)?;
        assert_eq!(&line, b"enough\n");
        assert_eq!(client.read(&mut line)?, 0, "an end, no reset");
    }
    Ok(())
}

/// T6: Python gives a part of the packet, and says nothing.
#[test]
fn a_cut_packet_says_so() -> Result {
    let dir = tempfile::tempdir()?;
    let udp = Udp::options().max_packet_size(100).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(udp, OneByOne, |packet| {
        packet.reply(format!("{} {}", packet.data().len(), packet.is_truncated()).as_bytes())
    })?;
    for (size, answer) in [(100, "100 false"), (101, "100 true"), (9, "9 false")] {
        let client = Udp::send(&server.local_addr()?, dir.path(), &vec![b'x'; size])?;
        server.handle_request()?;
        assert_eq!(String::from_utf8(Udp::receive(client)?)?, answer);
    }
    assert_eq!(
        kind(Udp::options().max_packet_size(0).bind("127.0.0.1:0")),
        Some(ErrorKind::InvalidInput)
    );
    Ok(())
}

/// T6: Python's 8192 would cut it.
#[test]
fn the_longest_packet_is_taken_whole() -> Result {
    const LONGEST: usize = 65_507;
    let mut server = UdpServer::bind_fn("127.0.0.1:0", |packet| {
        assert!(!packet.is_truncated());
        packet.reply(packet.data().len().to_string().as_bytes())
    })?;
    let client = net::packets()?;
    client.send_to(&vec![b'x'; LONGEST], server.local_addr()?)?;
    server.handle_request()?;
    assert_eq!(net::packet(&client)?, LONGEST.to_string().as_bytes());
    Ok(())
}

/// T7.
#[test]
fn threads_reply_through_the_servers_own_socket() -> Result {
    let (send, sockets) = channel();
    let mut server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |packet| {
        let _ = send.send(packet.get_ref().as_raw_fd());
        packet.reply(packet.data())
    })?;
    let client = net::packets()?;
    client.connect(server.local_addr()?)?;
    for word in [b"one", b"two"] {
        client.send(word)?;
        server.handle_request()?;
        // Connected, the client takes no packet of any other socket.
        assert_eq!(net::packet(&client)?, word);
        assert_eq!(sockets.recv_timeout(PATIENCE)?, server.as_fd().as_raw_fd());
    }
    server.close()?;
    Ok(())
}

/// T8: Python leaves the file, and its next server can't be bound.
#[test]
fn a_socket_file_goes_with_its_server() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    for _ in 0..2 {
        UnixStreamServer::bind(&path, Echo)?.close()?;
        assert!(!path.exists());
        drop(UnixDatagramServer::bind(&path, Echo)?);
        assert!(!path.exists());
    }
    Ok(())
}

/// T8: not even at its close, where another server has the name by now.
#[test]
fn a_server_removes_no_file_but_its_own() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let first = UnixStreamServer::bind(&path, Echo)?;
    fs::rename(&path, dir.path().join("moved"))?;
    let second = UnixStreamServer::bind(&path, Echo)?;
    first.close()?;
    unix::UnixStream::connect(&path)?;
    second.close()?;

    let mine = unix::UnixListener::bind(&path)?;
    drop(UnixStream::from_socket(mine)?);
    assert!(path.exists(), "whoever made it answers for it");
    Ok(())
}

/// T8.
#[test]
fn a_path_in_use_is_left_alone() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let mut server = UnixStreamServer::bind(&path, Echo)?;
    let error = UnixStreamServer::bind(&path, Echo).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("socket"), "{error}");
    let client = UnixStream::send(&server.local_addr()?, dir.path(), b"still here\n")?;
    server.handle_request()?;
    assert_eq!(UnixStream::receive(client)?, b"still here\n");
    Ok(())
}

/// T8.
#[test]
fn a_bad_path_is_refused_with_words() {
    for (path, hint) in [("", "empty"), (&*format!("/tmp/{}", "x".repeat(103)), "107")] {
        let stream = UnixStreamServer::bind(path, Echo).expect_err("refused");
        let datagram = UnixDatagramServer::bind(path, Echo).expect_err("refused");
        for error in [stream, datagram] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}

/// T8.
#[test]
fn abstract_names_are_served() -> Result {
    let dir = tempfile::tempdir()?;
    let name = format!("socketserver-parity-{}", std::process::id());
    let address = unix::SocketAddr::from_abstract_name(&name)?;
    let mut server = UnixStreamServer::bind(address, Echo)?;
    assert_eq!(server.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
    let client = UnixStream::send(&server.local_addr()?, dir.path(), b"abstract\n")?;
    server.handle_request()?;
    assert_eq!(UnixStream::receive(client)?, b"abstract\n");

    let again = UnixStreamServer::bind(format!("\0{name}"), Echo);
    assert_eq!(kind(again), Some(ErrorKind::AddrInUse), "Python's spelling is the same name");
    Ok(())
}

/// T8: Python's is an empty string.
#[test]
fn a_unix_peer_has_a_typed_address() -> Result {
    let dir = tempfile::tempdir()?;
    let mut server = UnixStreamServer::bind_fn(dir.path().join("socket"), |conn| {
        assert!(conn.peer().is_unnamed());
        conn.write_all(b"unnamed")
    })?;
    let client = UnixStream::send(&server.local_addr()?, dir.path(), b"")?;
    server.handle_request()?;
    assert_eq!(UnixStream::receive(client)?, b"unnamed");
    Ok(())
}

/// T9: Python's handler fails with a `TypeError`.
#[test]
fn a_client_without_an_address_cannot_be_answered_and_that_is_told() -> Result {
    /// Whether the packet has no peer, and what failed.
    type Told = (bool, Option<(FailureKind, Stage, ErrorKind)>);
    struct Replies(Sender<Told>);
    impl Handler<UnixDatagramRequest> for Replies {
        fn handle(&self, packet: &mut UnixDatagramRequest) -> io::Result<Next> {
            let _ = self.0.send((packet.peer().is_none(), None));
            packet.write_all(b"an answer")?;
            Ok(Next::Done)
        }

        fn handle_error(&self, packet: &mut UnixDatagramRequest, failure: &Failure) {
            let kind = failure.as_error().map_or(ErrorKind::Other, io::Error::kind);
            // The kernel's own words would be "transport endpoint is not connected".
            let kind =
                if failure.to_string().contains("no address") { kind } else { ErrorKind::Other };
            let told = (failure.kind(), failure.stage(), kind);
            let _ = self.0.send((packet.peer().is_none(), Some(told)));
        }
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let (told, says) = channel();
    let mut server = UnixDatagramServer::bind(&path, Replies(told))?;
    unix::UnixDatagram::unbound()?.send_to(b"hello", &path)?;
    assert_eq!(server.handle_request()?, Outcome::Failed);
    assert_eq!(says.try_recv()?, (true, None));
    let (_, told) = says.try_recv()?;
    assert_eq!(told, Some((FailureKind::Error, Stage::Deliver, ErrorKind::NotConnected)));

    let client = UnixDatagram::send(&server.local_addr()?, dir.path(), b"hello")?;
    server.handle_request()?;
    assert_eq!(says.try_recv()?, (false, None));
    assert_eq!(UnixDatagram::receive(client)?, b"an answer");
    Ok(())
}

/// L2.
#[test]
fn a_listener_of_ones_own_keeps_its_options() -> Result {
    let mine = TcpListener::bind("127.0.0.1:0")?;
    SockRef::from(&mine).set_keepalive(true)?;
    let tcp = Tcp::from_socket(mine)?;
    assert!(SockRef::from(&tcp).keepalive()?);
    Ok(())
}
