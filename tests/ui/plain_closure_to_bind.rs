//! A closure passed where a handler is wanted.

use std::io::{self, Write};

use socketserver::{TcpRequest, TcpServer};

fn main() -> io::Result<()> {
    let greet = |conn: &mut TcpRequest| conn.write_all(b"hello\n");
    let _server = TcpServer::bind("127.0.0.1:0", greet)?;
    Ok(())
}
