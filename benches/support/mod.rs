//! What the measurements share: a *role* is one server in a process of its own, which is this
//! program run again; the rest drives it and counts.

pub mod allocations;
pub mod bound;
pub mod callgrind;
pub mod client;
pub mod load;
pub mod pace;
pub mod role;
pub mod serve;
pub mod signal;
pub mod strace;

use std::process::ExitCode;

/// What a measurement can fail with.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The end of a process, and what it has to say.
pub fn exit_code(result: Fallible<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
