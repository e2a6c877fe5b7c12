//! A handler with one half, of which nothing is left for a child.

use socketserver::{FinishInChild, Forking, Server, Tcp};

fn main() {
    let tcp = Tcp::options().bind("127.0.0.1:0").unwrap();
    let _ = Server::new_fn(tcp, FinishInChild::new(Forking::new()), |_conn| Ok(()));
}
