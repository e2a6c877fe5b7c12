//! Schedule after schedule, until one breaks a law; and that one made shorter.

use std::env;
use std::fmt;
use std::ops::{AddAssign, Range};
use std::panic;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use super::apart::is_alone;
use super::idle::check_idle;
use super::law::{Broken, Fault};
use super::model::{Conduct, Kind};
use super::random::fresh_seed;
use super::reach::Client;
use super::remains::{Remains, reap_leftovers};
use super::schedule::Schedule;
use super::script::SCRIPTED;
use super::system::{Make, play};
use super::watch::{Hung, Watch, watched};

/// Far beyond what anything takes, so that only what never comes reaches it.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same while a schedule is made shorter.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// The same when what has come of that is played once more.
const CERTAINTY: Duration = Duration::from_secs(1);
/// So long at most is a schedule made shorter.
const SHORTENING: Duration = Duration::from_secs(2);
const SCHEDULES: u64 = 100;

/// Where the first schedule comes from, and how many are played.
const SEED: &str = "SOCKETSERVER_SEED";
pub(super) const NUMBER: &str = "SOCKETSERVER_SCHEDULES";

/// What the laws have been kept on. Its `Display` says it with the pace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kept {
    schedules: u64,
    time: Duration,
}

impl Kept {
    /// How many schedules were played.
    #[must_use]
    pub fn schedules(&self) -> u64 {
        self.schedules
    }
}

impl AddAssign for Kept {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.time += other.time;
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let pace = self.schedules as f64 / seconds;
        write!(f, "{} schedules in {seconds:.1} s, {pace:.0} a second", self.schedules)
    }
}

/// What is checked: how a machine is made of it, and what is known of it.
pub(super) struct Piece<L> {
    pub(super) make: Box<Make<L>>,
    pub(super) kind: Kind,
    pub(super) conduct: Conduct,
    pub(super) name: String,
}

/// A schedule that a law broke on, up to the step at which it did.
struct Failed {
    seed: u64,
    schedule: Schedule,
    fault: Fault,
}

/// Plays schedules, as many as the environment says.
pub(super) fn run<L: Client + 'static>(piece: Piece<L>) -> Result<Kept, Box<Broken>> {
    hush_scripted_panics();
    let (begun, alone) = (Instant::now(), is_alone());
    let first = asked_for(SEED).unwrap_or_else(fresh_seed);
    let schedules = asked_for(NUMBER).unwrap_or(SCHEDULES);
    let piece = Arc::new(piece);
    let seeds = first..first.saturating_add(schedules);
    let all = piece.watched(PATIENCE, move |piece, watch| piece.play_all(seeds, alone, watch));
    let failed = match all {
        Ok(Ok(())) => return Ok(Kept { schedules, time: begun.elapsed() }),
        Ok(Err(failed)) => *failed,
        Err(Hung { seed, steps, fault }) => {
            let schedule = piece.schedule(seed).truncated(steps);
            Failed { seed, schedule, fault }
        }
    };
    let Failed { seed, schedule, fault } = shortened(&piece, failed, alone);
    let (law, what) = (fault.law(), fault.what());
    let (piece, schedule) = (piece.name.clone(), schedule.sentences());
    Err(Box::new(Broken { law, what, piece, schedule, seed }))
}

impl<L: Client + 'static> Piece<L> {
    fn schedule(&self, seed: u64) -> Schedule {
        Schedule::random(seed, self.kind, self.conduct)
    }

    fn play_all(
        &self,
        seeds: Range<u64>,
        alone: bool,
        watch: &Arc<Watch>,
    ) -> Result<(), Box<Failed>> {
        let failed = |seed, schedule, fault| Box::new(Failed { seed, schedule, fault });
        let nothing = || self.schedule(seeds.start).truncated(0);
        let before = remains(alone).map_err(|fault| failed(seeds.start, nothing(), fault))?;
        watch.begin(seeds.start);
        if !self.conduct.forks() {
            check_idle(&*self.make, watch, self.kind, self.conduct, PATIENCE)
                .map_err(|fault| failed(seeds.start, nothing(), fault))?;
        }
        for seed in seeds {
            let schedule = self.schedule(seed);
            watch.begin(seed);
            let played = play(&*self.make, &schedule, watch, PATIENCE, before.as_ref());
            played.map_err(|(steps, fault)| failed(seed, schedule.truncated(steps), fault))?;
        }
        Ok(())
    }

    /// Plays one schedule; how many steps it took to break a law.
    fn play_one(
        self: &Arc<Self>,
        schedule: &Schedule,
        patience: Duration,
        alone: bool,
    ) -> Option<(usize, Fault)> {
        let schedule = schedule.clone();
        let played = self.watched(patience, move |piece, watch| {
            let before = remains(alone).map_err(|fault| (0, fault))?;
            play(&*piece.make, &schedule, watch, patience, before.as_ref())
        });
        match played {
            Ok(played) => played.err(),
            Err(Hung { steps, fault, .. }) => Some((steps, fault)),
        }
    }

    /// On a thread that is watched, where there may be one.
    fn watched<V: Send + 'static>(
        self: &Arc<Self>,
        patience: Duration,
        play: impl FnOnce(&Self, &Arc<Watch>) -> V + Send + 'static,
    ) -> Result<V, Hung> {
        if self.conduct.forks() {
            return Ok(play(self, &Arc::default()));
        }
        let piece = Arc::clone(self);
        watched(patience, move |watch| play(&piece, watch))
    }
}

/// What the process holds, where nobody but this check does anything in it.
fn remains(alone: bool) -> Result<Option<Remains>, Fault> {
    if !alone {
        return Ok(None);
    }
    reap_leftovers();
    Ok(Some(Remains::now()?))
}

/// Without those steps that it breaks the same law without.
fn shortened<L: Client + 'static>(piece: &Arc<Piece<L>>, whole: Failed, alone: bool) -> Failed {
    let until = Instant::now() + SHORTENING;
    let law = whole.fault.law();
    let again = |schedule: &Schedule, patience| {
        piece.play_one(schedule, patience, alone).filter(|(_, fault)| fault.law() == law)
    };
    let (mut best, mut at) = (whole.schedule.clone(), whole.schedule.steps.len());
    while at > 0 && Instant::now() < until {
        at -= 1;
        let shorter = best.without(at);
        if let Some((steps, _)) = again(&shorter, IMPATIENCE) {
            best = shorter.truncated(steps);
            at = at.min(best.steps.len());
        }
    }
    match again(&best, CERTAINTY) {
        Some((_, fault)) => Failed { seed: whole.seed, schedule: best, fault },
        None => whole,
    }
}

fn asked_for(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Panics that a script asks for are no news on stderr; all others are.
fn hush_scripted_panics() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&SCRIPTED) {
                usual(info);
            }
        }));
    });
}
