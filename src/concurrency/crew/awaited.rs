//! The end of the process, which waits for requests that nobody else waits for.

use std::cell::Cell;
use std::io;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::sys;

/// A request that the end of the process waits for.
pub(super) struct Awaited {
    /// It has begun to run, on the thread that drops this.
    here: bool,
}

static AWAITED: Mutex<usize> = Mutex::new(0);
static NONE_AWAITED: Condvar = Condvar::new();
/// The process that the requests belong to, once it has promised to wait for them.
static REGISTERED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static IS_AWAITED: Cell<bool> = const { Cell::new(false) };
}

impl Awaited {
    pub(super) fn new() -> io::Result<Self> {
        let mut awaited = AWAITED.lock();
        let (registered, own) = (REGISTERED.load(Ordering::SeqCst), process::id());
        if registered == 0 {
            sys::at_exit(wait_for_awaited)?;
        }
        if registered != own {
            // Those of the process that this one was forked from are not here.
            *awaited = 0;
            REGISTERED.store(own, Ordering::SeqCst);
        }
        *awaited += 1;
        Ok(Self { here: false })
    }

    /// The request runs on this thread.
    pub(super) fn here(&mut self) {
        self.here = true;
        IS_AWAITED.set(true);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.here {
            IS_AWAITED.set(false);
        }
        *AWAITED.lock() -= 1;
        NONE_AWAITED.notify_all();
    }
}

extern "C" fn wait_for_awaited() {
    // A child that the application has forked has none of the threads.
    if REGISTERED.load(Ordering::SeqCst) != process::id() {
        return;
    }
    // A handler that calls `exit` does not wait for itself.
    let own = usize::from(IS_AWAITED.get());
    let mut awaited = AWAITED.lock();
    while *awaited > own {
        NONE_AWAITED.wait(&mut awaited);
    }
}
