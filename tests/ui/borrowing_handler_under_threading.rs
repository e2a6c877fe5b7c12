//! Law 7: a handler that borrows from a function that may return before the threads do.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use socketserver::ThreadingTcpServer;

fn main() -> io::Result<()> {
    let served = AtomicU64::new(0);
    let server = ThreadingTcpServer::bind_fn("127.0.0.1:0", |conn| {
        writeln!(conn, "{}", served.fetch_add(1, Ordering::Relaxed))
    });
    server?.serve_forever()
}
