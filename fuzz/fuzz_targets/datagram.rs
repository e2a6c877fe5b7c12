//! Datagrams through real sockets: what was sent is what the handler reads, cut where it has to be,
//! and what it answers is what comes back.
#![no_main]

use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net as unix;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use socketserver::{
    Datagram, DatagramSocket, LocalAddr, Request, Transport, Udp, UnixDatagram,
};

/// The longest packets that are taken whole, by the servers there are.
const SIZES: [usize; 3] = [1, 64, 4096];
/// So many packets wait at a time: fewer than a Unix queue holds.
const MOST: usize = 4;

thread_local! {
    static PAIRS: Vec<Pair> = SIZES.iter().map(|size| Pair::new(*size).expect("sockets")).collect();
}

/// Two servers, and a client of each.
struct Pair {
    udp: Udp,
    udp_client: UdpSocket,
    unix: UnixDatagram,
    unix_client: unix::UnixDatagram,
}

impl Pair {
    fn new(size: usize) -> io::Result<Self> {
        let (folder, patience) = (tempfile::tempdir()?, Some(Duration::from_secs(5)));
        let udp = Udp::options().max_packet_size(size).bind("127.0.0.1:0")?;
        let udp_client = UdpSocket::bind("127.0.0.1:0")?;
        udp_client.connect(udp.local_addr()?)?;
        udp_client.set_read_timeout(patience)?;
        let path = folder.path().join("server");
        let unix = UnixDatagram::options().max_packet_size(size).bind(&path)?;
        let unix_client = unix::UnixDatagram::bind(folder.path().join("client"))?;
        unix_client.connect(&path)?;
        unix_client.set_read_timeout(patience)?;
        // A socket with no name left can be sent to by nobody: the names stay.
        let _ = folder.keep();
        Ok(Self { udp, udp_client, unix, unix_client })
    }
}

fuzz_target!(|input: (u8, u8, Vec<&[u8]>)| {
    let (which, step, packets) = input;
    let (which, step) = (usize::from(which), usize::from(step) + 1);
    let packets = &packets[..packets.len().min(MOST)];
    let size = SIZES[which % SIZES.len()];
    PAIRS.with(|pairs| {
        let pair = &pairs[which % SIZES.len()];
        if which < 128 {
            for packet in packets {
                pair.udp_client.send(packet).expect("it is sent");
            }
            let receive = |bytes: &mut [u8]| pair.udp_client.recv(bytes);
            served(packets, size, step, || pair.udp.get_request(), receive);
        } else {
            for packet in packets {
                pair.unix_client.send(packet).expect("it is sent");
            }
            let receive = |bytes: &mut [u8]| pair.unix_client.recv(bytes);
            served(packets, size, step, || pair.unix.get_request(), receive);
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
