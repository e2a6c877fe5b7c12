//! The laws in memory, for random clients, failures and stops, by the thousand.
//!
//! One test, and nothing beside it in this process: that nothing remains of a server is seen in
//! what the whole process holds. `SCHEDULES` says how many there are to be, and `FIRST` the number of
//! the first; a million take some minutes: `SCHEDULES=1000000 cargo test --release --features testing
//! --test laws_memory -- --nocapture`.

mod support;

use std::collections::BTreeMap;
use std::env;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use support::laws::model::Mixin;
use support::laws::mutants::MUTANTS;
use support::laws::remains::Remains;
use support::laws::walk::Schedule;
use support::laws::{WATCHDOG, hush_scripted_panics};

/// So many schedules are played at most to find a bug.
const MOST: u64 = 1000;

/// After so many schedules it is looked what remains of their servers.
const BATCH: u64 = 200;

/// The number of the schedule that is played.
static PLAYED: AtomicU64 = AtomicU64::new(0);

#[test]
fn servers_in_memory_keep_the_laws_under_every_schedule_and_bugs_are_found() {
    hush_scripted_panics();
    let (end, ended) = channel();
    let watchdog = thread::spawn(move || watch(&ended));
    each_bug_is_found();
    the_laws_are_kept(asked_for("FIRST", 0), asked_for("SCHEDULES", 500));
    drop(end);
    watchdog.join().unwrap();
}

fn the_laws_are_kept(first: u64, count: u64) {
    let (before, begun) = (Remains::now().unwrap(), Instant::now());
    let mut spent = BTreeMap::<_, (u64, Duration)>::new();
    for number in first..first + count {
        PLAYED.store(number, SeqCst);
        let schedule = Schedule::new(number, None);
        let cpu = processor_time();
        if let Err(wrong) = schedule.play() {
            let (least, wrong) = schedule.shrunk(wrong);
            panic!("schedule {number}, at least: {least:?}\n{wrong}");
        }
        let (count, time) = spent.entry(format!("{:?}", schedule.setting.mixin)).or_default();
        *count += 1;
        *time += processor_time() - cpu;
        if (number - first) % BATCH == BATCH - 1 {
            let remains = Remains::since(&before).unwrap();
            assert_eq!(remains, Ok(()), "after {BATCH} schedules up to {number}");
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{count} schedules in {took:.1} s: {:.0} a second", count as f64 / took);
    for (mixin, (count, time)) in spent {
        let rate = count as f64 / time.as_secs_f64();
        println!("{mixin}: {count}, {rate:.0} in a second of processor time");
    }
}

/// That a law is broken would be seen.
fn each_bug_is_found() {
    for mutant in MUTANTS {
        let (before, begun) = (Remains::now().unwrap(), Instant::now());
        let found = (0..MOST).find_map(|number| {
            PLAYED.store(number, SeqCst);
            let played = Schedule::new(number, Some(Mixin::Mutated(mutant))).play();
            let ended = played.and_then(|()| Remains::since(&before).unwrap());
            ended.err().map(|wrong| (number + 1, wrong))
        });
        let (played, wrong) = found.unwrap_or_else(|| panic!("{mutant:?} keeps the laws"));
        let line = wrong.lines().next().unwrap_or_default();
        println!("{mutant:?}: schedule {played}, after {:.1?}: {line:.100}", begun.elapsed());
    }
}

/// What all threads of this process have taken.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let [user, system] = [usage.user_time(), usage.system_time()]
        .map(|time| Duration::new(time.tv_sec() as u64, 1000 * time.tv_usec() as u32));
    user + system
}

fn asked_for(what: &str, otherwise: u64) -> u64 {
    env::var(what).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What hangs would hang for ever.
fn watch(ended: &Receiver<()>) {
    let mut last = None;
    while ended.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
        let played = PLAYED.load(SeqCst);
        if last.replace(played) == Some(played) {
            eprintln!("schedule {played} hangs: {:?}", Schedule::new(played, None));
            process::abort();
        }
    }
}
