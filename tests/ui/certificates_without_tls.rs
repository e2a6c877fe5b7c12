//! Nobody shows a certificate over a plain connection.
use std::io;

use socketserver::{Authenticated, Certificates, Server, Sync, Tcp};

fn main() -> io::Result<()> {
    let known = Certificates::new(|der| (der.len() > 9).then_some("Ada"));
    let tcp = Authenticated::new(Tcp::options().bind("127.0.0.1:0")?, known);
    let mut server = Server::new_fn(tcp, Sync, |_conn| Ok(()))?;
    server.serve_forever()
}
