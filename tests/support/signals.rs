//! Signals that interrupt system calls, and one that stops a server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use socketserver::StopHandle;

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

static STOP: OnceLock<StopHandle> = OnceLock::new();

extern "C" fn stop(_: i32) {
    if let Some(handle) = STOP.get() {
        handle.stop();
    }
}

/// Has SIGUSR2 stop a server from now on, once for each process.
pub fn stop_on_usr2(handle: StopHandle) -> nix::Result<()> {
    stop_on(Signal::SIGUSR2, handle)
}

/// The same of any signal.
#[expect(unsafe_code, reason = "sigaction(2) is unsafe for what a handler might do")]
pub fn stop_on(signal: Signal, handle: StopHandle) -> nix::Result<()> {
    STOP.get_or_init(|| handle);
    let action = SigAction::new(SigHandler::Handler(stop), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler loads an initialized cell and stops, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }.map(drop)
}

type Act = Box<dyn Fn() + Send + Sync>;

static ACT: OnceLock<Act> = OnceLock::new();

extern "C" fn act(_: i32) {
    if let Some(act) = ACT.get() {
        act();
    }
}

/// Has SIGUSR1 call this from now on, once for each process; it has to be async-signal-safe.
#[expect(unsafe_code, reason = "sigaction(2) is unsafe for what a handler might do")]
pub fn on_usr1(what: impl Fn() + Send + Sync + 'static) -> nix::Result<()> {
    ACT.get_or_init(|| Box::new(what));
    let action = SigAction::new(SigHandler::Handler(act), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler loads an initialized cell, and calls what the caller says is safe.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.map(drop)
}
