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

/// Nobody's affair here: how many system calls it takes to start a thread is that of `std` and the
/// C library. Or not counted.
const ANY: f64 = f64::INFINITY;

/// Those of one server.
pub fn of(kind: Kind) -> Ceilings {
    let (calls, allocations, instructions) = match (kind.strategy, kind.transport) {
        (Strategy::Sync, Tcp | UnixStream) => (5.0, 0.0, 540.0),
        (Strategy::Sync, Udp) => (2.0, 0.0, 410.0),
        (Strategy::Sync, UnixDatagram) => (2.0, 0.0, 680.0),
        (Strategy::Threading | Strategy::ThreadPool, Tcp | UnixStream) => (5.6, 0.5, 2_000.0),
        (Strategy::Threading | Strategy::ThreadPool, Udp | UnixDatagram) => (2.2, 0.5, ANY),
        (Strategy::Fresh, Tcp | UnixStream) => (ANY, 4.0, 2_500.0),
        (Strategy::Fresh, Udp | UnixDatagram) => (ANY, 4.0, ANY),
        (Strategy::Forking, Tcp | UnixStream) => (12.0, 0.0, ANY),
        (Strategy::Forking, Udp | UnixDatagram) => (7.0, 0.0, ANY),
        (Strategy::PreForking, _) => (ANY, ANY, ANY),
        // The connection has to lie where its place in the table can point to.
        (Strategy::Selecting, _) => (5.0, 1.0, 3_000.0),
        (Strategy::SelectingPool, _) => (ANY, 1.5, ANY),
    };
    Ceilings { calls, allocations, instructions }
}
