//! For tests of your own pieces.

mod conformance;

pub use conformance::*;
