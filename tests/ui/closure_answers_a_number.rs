//! A closure whose last expression is not what a handler answers.

use std::io::{self, Write};

use socketserver::TcpServer;

fn main() -> io::Result<()> {
    let _server = TcpServer::bind_fn("127.0.0.1:0", |conn| conn.write(b"hello\n"))?;
    Ok(())
}
