//! The vocabulary of the tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod alone;
pub mod apart;
#[path = "tls/authority.rs"]
pub mod authority;
pub mod edge;
pub mod footprint;
#[cfg(feature = "testing")]
pub mod forked;
pub mod gate;
pub mod lines;
pub mod net;
pub mod no_threads;
pub mod one_byte;
pub mod pieces;
pub mod processes;
pub mod proxy;
#[cfg(feature = "testing")]
pub mod reaches;
pub mod relay;
pub mod role;
pub mod signals;
pub mod slow;
pub mod story;
pub mod time;
pub mod tokens;
pub mod trace;
pub mod watchdog;
pub mod workers;
#[cfg(feature = "testing")]
pub mod wrapped;
