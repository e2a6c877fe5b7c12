//! What tests of TLS have in common: authorities made on the spot, and clients that wait for nothing
//! for ever.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::missing_errors_doc, reason = "this is for tests")]

pub mod client;
pub mod teller;

pub use crate::support::authority;
