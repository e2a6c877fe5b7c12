//! The hooks of servers that are not paced.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::client::Client;
use super::signal;
use crate::twins::Hooks;

type StopFn = Box<dyn Fn() + Send + Sync>;

/// Stops the server when all requests have been handled. All of them wait when it begins.
#[derive(Clone)]
pub struct Countdown(Arc<(AtomicU32, OnceLock<StopFn>)>);

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
        Ok((Self(Arc::new((AtomicU32::new(count), OnceLock::new()))), clients))
    }
}

impl Hooks for Countdown {
    fn handled(&self) {
        if self.0.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.1.get().inspect(|stop| stop());
        }
    }

    fn arm(&self, stop: StopFn) {
        let _ = self.0.1.set(stop);
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

    fn arm(&self, stop: StopFn) {
        signal::at_terminate(stop);
    }
}
