//! The servers beside each other, and beside the same ones written by hand.
//!
//! `cargo bench`, or a part of it: `cargo bench -- rates`, `counts`, `instructions` or `growth`,
//! with the names of the transports and strategies that are wanted (`-- rates tcp sync threading`),
//! and `--rounds 3` for fewer rounds than seven. `--quick` is a look that proves only that it runs.
//! Each server is a process of its own: this program, run again. What comes of it is printed, and
//! written to `target/bench/report.html`. Where a count is above its ceiling, it fails.
#![allow(unreachable_pub, reason = "a program has nothing outside of it")]

mod measure;
mod report;
#[allow(dead_code, reason = "shared with the test of system calls")]
mod support;
#[allow(dead_code, reason = "shared with the test of system calls")]
mod twins;

use std::process::ExitCode;
use std::time::SystemTime;

use measure::asked::Asked;
use measure::counts::Counts;
use measure::machine::Machine;
use measure::progress::Progress;
use report::Results;
use support::role::Role;
use support::{Fallible, exit_code, serve};

fn main() -> ExitCode {
    exit_code(match Role::of_this_process() {
        Ok(Some(role)) => serve::play(role),
        Ok(None) => Asked::parse().and_then(|asked| measure(&asked)),
        Err(error) => Err(error),
    })
}

fn measure(asked: &Asked) -> Fallible<()> {
    let machine = Machine::new()?;
    let (counting, grid) = (asked.counting(), asked.grid());
    let (crowd, sequence) = (asked.crowd()?, asked.sequence());
    let plans = [counting.plan(), grid.plan(), crowd.plan(), sequence.plan()];
    let mut progress = Progress::new(&plans);
    let results = Results {
        about: about(asked, &machine),
        counts: counting.measure(&mut progress)?,
        cells: grid.measure(&machine, &mut progress)?,
        alive: crowd.measure(&machine, &mut progress)?,
        sequence: sequence.measure(&machine, &mut progress)?,
    };
    progress.end()?;
    let page = report::write(&results)?;
    println!("The pictures are in {}", page.display());
    let broken: Vec<String> = results.counts.iter().flat_map(Counts::broken).collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

fn about(asked: &Asked, machine: &Machine) -> Vec<String> {
    let quick = if asked.quick { "; a quick look, in which times mean nothing" } else { "" };
    vec![
        format!(
            "{}, version {}",
            httpdate::fmt_http_date(SystemTime::now()),
            env!("CARGO_PKG_VERSION")
        ),
        machine.to_string(),
        format!("rounds: {}, in each of which ours and by hand take turns{quick}", asked.rounds()),
    ]
}
