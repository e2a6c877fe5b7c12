//! A request that may be a packet can't wait in a table, whatever stands beside it.

use socketserver::{Beside, Selecting, Server, Sync, Tcp, Udp};

fn main() {
    let tcp = Tcp::options().bind("127.0.0.1:0").unwrap();
    let udp = Udp::options().bind("127.0.0.1:0").unwrap();
    let _ = Server::new_fn(Beside::new(tcp, udp).unwrap(), Selecting::new(Sync), |_either| Ok(()));
}
