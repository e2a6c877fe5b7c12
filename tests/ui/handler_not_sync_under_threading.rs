//! Law 7: a handler that threads can't share.

use std::cell::Cell;
use std::io;

use socketserver::{Handler, Next, TcpRequest, ThreadingTcpServer};

struct Counter {
    served: Cell<u64>,
}

impl Handler<TcpRequest> for Counter {
    fn handle(&self, _conn: &mut TcpRequest) -> io::Result<Next> {
        self.served.set(self.served.get() + 1);
        Ok(Next::Done)
    }
}

fn main() -> io::Result<()> {
    let counter = Counter { served: Cell::new(0) };
    let _server = ThreadingTcpServer::bind("127.0.0.1:0", counter)?;
    Ok(())
}
