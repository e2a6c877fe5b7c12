//! Law 7: a closure whose captures threads can't share.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use socketserver::ThreadingTcpServer;

fn main() -> io::Result<()> {
    let names = Rc::new(RefCell::new(Vec::new()));
    let _server = ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
        names.borrow_mut().push(*conn.peer());
        Ok(())
    });
    Ok(())
}
