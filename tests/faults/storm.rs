//! Descriptors run out while clients come.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::footprint::until;
use crate::served::{LIMIT, Served, Tested};
use crate::subject::{self, Held};
use crate::time::let_pass;
use crate::trials::{PRLIMIT, STRACE, trial};

/// So many descriptors are left, and so many clients want one.
const ROOM: usize = 10;
const CLIENTS: usize = 40;
/// The storm while attempts are counted, and while nobody looks but at the time used.
const COUNTED: Duration = Duration::from_secs(10);
const TIMED: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_storm_for_want_of_descriptors", &[STRACE, PRLIMIT], storm),
        trial("a_stop_in_the_storm", &[PRLIMIT], stop_in_the_storm),
    ]
}

/// A server that has no descriptor left, and clients that wait.
fn begin(server: &Served) -> Tested<Vec<Held>> {
    let process = subject::process(server);
    let limit = process.descriptors()? + ROOM;
    process.limit_descriptors(limit)?;
    let clients = (0..CLIENTS).map(|_| Held::open(&server.address)).collect::<Tested<_>>()?;
    until("no descriptor is left", LIMIT, || Ok(process.descriptors()? >= limit))?;
    Ok(clients)
}

fn storm() -> Tested<String> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let server = subject::start(&[], "threading", "echo")?;
    let process = subject::process(&server);
    let mut early = Held::open(&server.address)?;
    let unharmed_before = early.is_served()?;
    let clients = begin(&server)?;

    let mut strace = attach(process.0, &log)?;
    let mut unharmed = true;
    for _ in 0..10 {
        let_pass(COUNTED / 10);
        unharmed &= early.is_served()?;
    }
    detach(&mut strace)?;
    let failed = fs::read_to_string(&log)?.lines().filter(|line| line.contains("EMFILE")).count();

    let before = process.ticks()?;
    let_pass(TIMED);
    let ticks = process.ticks()? - before;

    let released = Instant::now();
    drop(clients);
    let waited = subject::ask_held(&server.address)?;
    let recovery = released.elapsed();
    unharmed &= early.is_served()?;
    let figures = format!(
        "{failed} failed accepts in {COUNTED:?}, {ticks} hundredths of a second of CPU in \
         {TIMED:?}, served {recovery:.1?} after the release ({waited:.1?} of them connected), \
         the connection from before unharmed: {}",
        unharmed_before && unharmed
    );
    // The bounds of the figures, and one for the time that a loaded machine can keep.
    if failed >= 200 || ticks > 5 || recovery > 5 * Duration::from_secs(1) || !unharmed {
        return Err(figures.into());
    }
    Ok(figures)
}

fn attach(server: u32, log: &std::path::Path) -> Tested<Child> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=accept4,accept", "-o"]).arg(log);
    strace.args(["-p", &server.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(strace.spawn()?)
}

/// Strace lets go of the server when it is interrupted.
fn detach(strace: &mut Child) -> Tested {
    kill(Pid::from_raw(i32::try_from(strace.id())?), Signal::SIGINT)?;
    strace.wait()?;
    Ok(())
}

fn stop_in_the_storm() -> Tested<String> {
    let server = subject::start(&[], "threading", "echo")?;
    let clients = begin(&server)?;
    // Into the long pauses.
    let_pass(Duration::from_millis(1500));
    let stopped = Instant::now();
    server.signal(Signal::SIGTERM)?;
    server.says("finishing what is in flight")?;
    let after = stopped.elapsed();
    drop(clients);
    let (status, said) = server.end()?;
    if !status.success() {
        return Err(format!("{status}: {said}").into());
    }
    Ok(format!("serve_forever returned {after:.1?} after the signal"))
}
