//! Packets begin with no PROXY header.
use std::io;

use socketserver::{Proxied, Udp, from_networks};

fn main() -> io::Result<()> {
    let udp = Udp::options().bind("127.0.0.1:0")?;
    let _ = Proxied::new(udp, from_networks([]));
    Ok(())
}
