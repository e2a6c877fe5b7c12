//! What is in memory can't be sent to another process.

use socketserver::testing::Memory;
use socketserver::{ForkServer, Server};

fn main() {
    let memory = Memory::options().bind("10.0.0.1:0").unwrap();
    let _ = Server::new_fn(memory, ForkServer::new(), |_conn| Ok(()));
}
