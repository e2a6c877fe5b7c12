//! A connection in memory has no descriptor that a selector could watch.

use socketserver::testing::Memory;
use socketserver::{Selecting, Server, Sync};

fn main() {
    let memory = Memory::options().bind("10.0.0.1:0").unwrap();
    let _ = Server::new_fn(memory, Selecting::new(Sync), |_conn| Ok(()));
}
