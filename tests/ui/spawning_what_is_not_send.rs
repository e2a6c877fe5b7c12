//! A server on a thread of its own, with a handler that belongs to one thread.

use std::cell::Cell;
use std::io;

use socketserver::TcpServer;

fn main() -> io::Result<()> {
    let served = Cell::new(0);
    let server = TcpServer::bind_fn("127.0.0.1:0", move |_conn| {
        served.set(served.get() + 1);
        Ok(())
    })?;
    let _running = server.spawn()?;
    Ok(())
}
