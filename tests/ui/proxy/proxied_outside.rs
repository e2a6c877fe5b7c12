//! A header does not come behind what follows it.
use std::io;

use socketserver::{Authenticated, Proxied, UnixStream, Users};

fn main() -> io::Result<()> {
    let socket = UnixStream::options().bind("proxied.sock")?;
    let _ = Proxied::new(Authenticated::new(socket, Users::new().uid(0)), |_| true);
    Ok(())
}
