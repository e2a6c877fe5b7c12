//! Law 7: options of Unix sockets on IP, and of each kind of packets on the other.

use socketserver::{Tcp, Udp, UnixDatagram, UnixStream};

fn main() {
    let _ = Tcp::options().mode(0o600);
    let _ = Udp::options().claim_stale(true);
    let _ = UnixDatagram::options().max_amplification(None);
    let _ = Udp::options().credentials(true);
    let _ = UnixStream::options().credentials(true);
}
