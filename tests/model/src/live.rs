//! What of the library's `live` whoever serves looks at, and whoever lists fills.

#[path = "../../../src/live/board.rs"]
mod board;
#[path = "../../../src/live/served.rs"]
mod served;

pub(crate) use board::Board;
pub use served::Served;
