//! An option that comes too late.

use std::io;

use socketserver::{Tcp, TcpServer};

fn main() -> io::Result<()> {
    let _ = Tcp::options().bind("127.0.0.1:0")?.request_queue_size(128);
    let server = TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?;
    let _ = server.allow_reuse_port(true);
    Ok(())
}
