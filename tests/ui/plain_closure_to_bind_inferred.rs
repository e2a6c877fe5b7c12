//! A closure passed where a handler is wanted, its argument's type left out.

use std::io;

use socketserver::TcpServer;

fn main() -> io::Result<()> {
    let _server = TcpServer::bind("127.0.0.1:0", |_conn| Ok(()))?;
    Ok(())
}
