//! Several processes have a table each, and not one table several processes.

use socketserver::{PreForking, Selecting, Sync};

fn main() -> std::io::Result<()> {
    let _ = Selecting::new(PreForking::new(2, Sync)?);
    Ok(())
}
