//! Who plays schedules does what might hang, and is watched from another thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::checks::{check_so_far, unclosed};
use super::law::{Fault, Law};
use super::model::Model;
use super::world::{World, locked};
use crate::StopHandle;

/// How often it is looked whether something hangs.
const LOOK: Duration = Duration::from_millis(20);

/// What is being done, for whoever watches.
#[derive(Default)]
pub(super) struct Watch(Mutex<Now>);

#[derive(Default)]
struct Now {
    seed: u64,
    steps: usize,
    /// What happened so far, and what had to.
    scene: Option<(Weak<World>, Model)>,
    doing: Option<Doing>,
}

#[derive(Clone)]
struct Doing {
    what: &'static str,
    /// What breaks where it does not come to its end.
    law: Law,
    since: Instant,
    /// What ends it, where it has not come to the end that it was to have.
    stop: Option<StopHandle>,
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
        *locked(&self.0) = Now { seed, ..Now::default() };
    }

    /// One more step is taken, after which all has to be as the model says.
    pub(super) fn step(&self, world: &Arc<World>, model: &Model) {
        let mut now = locked(&self.0);
        now.steps += 1;
        now.scene = Some((Arc::downgrade(world), model.clone()));
    }

    /// Does what has to come to an end, by this law. Where there is a `stop`, that is tried first: then
    /// it was not the stop that was not seen.
    pub(super) fn during<V>(
        &self,
        what: &'static str,
        law: Law,
        stop: Option<StopHandle>,
        run: impl FnOnce() -> V,
    ) -> Result<V, Fault> {
        let doing = Doing { what, law, since: Instant::now(), stop };
        locked(&self.0).doing = Some(doing);
        let done = catch_unwind(AssertUnwindSafe(run));
        locked(&self.0).doing = None;
        done.map_err(|_| Fault::Broken(Law::LoopLives, format!("{what} panicked")))
    }

    fn hung(&self, patience: Duration) -> Option<Hung> {
        let mut now = locked(&self.0);
        let doing = now.doing.as_mut().filter(|doing| doing.since.elapsed() >= patience)?;
        if let Some(stop) = doing.stop.take() {
            stop.stop();
            doing.since = Instant::now();
            return None;
        }
        let fault = Fault::Broken(doing.law, format!("{} did not return", doing.what));
        let fault = now.wrong().unwrap_or(fault);
        Some(Hung { seed: now.seed, steps: now.steps, fault })
    }
}

impl Now {
    /// What has gone wrong before, of which that something hangs may be no more than a consequence.
    fn wrong(&self) -> Option<Fault> {
        let (world, model) = self.scene.as_ref()?;
        let world = world.upgrade()?;
        let wrong = check_so_far(&world, model).err();
        wrong.or_else(|| unclosed(&world, model).filter(|_| self.is_closing()))
    }

    fn is_closing(&self) -> bool {
        self.doing.as_ref().is_some_and(|doing| doing.law == Law::NothingRemains)
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
