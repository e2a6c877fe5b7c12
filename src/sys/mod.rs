//! What the operating system is asked for beyond what `std`, `socket2` and `nix` offer safely.
//!
//! This is the only module with `unsafe` code. A platform has to provide:
//!
//! * `Bell`: a descriptor that `ring` makes readable and `drain` makes quiet again; `ring` may be
//!   called in a signal handler.
//! * `SharedWords`: atomic words that forked children share with their parent.
//! * `cut_off`: the end of a connection that another thread reads from.
//! * `peer_name`: who is at the other end of such a connection.
//! * `Packet`: one datagram, received without waiting, with its sender, whether it was cut, and what
//!   the kernel has been `ask`ed to say of it; `send`: the reply.
//! * `receive_more`: what has come over a connection, into memory that need not be zeroed.
//! * `fork`: a child that runs one closure and never returns into its caller; `Threads`, how many
//!   there are before; `Caught`, the signals that are reset in it.
//! * `forks`: whether the application has forked by itself, and this is the child.
//! * `Listener`: a listening socket that forked children let go of.
//! * `reap`: how a child ended; `watch_process`: a descriptor that becomes readable when one does,
//!   where there is one.
//! * `hear_terminations`: SIGTERM as a message to a process of ours, and the end of its parent as a
//!   SIGTERM.
//! * `Quiet`: no signals, and a descriptor that tells of the ends of children, where there is one.
//! * `parcel_pair`, `send_parcel`, `receive_parcel`: messages with descriptors between processes.
//! * `take_passed`: descriptors that the process was started with.
//! * `address_bytes`, `address_of`: an address on its way to another process.
//! * `Turns`: a descriptor that many threads wait for, of whom one is woken at a time, where there
//!   can be one.
//! * `Queue`: the same among processes.
//! * `Selector`: many descriptors waited for at once; `Selecting` is not there where it is not.
//! * `is_at_mark`: where the urgent data of a connection stands.
//! * `at_exit`: a function that runs when the process exits normally.
#![expect(unsafe_code, reason = "the one audited module; every block states what it relies on")]

mod address;
mod bell;
mod child;
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "control_elsewhere.rs")]
mod control;
mod cut;
mod exit;
mod fork;
mod forks;
mod listener;
mod parcel;
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
mod passed;
mod peer;
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "queue_elsewhere.rs")]
mod queue;
mod receive;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod selector;
mod send;
mod shared;
mod signals;
mod termination;
mod threads;
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "turns_elsewhere.rs")]
mod turns;
mod urgent;

pub(crate) use address::{address_bytes, address_of};
pub(crate) use bell::{Bell, poll};
pub(crate) use child::{Exit, reap, watch_process};
pub(crate) use control::{Local, Told, Wanted, ask};
pub(crate) use cut::cut_off;
pub(crate) use exit::at_exit;
pub use fork::ForkedChild;
pub(crate) use fork::fork;
pub(crate) use forks::{count_forks, forks};
pub(crate) use listener::{Listener, is_listener};
pub(crate) use parcel::{Parcel, parcel_pair, receive_parcel, send_parcel};
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub(crate) use passed::take_passed;
pub(crate) use peer::peer_name;
pub(crate) use queue::Queue;
pub(crate) use receive::{Packet, receive_more};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use selector::{Happening, Happenings, Interest, Selector};
pub(crate) use send::send;
pub(crate) use shared::SharedWords;
pub(crate) use signals::{Caught, Quiet};
pub(crate) use termination::{hear_terminations, is_child_of};
pub(crate) use threads::Threads;
pub use threads::{AssumeForkSafe, ForkRefused};
pub(crate) use turns::{Turn, Turns, Woken};
pub(crate) use urgent::is_at_mark;
