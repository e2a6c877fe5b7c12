//! The kernel vouches for nobody at the other end of a connection over IP.
use std::io;

use socketserver::{Authenticated, Server, Sync, Tcp, Users};

fn main() -> io::Result<()> {
    let tcp = Authenticated::new(Tcp::options().bind("127.0.0.1:0")?, Users::new().uid(0));
    let mut server = Server::new_fn(tcp, Sync, |_conn| Ok(()))?;
    server.serve_forever()
}
