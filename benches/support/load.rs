//! The hooks of servers that are not paced.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::Signal;
use nix::unistd::{getpgid, getsid};

use super::client::Client;
use super::signal;
use crate::twins::Hooks;

type StopFn = Box<dyn Fn() + Send + Sync>;

/// So many of them are looked at, from the end of the first on: as long as requests still wait.
const MARKED: u32 = 50;

/// Stops the server when all requests have been handled. All of them wait when it begins.
#[derive(Clone)]
pub struct Countdown(Arc<Left>);

struct Left {
    all: u32,
    left: AtomicU32,
    stop: OnceLock<StopFn>,
}

impl Countdown {
    /// Has `count` clients, which are to be kept, send a request each.
    pub fn new(
        count: u32,
        mut client: impl FnMut() -> io::Result<Client>,
    ) -> io::Result<(Self, Vec<Client>)> {
        let mut clients = Vec::new();
        for _ in 0..count {
            let mut client = client()?;
            client.send()?;
            clients.push(client);
        }
        let (left, stop) = (AtomicU32::new(count), OnceLock::new());
        Ok((Self(Arc::new(Left { all: count, left, stop })), clients))
    }
}

impl Hooks for Countdown {
    /// Makes the two calls that `strace` counts between.
    fn handled(&self) {
        let left = self.0.left.fetch_sub(1, Ordering::Relaxed);
        if left == self.0.all {
            let _ = getpgid(None);
        } else if left + MARKED == self.0.all {
            let _ = getsid(None);
        } else if left == 1 {
            self.0.stop.get().inspect(|stop| stop());
        }
    }

    fn arm(&self, stop: StopFn) {
        let _ = self.0.stop.set(stop);
    }
}

/// Stops the server at SIGTERM, and costs nothing before that.
#[derive(Clone)]
pub struct Terminated {
    /// Whether connections stay for more than one line.
    pub kept: bool,
}

impl Hooks for Terminated {
    fn again(&self) -> bool {
        self.kept
    }

    fn handled_signal(&self) -> Option<Signal> {
        Some(Signal::SIGTERM)
    }

    fn arm(&self, stop: StopFn) {
        signal::at_terminate(stop);
    }
}
