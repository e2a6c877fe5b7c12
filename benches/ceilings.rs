//! The most that a request may cost, where it can be counted: `cargo bench -- counts instructions`
//! fails above it. Whoever makes something cheaper lowers its number here.

use crate::measure::Kind;
use crate::support::role::Strategy;

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

/// How many it takes to start a thread is the affair of `std` and the C library.
const AS_BY_HAND: f64 = f64::INFINITY;

/// Those of one server.
pub fn of(kind: Kind) -> Ceilings {
    let (calls, allocations, instructions) = match (kind.strategy, kind.transport.is_stream()) {
        (Strategy::Sync, true) => (5.0, 0.0, 60.0),
        (Strategy::Sync, false) => (2.0, 0.0, 60.0),
        (Strategy::Threading, true) => (AS_BY_HAND, 9.0, 600.0),
        (Strategy::Threading, false) => (AS_BY_HAND, 9.0, 600.0),
        (Strategy::Forking, true) => (12.0, 0.0, 0.0),
        (Strategy::Forking, false) => (7.0, 0.0, 0.0),
    };
    Ceilings { calls, allocations, instructions }
}
