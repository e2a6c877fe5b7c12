//! A loop that nobody asks anything waits, and does not spin.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::Duration;

use super::law::{Fault, Law};
use super::model::{Conduct, Kind, Setting};
use super::system::Make;
use super::watch::Watch;
use super::world::World;

/// So long is looked on.
const WHILE: Duration = Duration::from_millis(100);
/// A loop that polls every millisecond still waits.
const MOST: usize = 200;

pub(super) fn check_idle<L>(
    make: &Make<L>,
    watch: &Arc<Watch>,
    kind: Kind,
    conduct: Conduct,
    patience: Duration,
) -> Result<(), Fault> {
    let setting = Setting { kind, conduct, hooks_panic: false, books: false };
    let world = Arc::new(World::new(watch, patience, false, conduct.forks())?);
    let mut machine = make(&world, &setting)?;
    let stop = machine.spawn()?;
    let (_nobody, silence) = mpsc::channel::<()>();
    let _ = silence.recv_timeout(WHILE);
    let looks = world.looks.load(SeqCst);
    let ended = machine.has_ended();
    stop.stop();
    machine.join()?;
    machine.close()?;
    Law::LoopLives.holds(!ended, || "the loop ended, and nobody had stopped it".into())?;
    Law::LoopLives.holds(looks <= MOST, || {
        format!("the loop spins: with nobody there, it looked {looks} times in {WHILE:?}")
    })
}
