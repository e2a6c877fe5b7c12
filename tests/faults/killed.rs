//! Forked children that are killed while the server serves.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::footprint::until;
use crate::served::{LIMIT, Tested};
use crate::subject::{self, Fate, Held};
use crate::time::let_pass;
use crate::trials::trial;

/// How long, and how often in it.
const CHAOS: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(20);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("children_that_are_killed", &[], children_that_are_killed)]
}

/// Each of the clients sees the end of its own child, and nobody else's; each next one is served.
fn children_that_are_killed() -> Tested<String> {
    let server = subject::start(&[], "forking", "echo")?;
    let process = subject::process(&server);
    let mut bystander = Held::open(&server.address)?;
    bystander.is_served()?;
    let bystanders = process.children()?;

    let (begun, mut kills, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < CHAOS {
        let asked = Instant::now();
        let mut victim = Held::open(&server.address)?;
        if !victim.is_served()? {
            return Err("a client was not served".into());
        }
        slowest = slowest.max(asked.elapsed());
        for child in process.children()?.into_iter().filter(|id| !bystanders.contains(id)) {
            // It may be one of those that have been killed and not been reaped yet.
            kill(Pid::from_raw(i32::try_from(child)?), Signal::SIGKILL)?;
        }
        if victim.fate(LIMIT)? != Fate::Closed {
            return Err("the child has not been killed".into());
        }
        kills += 1;
        let_pass(EVERY.saturating_sub(asked.elapsed()));
    }
    until("all are reaped", LIMIT, || Ok(process.children()? == bystanders))?;
    if !bystander.is_served()? {
        return Err("the bystander is gone".into());
    }
    Ok(format!(
        "{kills} children killed in {CHAOS:?}, every next client served (the slowest in \
         {slowest:.1?}), no zombie left, the bystander served"
    ))
}
