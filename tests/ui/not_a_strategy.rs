//! A type that runs nothing.

use std::io;

use socketserver::{Server, Tcp};

struct Pooled;

fn main() -> io::Result<()> {
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let _server = Server::new_fn(tcp, Pooled, |_conn| Ok(()))?;
    Ok(())
}
