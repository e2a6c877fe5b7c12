//! A path is one socket's.

use socketserver::{PreForking, Sync, UnixStream};

fn main() -> std::io::Result<()> {
    let unix = UnixStream::options().bind("socket")?;
    let _ = PreForking::new(2, Sync)?.shards(&unix)?;
    Ok(())
}
