//! What the operating system is asked for beyond what `std`, `socket2` and `nix` offer safely.
//!
//! This is the only module with `unsafe` code. A platform has to provide:
//!
//! * `Bell`: a descriptor that `ring` makes readable and `drain` makes quiet again; `ring` may be
//!   called in a signal handler.
//! * `SharedWords`: atomic words that forked children share with their parent.
//! * `cut_off`: the end of a connection that another thread reads from.
//! * `receive`: one datagram into a slice, without waiting, with its sender, whether it was cut, and
//!   what the kernel has been `ask`ed to say of it; `send`: the reply.
//! * `fork`: a child that runs one closure and never returns into its caller.
//! * `watch_child`: a descriptor that becomes readable when a child ends, where there is one.
//! * `at_exit`: a function that runs when the process exits normally.
#![expect(unsafe_code, reason = "the one audited module; every block states what it relies on")]

mod bell;
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "control_elsewhere.rs")]
mod control;
mod cut;
mod exit;
mod fork;
mod receive;
mod send;
mod shared;

pub(crate) use bell::{Bell, poll};
pub(crate) use control::{Told, Wanted, ask};
pub(crate) use cut::cut_off;
pub(crate) use exit::at_exit;
pub use fork::{ForkRefused, ForkedChild};
pub(crate) use fork::{fork, watch_child};
pub(crate) use receive::receive;
pub(crate) use send::send;
pub(crate) use shared::SharedWords;
