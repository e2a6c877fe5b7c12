//! A process supervises, or serves.

use socketserver::{PreForking, Sync};

fn main() -> std::io::Result<()> {
    let two = PreForking::new(2, Sync)?;
    let _ = PreForking::new(2, two)?;
    Ok(())
}
