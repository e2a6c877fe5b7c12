//! SIGTERM as the way to stop a process that may have only one thread.
#![expect(unsafe_code, reason = "sigaction(2)")]

use std::sync::OnceLock;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static RUN: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Calls `run`, which has to keep to signal-safety(7), at SIGTERM.
pub fn at_terminate(run: Box<dyn Fn() + Send + Sync>) {
    let _ = RUN.set(run);
    let action =
        SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler reads a cell that has been set before, and calls what keeps to the rules.
    if let Err(errno) = unsafe { sigaction(Signal::SIGTERM, &action) } {
        eprintln!("no handler for SIGTERM: {errno}");
    }
}

extern "C" fn on_signal(_: i32) {
    if let Some(run) = RUN.get() {
        run();
    }
}
