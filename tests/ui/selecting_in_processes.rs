//! A table is in one process, and its exchanges are too.

use socketserver::{Forking, Selecting};

fn main() {
    let _ = Selecting::new(Forking::new());
}
