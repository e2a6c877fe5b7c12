//! TCP bound to a path.

use std::io;
use std::path::PathBuf;

use socketserver::{Tcp, TcpServer};

fn main() -> io::Result<()> {
    let path = PathBuf::from("/run/app.sock");
    let _ = Tcp::options().bind(&path)?;
    let _ = TcpServer::bind_fn(path, |_conn| Ok(()))?;
    Ok(())
}
