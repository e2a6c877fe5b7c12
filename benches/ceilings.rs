//! The most that a request may cost, where it can be counted: `cargo bench -- counts instructions`
//! fails above it. Whoever makes something cheaper lowers its number here.

use crate::measure::Kind;
use crate::support::role::Strategy;
use crate::support::role::Transport::{Tcp, Udp, UnixDatagram, UnixStream};

/// The most of a request.
#[derive(Debug, Clone, Copy)]
pub struct Ceilings {
    /// System calls; nor more than by hand.
    pub calls: f64,
    /// Allocations of heap memory.
    pub allocations: f64,
    /// Instructions in addition to those by hand, outside the kernel.
    pub instructions: f64,
}

/// Nobody's affair here. How many system calls it takes to start a thread is that of `std` and the
/// C library, and how many buffers there are for packets depends on which thread comes when.
const ANY: f64 = f64::INFINITY;

/// Those of one server.
pub fn of(kind: Kind) -> Ceilings {
    let (calls, allocations, instructions) = match (kind.strategy, kind.transport) {
        (Strategy::Sync, Tcp) => (5.0, 0.0, 500.0),
        (Strategy::Sync, UnixStream) => (5.0, 0.0, 560.0),
        (Strategy::Sync, Udp) => (2.0, 0.0, 840.0),
        (Strategy::Sync, UnixDatagram) => (2.0, 0.0, 1_030.0),
        (Strategy::Threading, Tcp | UnixStream) => (ANY, 4.0, 2_500.0),
        (Strategy::Threading, Udp | UnixDatagram) => (ANY, 4.0, ANY),
        (Strategy::Forking, Tcp | UnixStream) => (12.0, 0.0, ANY),
        (Strategy::Forking, Udp | UnixDatagram) => (7.0, 0.0, ANY),
    };
    Ceilings { calls, allocations, instructions }
}
