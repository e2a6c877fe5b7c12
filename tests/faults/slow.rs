//! Slow clients: slowhttptest(1) against the example as a web server, and a client that wants a
//! page meanwhile.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use wait_timeout::ChildExt;

use crate::footprint::{Process, until};
use crate::served::{LIMIT, STRATEGIES, Served, Tested, get};
use crate::subject;
use crate::time::let_pass;
use crate::trials::{Need, SLOWHTTPTEST, trial};

/// So many connections, and for so long; few where they last, and 40 are the most at a time.
const MANY: (&str, &str) = ("1000", "4");
const FEW: (&str, &str) = ("30", "3");
/// How often somebody wants a page meanwhile, and how many have to be had.
const EVERY: Duration = Duration::from_millis(20);
const FEWEST: usize = 3;

/// The modes of slowhttptest(1). The example reads bodies of this length, and answers many ranges at
/// once.
const MODES: [(&str, &[&str]); 4] = [
    ("headers", &["-H", "-i", "1"]),
    ("bodies", &["-B", "-i", "1", "-s", "50000"]),
    ("readers", &["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32"]),
    ("ranges", &["-R", "-a", "5", "-b", "2000"]),
];

pub(crate) fn trials() -> Vec<Trial> {
    // Under `Sync` one slow client is enough, and in several processes as many.
    let strategies =
        STRATEGIES.into_iter().filter(|strategy| !["sync", "pre-forking"].contains(strategy));
    let each = |strategy: &'static str| {
        MODES.map(|(mode, options)| {
            // A slow client holds what it has; under the others that is a place in a table, or a
            // thread of as many as there are.
            let bounded = strategy.contains("fork") || strategy == "thread-pool";
            let load = if bounded && mode != "ranges" { FEW } else { MANY };
            let name = format!("slow_{mode}_{strategy}");
            trial(name, &[SLOWHTTPTEST, Need::Ours], move || attacked(strategy, options, load))
        })
    };
    strategies.flat_map(each).collect()
}

fn attacked(strategy: &str, mode: &[&str], (connections, seconds): (&str, &str)) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("large"), vec![b'l'; 1 << 20])?;
    fs::write(folder.path().join("small"), b"small")?;
    let dir = folder.path().to_str().ok_or("not UTF-8")?;
    // More than there are slow clients: of threads, or of threads in processes.
    let workers = if strategy == "thread-pool" { "40" } else { "8" };
    let options = ["--strategy", strategy, "--workers", workers];
    let server = Served::start(&[&options[..], &["--addr", "127.0.0.1:0", "--dir", dir]].concat())?;
    let process = subject::process(&server);
    let forked = strategy.starts_with("pre-forking");
    if forked {
        until("all workers", LIMIT, || Ok(process.children()?.len() == 8))?;
    }
    let in_hand = || match forked {
        true => process.children()?.into_iter().map(|worker| Process(worker).in_hand()).sum(),
        false => process.in_hand(),
    };
    let alone = in_hand()?;

    let mut attack = Command::new("slowhttptest");
    attack.args(mode).args(["-c", connections, "-r", "500", "-l", seconds, "-p", "5"]);
    attack.args(["-u", &format!("http://{}/large", server.address)]);
    let mut attack = attack.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let (mut probes, mut most) = (Vec::new(), 0);
    while attack.try_wait()?.is_none() {
        let begun = Instant::now();
        if get(&server.address, "/small")?.text() != "small" {
            return Err("the page is another".into());
        }
        probes.push(begun.elapsed());
        most = most.max(in_hand()?.saturating_sub(alone));
        if attack.wait_timeout(EVERY)?.is_some() || probes.len() > 5000 {
            break;
        }
    }
    // It may be late: a limit for what is not the server's.
    attack.kill()?;
    attack.wait()?;
    let gone = until("the attackers are gone", 2 * LIMIT, || Ok(in_hand()? <= alone))?;
    let_pass(EVERY);
    probes.sort();
    let at = |part: usize| probes[(probes.len() - 1) * part / 100];
    let figures = format!(
        "{most} at a time; {} pages meanwhile, all right, median {:.1?}, 99 % {:.1?}, slowest \
         {:.1?}; none left {gone:.1?} after the end",
        probes.len(),
        at(50),
        at(99),
        at(100)
    );
    if probes.len() < FEWEST { Err(figures.into()) } else { Ok(figures) }
}
