//! The servers as one writes them by hand: what the composed ones are measured against.
//!
//! Each does the work of its composed twin and no more: it takes what waits first, polls the socket
//! and a wake-up descriptor only when nothing does (or has, of late; the pool's threads wait in the
//! call that takes), and so stops when it is told to; its threads and children are waited for at the
//! end.

mod crew;
pub mod datagram;
mod fork;
pub mod pool;
pub mod selector;
pub mod stream;

use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;

/// How many processes serve side by side, where several do.
pub const PROCESSES: usize = 4;

/// The flag that ends a loop, and the descriptor that wakes it.
pub struct Stop {
    asked: AtomicBool,
    wake: EventFd,
}

impl Stop {
    pub fn new() -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { asked: AtomicBool::new(false), wake })
    }

    pub fn stop(&self) {
        self.asked.store(true, Ordering::SeqCst);
        let _ = self.wake.write(1);
    }

    fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for the socket, or to be told; where there is nothing else to wait for, the socket is its
    /// own.
    fn wait(&self, socket: &impl AsFd) -> io::Result<()> {
        let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
        match poll(&mut [entry(socket.as_fd()), entry(self.wake.as_fd())], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// When a loop waits before it looks, as the composed server does: while most looks are in vain.
#[derive(Default)]
struct Looks {
    /// The next look follows a wait, or this one does.
    waits: bool,
    /// How many requests are waited for before the next look without one.
    left: u8,
    /// How many are to be after the next of those that is in vain.
    next: u8,
}

impl Looks {
    fn wait_first(&mut self) -> bool {
        if !self.waits && self.left > 0 {
            self.left -= 1;
            self.waits = true;
        }
        self.waits
    }

    fn found(&mut self) {
        if !mem::take(&mut self.waits) {
            self.next = 0;
        }
    }

    fn in_vain(&mut self) {
        if !self.waits {
            self.left = self.next;
            self.next = (2 * self.next).clamp(1, 8);
        }
        self.waits = true;
    }
}

/// What is called around the work, where the composed server has hooks for it.
pub trait Hooks: Clone + Send + Sync + 'static {
    /// In the worker, when it has answered.
    fn handled(&self) {}
    /// In the worker, whether the connection is to be asked for another line.
    fn again(&self) -> bool {
        false
    }
    /// In the loop, when a request has been given to its worker.
    fn served(&self) {}
    /// The signal that the process handles, if it does.
    fn handled_signal(&self) -> Option<Signal> {
        None
    }
    /// Before the loop: how it is to be stopped.
    fn arm(&self, _stop: Box<dyn Fn() + Send + Sync>) {}
}

impl Hooks for () {}

/// The threads that run, for the loop to wait for at its end.
#[derive(Clone, Default)]
struct Running(Arc<(Mutex<Count>, Condvar)>);

#[derive(Default)]
struct Count {
    running: usize,
    /// A condition variable of `std` makes a system call even where nobody waits for it.
    awaited: bool,
}

impl Running {
    fn begin(&self) {
        self.count().running += 1;
    }

    fn end(&self) {
        let mut count = self.count();
        count.running -= 1;
        if count.awaited && count.running == 0 {
            self.0.1.notify_one();
        }
    }

    fn wait(&self) {
        let mut count = self.count();
        count.awaited = true;
        while count.running > 0 {
            count = self.0.1.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the loop goes on after this error of accept(2) or recvfrom(2).
fn passes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused
    )
}
