//! One table is enough.

use socketserver::{Selecting, Sync};

fn main() {
    let _ = Selecting::new(Selecting::new(Sync));
}
