//! `Selecting`: connections in a table, over both stream transports, their exchanges on one thread
//! and on many.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "../support/mod.rs"]
mod support;

mod ending;
mod failing;
mod late;
mod odd;
mod random;
mod rig;
mod waiting;
