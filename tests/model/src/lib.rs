//! Model checking of what the library's threads tell each other: the stop, the permits, the places
//! of connections, the wake-up of a channel, and the end.
//!
//! The files of the library stand here as they are (`#[path]`), on a [`platform`] whose threads,
//! atomics, locks, descriptors and time are a model's. Loom runs each test once for every order in
//! which its threads can take their steps, leaving out only orders that differ in nothing that
//! matters (partial order reduction); a step is one access to an atomic, a lock or the kernel. A
//! thread that waits for ever is found as a deadlock.
//!
//! What is not in the model: weak memory (the library uses `SeqCst` alone, see
//! [`platform::atomic`]), forks and signals, and the code of the session and of strategies, whose
//! part each test plays.

#![cfg(test)]
#![allow(dead_code, unused_imports, reason = "of the library's files, some is for others alone")]

extern crate platform as nix;
extern crate platform as parking_lot;
extern crate platform as std;

mod admission;
mod authentication;
#[path = "../../../src/control/mod.rs"]
mod control;
#[path = "../../../src/counters/mod.rs"]
mod counters;
#[path = "../../../src/drain/mod.rs"]
mod drain;
#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/failure.rs"]
mod failure;
mod handler;
#[path = "../../../src/in_flight/mod.rs"]
mod in_flight;
mod live;
mod sys;
mod tests;
#[path = "../../../src/transport/wakeup.rs"]
mod wakeup;
mod worker;
