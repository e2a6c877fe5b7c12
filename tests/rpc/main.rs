//! Remote procedure calls: bytes made by hand from RFC 5531, and what is answered to them, over
//! connections and in packets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "../support/mod.rs"]
mod support;

mod caller;
mod credentials;
mod program;
mod records;
mod registered;
mod statuses;
mod strategies;
mod values;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
