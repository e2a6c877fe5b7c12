//! What does not depend on the moment: system calls, allocations and instructions of a request.

use std::time::Duration;

use super::progress::Progress;
use super::{Kind, Pair};
use crate::measure::ceilings;
use crate::support::role::{Load, Strategy, Transport, Who};
use crate::support::{Fallible, allocations, callgrind, strace};

/// How many requests the counts are taken over.
const COUNT: u32 = 50;

/// How many requests wait; no more than fit into a backlog.
const WAITING: u32 = 112;

/// How long a step takes, roughly.
const STEP: Duration = Duration::from_secs(1);

/// Which servers are counted at.
#[derive(Debug, Clone)]
pub struct Counting {
    /// Their system calls and allocations.
    pub counts: Vec<Kind>,
    pub instructions: Vec<Kind>,
}

/// The counts of one server, per request, ours and by hand; what could not be had is left out.
#[derive(Debug)]
pub struct Counts {
    pub kind: Kind,
    pub calls: Option<Pair<f64>>,
    pub allocations: Option<Pair<f64>>,
    pub instructions: Option<Pair<f64>>,
}

impl Counting {
    /// How many steps there will be, and how long all of them take.
    pub fn plan(&self) -> (usize, Duration) {
        let steps = self.counts.len() + self.instructions.len();
        (steps, STEP * steps as u32)
    }

    pub fn measure(&self, progress: &mut Progress) -> Fallible<Vec<Counts>> {
        let (traces, simulates) = (strace::is_there(), callgrind::is_there());
        let kinds = if self.counts.is_empty() { &self.instructions } else { &self.counts };
        let mut all = Vec::new();
        for &kind in kinds {
            let (mut calls, mut allocations, mut instructions) = (None, None, None);
            if self.counts.contains(&kind) {
                progress.step(&format!("{kind}, system calls and allocations"), STEP)?;
                // The queue of Unix packets is too short for requests that all wait.
                let too_long = kind.strategy.is_crew() && kind.transport == Transport::UnixDatagram;
                let counted = traces && !too_long;
                calls = if counted { Some(pair(kind, calls_of)?) } else { None };
                allocations = Some(pair(kind, allocations_of)?);
            }
            if self.instructions.contains(&kind) {
                progress.step(&format!("{kind}, instructions"), STEP)?;
                let counted = simulates && is_steady(kind);
                instructions = if counted { Some(pair(kind, instructions_of)?) } else { None };
            }
            all.push(Counts { kind, calls, allocations, instructions });
        }
        Ok(all)
    }
}

impl Counts {
    /// What is above its ceiling, in words.
    pub fn broken(&self) -> Vec<String> {
        let most = ceilings::of(self.kind);
        let mut broken = Vec::new();
        let mut check =
            |what: &str, pair: &Option<Pair<f64>>, ceiling: fn(f64, f64) -> f64, most| {
                let Some(Pair { ours, twin }) = pair else { return };
                let ceiling = ceiling(*twin, most);
                if *ours > ceiling {
                    let kind = self.kind;
                    broken.push(format!(
                        "{kind}: {ours:.2} {what} a request, and {ceiling:.2} are the most"
                    ));
                }
            };
        let by_hand = if self.kind.strategy.is_crew() { |_, most| most } else { f64::min };
        check("system calls", &self.calls, by_hand, most.calls);
        check("allocations", &self.allocations, |_, most| most, most.allocations);
        check("instructions", &self.instructions, |twin, most| twin + most, most.instructions);
        broken
    }
}

/// Whether the instructions of a request do not depend on how many threads or buffers there are by
/// chance; those of a child would not be counted.
fn is_steady(kind: Kind) -> bool {
    match kind.strategy {
        Strategy::Sync | Strategy::Selecting => true,
        Strategy::Threading | Strategy::Fresh | Strategy::ThreadPool => kind.transport.is_stream(),
        Strategy::Forking | Strategy::PreForking | Strategy::SelectingPool => false,
    }
}

fn pair(kind: Kind, of: fn(Kind, Who) -> Fallible<f64>) -> Fallible<Pair<f64>> {
    Ok(Pair { ours: of(kind, Who::Ours)?, twin: of(kind, Who::Twin)? })
}

fn calls_of(kind: Kind, who: Who) -> Fallible<f64> {
    if kind.strategy.is_crew() {
        return Ok(strace::while_others_wait(kind.role(who, Load::Waiting, WAITING))?.0);
    }
    let all = strace::count(kind.role(who, Load::Paced, COUNT))?.values().sum::<u32>();
    Ok(f64::from(all) / f64::from(COUNT))
}

fn allocations_of(kind: Kind, who: Who) -> Fallible<f64> {
    Ok(allocations::of(kind.role(who, Load::Paced, COUNT))? as f64 / f64::from(COUNT))
}

fn instructions_of(kind: Kind, who: Who) -> Fallible<f64> {
    callgrind::per_request(kind.role(who, Load::Waiting, COUNT))
}
