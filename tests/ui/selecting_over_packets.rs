//! Packets come whole: there is nothing of them to wait for in a table.

use socketserver::{Selecting, Server, Sync, Udp};

fn main() {
    let udp = Udp::options().bind("127.0.0.1:0").unwrap();
    let _ = Server::new_fn(udp, Selecting::new(Sync), |_packet| Ok(()));
}
