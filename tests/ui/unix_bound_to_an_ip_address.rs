//! A Unix socket bound to an IP address.

use std::io;
use std::net::SocketAddr;

use socketserver::{UnixStream, UnixStreamServer};

fn main() -> io::Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], 8000));
    let _ = UnixStream::options().bind(address)?;
    let _ = UnixStreamServer::bind_fn(("127.0.0.1", 8000), |_conn| Ok(()))?;
    Ok(())
}
