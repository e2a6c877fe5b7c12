//! A type that no requests come from.

use std::io;
use std::net::TcpListener;

use socketserver::{Server, Sync};

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _server = Server::new_fn(listener, Sync, |_conn| Ok(()))?;
    Ok(())
}
