//! Ten thousand clients that connect and say nothing; fewer where there may not be as many threads.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::cgroup::most_threads;
use crate::footprint::{lift_limit, until};
use crate::served::{LIMIT, Tested};
use crate::subject::{self, Held};
use crate::trials::trial;

const CLIENTS: usize = 10_000;
const PROBES: usize = 500;
/// The most that a thread which waits may keep resident, in KiB; an optimized one keeps half of it.
const PER_CLIENT: u64 = 40;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("ten_thousand_silent_clients", &[], ten_thousand)]
}

fn ten_thousand() -> Tested<String> {
    let most = usize::try_from(lift_limit()?)?;
    // Each is a thread: whatever else runs here has as much room.
    let clients = CLIENTS.min(most.saturating_sub(500)).min(most_threads() / 2);
    let server = subject::start(&[], "threading", "once")?;
    let process = subject::process(&server);
    let alone = (process.in_hand()?, process.memory("VmRSS")?);

    let begun = Instant::now();
    let silent: Vec<Held> =
        (0..clients).map(|_| Held::open(&server.address)).collect::<Tested<_>>()?;
    // One that came while the queue was full is there once the system says so again: by RFC 6298 that
    // is after 1, 3, 7, 15 s.
    until("all are accepted", 3 * LIMIT, || Ok(process.descriptors()? >= clients))?;
    let connected = begun.elapsed();

    let mut probes =
        (0..PROBES).map(|_| subject::ask(&server.address)).collect::<Tested<Vec<_>>>()?;
    probes.sort();
    let at = |part: usize| probes[(PROBES - 1) * part / 100];
    let (threads, memory) = (process.threads()?, process.memory("VmRSS")?);
    drop(silent);
    let gone = until("all are gone", 3 * LIMIT, || Ok(process.in_hand()? <= alone.0))?;
    let figures = format!(
        "{clients} in {connected:.1?}; a client that speaks: median {:.1?}, 99 % {:.1?}, slowest \
         {:.1?}; {threads} threads, {memory} KiB resident (alone {} KiB); gone {gone:.1?} after \
         they are, {} KiB",
        at(50),
        at(99),
        at(100),
        alone.1,
        process.memory("VmRSS")?
    );
    if memory > PER_CLIENT * clients as u64 || at(50) > Duration::from_secs(1) {
        return Err(figures.into());
    }
    Ok(figures)
}
