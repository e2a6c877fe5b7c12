//! A program of ONC RPC at one port, over TCP and UDP: what its examples have in common.

#[path = "../serve/signals.rs"]
#[allow(dead_code, reason = "the example it is of needs more of it")]
mod signals;

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use socketserver::{Beside, Drain, LocalAddr, Tcp, Udp};

pub(crate) use signals::Signals;

/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(300);
/// So often the system may give out a port for TCP that is another's for UDP.
const TRIES: u32 = 100;

/// TCP, and UDP at the same port.
pub(crate) fn bind(at: SocketAddr) -> io::Result<(Tcp, Udp)> {
    for _ in 0..TRIES {
        // Answers to calls that came at once are sends of their own, which Nagle would hold back.
        let tcp = Tcp::options().disable_nagle_algorithm(true).timeout(PATIENCE).bind(at)?;
        match Udp::options().bind(tcp.local_addr()?) {
            Err(error) if at.port() == 0 && error.kind() == ErrorKind::AddrInUse => {}
            udp => return Ok((tcp, udp?)),
        }
    }
    Err(io::Error::new(ErrorKind::AddrInUse, "no port is free for TCP and UDP alike"))
}

/// How they end: whoever is idle is cut off at once, and what is under way has a moment.
pub(crate) fn drain() -> Drain {
    Drain::new().finish_within(Duration::from_secs(5))
}

/// Tells whoever started this that clients may come, and where to.
pub(crate) fn announce(at: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "LISTENING {at}")?;
    stdout.flush()
}

/// One server for both.
pub(crate) type Both = Beside<Tcp, Udp>;
