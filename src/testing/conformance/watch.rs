//! Who plays schedules does what might hang, and is watched from another thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::law::{Fault, Law};
use super::world::locked;

/// How often it is looked whether something hangs.
const LOOK: Duration = Duration::from_millis(20);

/// What is being done, for whoever watches.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Now>);

#[derive(Debug, Default)]
struct Now {
    seed: u64,
    steps: usize,
    doing: Option<Doing>,
}

#[derive(Debug, Clone, Copy)]
struct Doing {
    what: &'static str,
    /// What breaks where it does not come to its end.
    law: Law,
    since: Instant,
}

/// Where a schedule has been left.
#[derive(Debug)]
pub(super) struct Hung {
    pub(super) seed: u64,
    pub(super) steps: usize,
    pub(super) fault: Fault,
}

impl Watch {
    pub(super) fn begin(&self, seed: u64) {
        *locked(&self.0) = Now { seed, steps: 0, doing: None };
    }

    pub(super) fn step(&self) {
        locked(&self.0).steps += 1;
    }

    /// Does what has to come to an end, by this law.
    pub(super) fn during<V>(
        &self,
        what: &'static str,
        law: Law,
        run: impl FnOnce() -> V,
    ) -> Result<V, Fault> {
        let doing = Doing { what, law, since: Instant::now() };
        locked(&self.0).doing = Some(doing);
        let done = catch_unwind(AssertUnwindSafe(run));
        locked(&self.0).doing = None;
        done.map_err(|_| Fault::Broken(Law::LoopLives, format!("{what} panicked")))
    }

    fn hung(&self, patience: Duration) -> Option<Hung> {
        let now = locked(&self.0);
        let late = |doing: &Doing| doing.since.elapsed() >= patience;
        let Doing { what, law, .. } = now.doing.filter(late)?;
        let fault = Fault::Broken(law, format!("{what} did not return"));
        Some(Hung { seed: now.seed, steps: now.steps, fault })
    }
}

/// Runs `play` on a thread that is left to itself where it hangs.
pub(super) fn watched<V: Send + 'static>(
    patience: Duration,
    play: impl FnOnce(&Arc<Watch>) -> V + Send + 'static,
) -> Result<V, Hung> {
    let watch = Arc::new(Watch::default());
    let (send, receive) = channel();
    let player = Arc::clone(&watch);
    let failed = |fault| Hung { seed: 0, steps: 0, fault };
    let thread = thread::Builder::new()
        .spawn(move || drop(send.send(play(&player))))
        .map_err(|error| failed(error.into()))?;
    loop {
        match receive.recv_timeout(LOOK) {
            Ok(value) => {
                let _ = thread.join();
                return Ok(value);
            }
            Err(RecvTimeoutError::Timeout) => watch.hung(patience).map_or(Ok(()), Err)?,
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = std::io::Error::other("what plays the schedules panicked");
                return Err(failed(panicked.into()));
            }
        }
    }
}
