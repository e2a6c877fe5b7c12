//! A closure that changes what it has captured: requests share it.

use std::io;

use socketserver::TcpServer;

fn main() -> io::Result<()> {
    let mut served = 0;
    let _server = TcpServer::bind_fn("127.0.0.1:0", |_conn| {
        served += 1;
        Ok(())
    });
    Ok(())
}
