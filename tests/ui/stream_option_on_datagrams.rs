//! Law 7: options of connections on packets, and the reverse.

use std::time::Duration;

use socketserver::{Hangup, Tcp, Udp, UnixDatagram};

fn main() {
    let _ = Udp::options().request_queue_size(128);
    let _ = Udp::options().disable_nagle_algorithm(true);
    let _ = UnixDatagram::options().timeout(Duration::from_secs(1));
    let _ = Udp::options().hangup(Hangup::Reset);
    let _ = Tcp::options().max_packet_size(512);
}
