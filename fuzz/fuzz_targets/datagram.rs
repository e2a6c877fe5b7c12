//! Datagrams through real sockets: what was sent is what the handler reads, cut where it has to be,
//! and what it answers is what comes back.
#![no_main]

use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net as unix;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use socketserver::{Datagram, DatagramSocket, LocalAddr, Request, Transport, Udp, UnixDatagram};

/// The longest packets that are taken whole, by the servers there are.
const SIZES: [usize; 3] = [1, 64, 4096];
/// So many packets wait at a time: fewer than a Unix queue holds.
const MOST: usize = 4;
/// Far beyond what an answer takes.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static SERVERS: Vec<Servers> =
        SIZES.iter().map(|size| Servers::new(*size).expect("sockets")).collect();
}

/// Servers with the same longest packet, and a client of each. Those at the wildcard are told where
/// each packet came to, and answer from there: a connected client hears no other.
struct Servers {
    v4: (Udp, UdpSocket),
    v6: (Udp, UdpSocket),
    unix: (UnixDatagram, unix::UnixDatagram),
}

impl Servers {
    fn new(size: usize) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("server");
        let unix = UnixDatagram::options().max_packet_size(size).credentials(true).bind(&path)?;
        let client = unix::UnixDatagram::bind(folder.path().join("client"))?;
        client.connect(&path)?;
        client.set_read_timeout(Some(PATIENCE))?;
        // A socket whose name is gone can be sent to by nobody: the names stay.
        let _ = folder.keep();
        Ok(Self {
            v4: udp(size, "0.0.0.0:0", "127.0.0.2")?,
            v6: udp(size, "[::]:0", "::1")?,
            unix: (unix, client),
        })
    }
}

fn udp(size: usize, at: &str, asked: &str) -> io::Result<(Udp, UdpSocket)> {
    let server = Udp::options().max_packet_size(size).bind(at)?;
    let client = UdpSocket::bind(at)?;
    client.connect((asked, server.local_addr()?.port()))?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok((server, client))
}

fuzz_target!(|input: (u8, u8, u8, Vec<&[u8]>)| {
    let (kind, which, step, packets) = input;
    let (which, step) = (usize::from(which) % SIZES.len(), usize::from(step) + 1);
    let packets = &packets[..packets.len().min(MOST)];
    SERVERS.with(|servers| {
        let (servers, size) = (&servers[which], SIZES[which]);
        if kind % 3 == 2 {
            let (server, client) = &servers.unix;
            let sent = packets.iter().try_for_each(|packet| client.send(packet).map(drop));
            sent.expect("they are sent");
            served(packets, size, step, || server.get_request(), |bytes| client.recv(bytes));
        } else {
            let (server, client) = if kind % 3 == 0 { &servers.v4 } else { &servers.v6 };
            let sent = packets.iter().try_for_each(|packet| client.send(packet).map(drop));
            sent.expect("they are sent");
            served(packets, size, step, || server.get_request(), |bytes| client.recv(bytes));
        }
    });
});

fn served<S: DatagramSocket, A>(
    packets: &[&[u8]],
    size: usize,
    step: usize,
    get: impl Fn() -> io::Result<Option<Datagram<S, A>>>,
    receive: impl Fn(&mut [u8]) -> io::Result<usize>,
) {
    for packet in packets {
        let mut request = get().expect("it has come").expect("there are more");
        let wanted = &packet[..packet.len().min(size)];
        assert_eq!(request.data(), wanted);
        assert_eq!(request.is_truncated(), packet.len() > size);
        let (mut read, mut piece) = (Vec::new(), vec![0; step]);
        loop {
            match request.read(&mut piece).expect("a packet is read without fail") {
                0 => break,
                count => read.extend_from_slice(&piece[..count]),
            }
        }
        assert_eq!(read, wanted);

        for part in wanted.chunks(step) {
            request.write_all(part).expect("a reply takes all");
        }
        request.deliver().expect("it is delivered");
        if wanted.is_empty() {
            // Nothing written, nothing sent; an empty reply has to be asked for.
            request.reply(&[]).expect("it is sent");
        }
        let mut answer = vec![0; size + 1];
        let length = receive(&mut answer).expect("it comes back");
        assert_eq!(&answer[..length], wanted);
        request.shutdown_request();
    }
    let nothing = get().map(drop).expect_err("there is no more");
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
}
