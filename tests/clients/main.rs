//! Clients that others have written, against the example `serve` under every strategy: each request
//! has to succeed; and a browser that looks at the example `status`. Those that are not installed are left out, and the line of each says so;
//! slowhttptest is among the faults.

mod browser;
mod devtools;
mod http;
mod redis;
mod sends;
mod status;
mod tool;

#[path = "../support/footprint.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests share it, and look at more")]
mod footprint;
#[path = "../support/served.rs"]
mod served;
#[path = "../support/time.rs"]
mod time;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use served::{STRATEGIES, Tested};
use tool::works;

fn main() -> ExitCode {
    let clients = [http::CLIENTS, browser::CLIENTS, redis::CLIENTS, sends::CLIENTS].concat();
    let trials = STRATEGIES
        .iter()
        .flat_map(|strategy| clients.iter().map(|client| trial(strategy, *client)));
    let page = [
        whole("chromium_shows_the_status_page", &["which", "chromium"], status::shows_a_thousand),
        whole("the_status_page_obeys_itself_alone", &["true"], status::obeys_its_own_page_alone),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.chain(page).collect()).exit_code()
}

/// A client: its name, a command that fails where it can't be had, and what it does to a server of a
/// strategy.
type Client = (&'static str, &'static [&'static str], fn(strategy: &'static str) -> Tested);

fn trial(strategy: &'static str, (name, probe, run): Client) -> Trial {
    whole(&format!("{name}_{strategy}"), probe, move || run(strategy))
}

/// A trial of one's own server.
fn whole(name: &str, probe: &[&str], run: impl FnOnce() -> Tested + Send + 'static) -> Trial {
    let lack = (!works(probe)).then(|| format!("`{}` fails here", probe.join(" ")));
    let run = move || run().map_err(|error| Failed::from(error.to_string()));
    let trial = Trial::test(name, run);
    trial.with_ignored_flag(lack.is_some()).with_kind(lack.unwrap_or_default())
}

/// How many connections a client may hold at a time, where it waits for all of them: `Forking` has
/// 40 children at most.
fn connections(strategy: &str) -> &'static str {
    if strategy == "sync" { "1" } else { "20" }
}

/// How many workers there have to be so that each of those is served.
fn workers(strategy: &str) -> &'static str {
    if matches!(strategy, "thread-pool" | "pre-forking") { "20" } else { "5" }
}
