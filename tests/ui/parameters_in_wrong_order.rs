//! The strategy where the transport belongs.

use std::io;

use socketserver::{Server, Tcp, Threading, handler_fn};

fn main() -> io::Result<()> {
    let handler = handler_fn(|_conn: &mut socketserver::TcpRequest| Ok(()));
    let _server: Server<Threading, Tcp, _> = Server::bind("127.0.0.1:0", handler)?;
    Ok(())
}
