//! Law 7: TLS over packets.

use std::io;

use socketserver::rustls::ServerConfig;
use socketserver::{Tls, Udp};

fn wrap(config: ServerConfig) -> io::Result<()> {
    let _ = Tls::new(Udp::options().bind("127.0.0.1:0")?, config);
    Ok(())
}

fn main() {
    let _ = wrap;
}
