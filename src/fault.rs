//! Calls into the user's code, and what comes of them.

use std::any::Any;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::failure::{Cause, Stage};

/// A failure before it is classified.
pub(crate) struct Fault(pub(crate) Stage, pub(crate) Cause);

impl Fault {
    pub(crate) fn new(stage: Stage, error: io::Error) -> Self {
        Self(stage, Cause::Error(error))
    }

    /// Whether it is the request's second stage that has to wait for the peer, and can't here.
    pub(crate) fn is_early(&self) -> bool {
        let Self(stage, cause) = self;
        match cause {
            Cause::Error(error) => {
                *stage == Stage::Establish && error.kind() == io::ErrorKind::WouldBlock
            }
            Cause::Panic(_) => false,
        }
    }
}

/// Runs one stage of a request, and says of its error or panic where it came from.
pub(crate) fn step<V>(stage: Stage, run: impl FnOnce() -> io::Result<V>) -> Result<V, Fault> {
    match contain(run) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::new(stage, error)),
        Err(payload) => Err(Fault(stage, Cause::Panic(payload))),
    }
}

/// Runs what is the user's code, and catches its panic.
///
/// That the code may leave its own state half changed is the user's affair, as with any thread
/// that ends in a panic; what this crate holds beyond the call is not touched by it.
pub(crate) fn contain<V>(run: impl FnOnce() -> V) -> Result<V, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(run))
}

/// Runs what is the user's code and has nobody to report its panic to; the panic hook has told of
/// it. Whether it panicked. The payload may panic when it is dropped, and so may that payload: it
/// is then leaked.
#[inline]
pub(crate) fn quietly(run: impl FnOnce()) -> bool {
    let Err(payload) = contain(run) else { return false };
    if let Err(second) = contain(|| drop(payload)) {
        mem::forget(second);
    }
    true
}
