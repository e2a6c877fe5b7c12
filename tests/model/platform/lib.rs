//! A platform for the model: what the library's files call `std`, `nix` and `parking_lot`, as far as
//! they use them, on loom's threads and with a kernel of its own.

pub mod atomic;
pub mod kernel;
mod mutex;

pub use loom::{model::Builder, thread};
pub use mutex::{Mutex, MutexGuard};
pub use std::{any, borrow, cell, error, fmt, io, mem, ops, process, ptr};

/// As `std::sync`.
pub mod sync {
    pub use crate::atomic;
    pub use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
}

/// As `std::time`.
pub mod time {
    pub use crate::kernel::Instant;
    pub use std::time::Duration;
}

/// As `std::os`.
pub mod os {
    /// As `std::os::fd`.
    pub mod fd {
        pub use crate::kernel::{AsFd, AsRawFd, BorrowedFd, RawFd};
    }
}

/// As `nix::poll`.
pub mod poll {
    pub use crate::kernel::{PollFd, PollFlags};
}
