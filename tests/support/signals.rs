//! Signals that interrupt system calls and do nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    SEEN.fetch_add(1, Ordering::SeqCst);
}

/// Has SIGUSR1 counted from now on; without `SA_RESTART`, so that blocking calls say `EINTR`.
#[expect(unsafe_code, reason = "sigaction(2) is unsafe for what a handler might do")]
pub fn interrupt_on_usr1() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler adds to an atomic, which is async-signal-safe.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.map(drop)
}

/// How many have come.
pub fn seen() -> usize {
    SEEN.load(Ordering::SeqCst)
}
