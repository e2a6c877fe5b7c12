//! Requests of a `ForkServer`: in the child, which makes them anew, they are what they were. Each case
//! runs in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::os::unix::net as unix;
use std::process::{self, ExitCode};

use socketserver::{
    ForkServer, Handler, Next, Outcome, Server, Tcp, TcpRequest, Udp, UdpRequest, UnixDatagram,
    UnixDatagramRequest, UnixStream, UnixStreamRequest,
};
use support::alone;
use support::net::{self, Echo, Reach};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("all_four_transports_are_served", four_transports),
        ("peers_are_the_same_in_the_child", peers),
        ("packets_are_the_same_in_the_child", packets),
        ("what_the_kernel_says_of_packets_is_told_in_the_child", packets_with_more),
        ("settings_of_the_transport_hold_in_the_child", settings),
        ("a_request_that_is_too_long_is_refused_alone", too_long),
    ])
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

/// Says that its sources are who they claim to be, where they ask for it.
struct Verifies;

impl Handler<UdpRequest> for Verifies {
    fn verify_request(&self, packet: &UdpRequest) -> io::Result<bool> {
        if packet.data() == b"verified" {
            packet.set_verified();
        }
        Ok(true)
    }

    fn handle(&self, packet: &mut UdpRequest) -> io::Result<Next> {
        let told = format!("{:?}", packet.local_ip());
        let long = packet.reply(&[b'.'; 1000]).is_ok();
        packet.reply(format!("{long} {told}").as_bytes()).map(Next::from)
    }
}

fn packets_with_more() -> Result {
    let udp = Udp::options().max_amplification(3).bind("0.0.0.0:0")?;
    let mut server = Server::new(udp, ForkServer::new(), Verifies)?;
    let port = server.local_addr()?.port();
    let client = net::packets()?;
    for (says, answers) in [(&b"nobody"[..], "false"), (b"verified", "true")] {
        client.send_to(says, ("127.0.0.1", port))?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        if answers == "true" {
            assert_eq!(net::packet(&client)?.len(), 1000);
        }
        let wanted = format!("{answers} Some(127.0.0.1)");
        assert_eq!(String::from_utf8(net::packet(&client)?)?, wanted);
    }
    server.close()?;

    let dir = tempfile::tempdir()?;
    let path = dir.path().join("server");
    let unixgram = UnixDatagram::options().credentials(true).bind(&path)?;
    let mut server =
        Server::new_fn(unixgram, ForkServer::new(), |packet: &mut UnixDatagramRequest| {
            let pid = packet.credentials().and_then(|credentials| credentials.pid);
            packet.reply(format!("{pid:?}").as_bytes())
        })?;
    let client = unix::UnixDatagram::bind(dir.path().join("client"))?;
    client.set_read_timeout(Some(net::PATIENCE))?;
    client.send_to(b"?", &path)?;
    server.handle_request()?;
    let mut bytes = [0; 64];
    let length = client.recv(&mut bytes)?;
    assert_eq!(std::str::from_utf8(&bytes[..length])?, format!("{:?}", Some(process::id())));
    server.close()?;
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
