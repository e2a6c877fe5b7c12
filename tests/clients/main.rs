//! Clients that others have written, against the example `serve` under every strategy: each request
//! has to succeed. Those that are not installed are left out, and the line of each says so;
//! slowhttptest is among the faults.

mod browser;
mod http;
mod redis;
mod tool;

#[path = "../support/served.rs"]
mod served;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use served::{STRATEGIES, Tested};
use tool::is_there;

fn main() -> ExitCode {
    let clients = [http::CLIENTS, browser::CLIENTS, redis::CLIENTS].concat();
    let trials = STRATEGIES.iter().flat_map(|strategy| {
        clients.iter().map(|(name, tool, run)| trial(strategy, name, tool, *run))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A client: its name, the program that it is, and what it does to a server of a strategy.
type Client = (&'static str, &'static str, fn(strategy: &'static str) -> Tested);

fn trial(strategy: &'static str, name: &str, tool: &str, run: fn(&'static str) -> Tested) -> Trial {
    let missing = !is_there(tool);
    let trial = Trial::test(format!("{name}_{strategy}"), move || {
        run(strategy).map_err(|error| Failed::from(error.to_string()))
    });
    let kind = if missing { format!("there is no {tool} here") } else { String::new() };
    trial.with_kind(kind).with_ignored_flag(missing)
}

/// How many connections a client may hold at a time, where it waits for all of them: `Forking` has
/// 40 children at most.
fn connections(strategy: &str) -> &'static str {
    if strategy == "sync" { "1" } else { "20" }
}
