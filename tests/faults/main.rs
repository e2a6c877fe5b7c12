//! Faults: what the system, the network and the peers do to a server, done to it on purpose, and
//! what it costs. Each trial prints its figures; docs/reliability.md has them beside those of others.
//!
//! The server is the example `serve`, looked at from outside. Another one can take its place:
//! `FAULTS_SERVER` is its command, given `--strategy`, `--mode` and `--addr` as the example is
//! (`python3 tests/faults/peers/server.py`, say), and `FAULTS_ASK=http` has it asked for a page and
//! not for an echo. Trials that need a tool or a privilege that is not there are ignored, and the
//! line of each says what it lacks.

mod cgroup;
mod crowd;
mod cut;
mod cycles;
mod errors;
mod flood;
mod killed;
mod network;
mod refused;
mod silent;
mod slow;
mod storm;
mod subject;
mod trials;
mod trickle;

#[path = "../support/footprint.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests share it, and look at more")]
mod footprint;
#[path = "../support/net.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod net;
#[path = "../support/role.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod role;
#[path = "../support/served.rs"]
mod served;
#[path = "../support/signals.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod signals;
#[path = "../support/time.rs"]
mod time;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let roles: [role::Role; 5] = [
        ("cycles", cycles::cycles),
        ("flooded", flood::flooded),
        ("hurried", trickle::hurried),
        ("limited", crowd::limited),
        ("reply", cut::reply),
    ];
    if let Some(code) = role::play(&roles) {
        return code;
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials::all());
    trials::print_figures();
    conclusion.exit_code()
}
