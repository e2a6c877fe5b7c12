//! Schedule after schedule, until one breaks a law; and that one made shorter.

use std::env;
use std::fmt;
use std::ops::AddAssign;
use std::panic;
use std::sync::Once;
use std::time::{Duration, Instant};

use super::apart::is_alone;
use super::idle::check_idle;
use super::law::{Broken, Fault};
use super::model::Conduct;
use super::random::fresh_seed;
use super::reach::Client;
use super::remains::{Remains, reap_leftovers};
use super::schedule::Schedule;
use super::script::SCRIPTED;
use super::system::{Make, play};

/// Far beyond what anything takes, so that only what never comes reaches it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same while a schedule is made shorter; what comes of that is played once more.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// So long at most is a schedule made shorter.
const SHORTENING: Duration = Duration::from_secs(3);
const SCHEDULES: u64 = 256;

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
pub(super) struct Piece<'a, L> {
    pub(super) make: &'a Make<'a, L>,
    pub(super) packet: bool,
    pub(super) conduct: Conduct,
    pub(super) name: String,
}

/// Plays schedules, as many as the environment says.
pub(super) fn run<L: Client>(piece: &Piece<'_, L>) -> Result<Kept, Box<Broken>> {
    hush_scripted_panics();
    let (begun, alone) = (Instant::now(), is_alone());
    let first = asked_for(SEED).unwrap_or_else(fresh_seed);
    let schedules = asked_for(NUMBER).unwrap_or(SCHEDULES);
    if !piece.conduct.forks() {
        check_idle(piece.make, piece.packet, piece.conduct, PATIENCE)
            .map_err(|fault| piece.broken(first, Vec::new(), &fault))?;
    }
    let mut before = piece.remains(alone, first)?;
    for seed in (first..).take(usize::try_from(schedules).unwrap_or(usize::MAX)) {
        let schedule = Schedule::random(seed, piece.packet, piece.conduct);
        if let Err((steps, fault)) = play(piece.make, &schedule, PATIENCE, before.as_ref()) {
            before = piece.remains(alone, seed)?;
            let (schedule, fault) = shortened(piece, schedule.truncated(steps), fault, before);
            return Err(piece.broken(seed, schedule.sentences(), &fault));
        }
    }
    Ok(Kept { schedules, time: begun.elapsed() })
}

impl<L> Piece<'_, L> {
    fn broken(&self, seed: u64, schedule: Vec<String>, fault: &Fault) -> Box<Broken> {
        let (law, what, piece) = (fault.law(), fault.what(), self.name.clone());
        Box::new(Broken { law, what, piece, schedule, seed })
    }

    /// What the process holds, where nobody but this check does anything in it.
    fn remains(&self, alone: bool, seed: u64) -> Result<Option<Remains>, Box<Broken>> {
        if !alone {
            return Ok(None);
        }
        reap_leftovers();
        Remains::now().map(Some).map_err(|error| self.broken(seed, Vec::new(), &error.into()))
    }
}

/// Without those steps that it breaks the same law without.
fn shortened<L: Client>(
    piece: &Piece<'_, L>,
    whole: Schedule,
    fault: Fault,
    mut before: Option<Remains>,
) -> (Schedule, Fault) {
    let until = Instant::now() + SHORTENING;
    let mut again = |schedule: &Schedule, patience| {
        let played = play(piece.make, schedule, patience, before.as_ref());
        let (steps, new) = played.err()?;
        // What has been left over is not left over once more.
        before = before.as_ref().and_then(|_| Remains::now().ok());
        (new.law() == fault.law()).then_some((steps, new))
    };
    let (mut best, mut at) = (whole.clone(), whole.steps.len());
    while at > 0 && Instant::now() < until {
        at -= 1;
        let shorter = best.without(at);
        if let Some((steps, _)) = again(&shorter, IMPATIENCE) {
            best = shorter.truncated(steps);
            at = at.min(best.steps.len());
        }
    }
    match again(&best, PATIENCE) {
        Some((_, new)) => (best, new),
        None => (whole, fault),
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
