//! The clients. They say all they have to say before the server serves, so that nothing depends
//! on who is faster.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::SockRef;

use crate::scenario::{Peer, Transport};

const LINES: [&[u8]; 2] = [b"first\n", b"second\n"];
/// What both servers say to the second request.
pub fn served(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => r#""you said second\n", then EOF"#,
        Transport::Udp => r#""you said second\n""#,
    }
}

/// One client.
pub enum Client {
    Connection(TcpStream),
    /// Its connection has been reset by itself.
    Gone,
    Socket(UdpSocket),
}

impl Client {
    /// Number `index`, done with talking.
    pub fn start(
        transport: Transport,
        server: SocketAddr,
        index: usize,
        peer: Peer,
        limit: Duration,
    ) -> io::Result<Self> {
        let line = LINES[index];
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                // Whoever else sends to this port is not heard.
                socket.connect(server)?;
                socket.send(line)?;
                Ok(Self::Socket(socket))
            }
            Transport::Tcp => {
                let mut socket = TcpStream::connect(server)?;
                socket.set_read_timeout(Some(limit))?;
                match peer {
                    Peer::Asks | Peer::AsksAndResets => socket.write_all(line)?,
                    Peer::HalfCloses => {
                        socket.write_all(&line[..line.len() / 2])?;
                        socket.shutdown(Shutdown::Write)?;
                    }
                    Peer::Resets => {}
                }
                if matches!(peer, Peer::Resets | Peer::AsksAndResets) {
                    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                    return Ok(Self::Gone);
                }
                Ok(Self::Connection(socket))
            }
        }
    }

    /// What came over the wire, and how it ended; called once the server's process has ended.
    pub fn end(self) -> Result<String, Box<dyn Error>> {
        match self {
            Self::Gone => Ok("not watched".into()),
            Self::Connection(socket) => read_to_end(socket),
            Self::Socket(socket) => drain(&socket),
        }
    }
}

fn read_to_end(mut socket: TcpStream) -> Result<String, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let end = match socket.read_to_end(&mut bytes) {
        Ok(_) => "EOF",
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "reset",
        Err(error) => return Err(format!("reading the answer: {error}").into()),
    };
    let text = String::from_utf8(bytes)?;
    Ok(format!("{text:?}, then {end}"))
}

/// All datagrams that have been sent to `socket`.
fn drain(socket: &UdpSocket) -> Result<String, Box<dyn Error>> {
    socket.set_nonblocking(true)?;
    let mut datagrams = Vec::new();
    loop {
        let mut bytes = [0; 64];
        match socket.recv(&mut bytes) {
            Ok(length) => {
                datagrams.push(format!("{:?}", String::from_utf8_lossy(&bytes[..length])));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(format!("receiving answers: {error}").into()),
        }
    }
    Ok(if datagrams.is_empty() { "no datagram".into() } else { datagrams.join(" ") })
}

/// Waits until all that has been sent over the loopback has arrived.
///
/// The system passes packets on when it comes to it: under load a packet of one processor may
/// overtake that of another. Each processor has one queue, so what it has sent has arrived when
/// a packet that follows it has.
#[cfg(target_os = "linux")]
pub fn settle(limit: Duration) -> Result<(), Box<dyn Error>> {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(limit))?;
    socket.connect(socket.local_addr()?)?;
    let this_thread = Pid::from_raw(0);
    let all = sched_getaffinity(this_thread)?;
    for processor in 0..CpuSet::count() {
        if all.is_set(processor)? {
            let mut one = CpuSet::new();
            one.set(processor)?;
            sched_setaffinity(this_thread, &one)?;
            socket.send(b"the last")?;
            socket.recv(&mut [0; 8])?;
        }
    }
    Ok(sched_setaffinity(this_thread, &all)?)
}

/// Elsewhere nothing is known of such queues.
#[cfg(not(target_os = "linux"))]
pub fn settle(_limit: Duration) -> Result<(), Box<dyn Error>> {
    Ok(())
}
