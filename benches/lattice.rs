//! The servers beside each other, and beside the same ones written by hand.
//!
//! `cargo bench`, or a part of it: `cargo bench -- rates`, `counts`, `instructions` or `growth`, with
//! the names of the transports and strategies that are wanted (`-- rates tcp sync threading`), and
//! `--rounds 3` for fewer rounds than seven. `--quick` is a look that proves only that it runs. Each
//! server is a process of its own: this program, run again. What comes of it is printed, and written
//! to `target/bench/report.html`; the counts are never above their ceilings, or it fails.
#![allow(unreachable_pub, reason = "a program has nothing outside of it")]

mod ceilings;
mod measure;
mod report;
#[allow(dead_code, reason = "shared with the test of system calls")]
mod support;
#[allow(dead_code, reason = "shared with the test of system calls")]
mod twins;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lexopt::prelude::*;
use measure::Kind;
use measure::counts::{Counts, Wanted};
use measure::growth::Growth;
use measure::machine::Machine;
use measure::progress::Progress;
use measure::rates::Grid;
use report::Results;
use support::role::{Role, Strategy, Transport};
use support::{Fallible, exit_code, serve};

/// What is said on the command line.
#[derive(Debug, Default)]
struct Asked {
    parts: Vec<String>,
    transports: Vec<Transport>,
    strategies: Vec<Strategy>,
    rounds: Option<usize>,
    quick: bool,
    /// Cargo says that it is a benchmark, and not a test that it does not break.
    bench: bool,
}

const PARTS: [&str; 4] = ["counts", "instructions", "rates", "growth"];

fn main() -> ExitCode {
    exit_code(match Role::of_this_process() {
        Ok(Some(role)) => serve::play(role),
        Ok(None) => Asked::parse().and_then(|asked| measure(&asked)),
        Err(error) => Err(error),
    })
}

impl Asked {
    fn parse() -> Fallible<Self> {
        let mut asked = Self::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("quick") => asked.quick = true,
                Long("bench") => asked.bench = true,
                Long("rounds") => asked.rounds = Some(parser.value()?.parse()?),
                Value(word) => asked.name(&word.string()?)?,
                other => return Err(other.unexpected().into()),
            }
        }
        asked.quick |= !asked.bench;
        Ok(asked)
    }

    fn name(&mut self, word: &str) -> Fallible<()> {
        if PARTS.contains(&word) {
            self.parts.push(word.into());
        } else if let Ok(transport) = word.parse() {
            self.transports.push(transport);
        } else if let Ok(strategy) = word.parse() {
            self.strategies.push(strategy);
        } else {
            return Err(format!("{word} is no part, transport or strategy").into());
        }
        Ok(())
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|named| named == part)
    }

    fn kinds(&self) -> Vec<Kind> {
        let named = |word: Transport| self.transports.is_empty() || self.transports.contains(&word);
        let chosen = |word: Strategy| self.strategies.is_empty() || self.strategies.contains(&word);
        let mut kinds = Vec::new();
        for &transport in Transport::ALL.iter().filter(|transport| named(**transport)) {
            for &strategy in Strategy::ALL.iter().filter(|strategy| chosen(**strategy)) {
                kinds.push(Kind { transport, strategy });
            }
        }
        kinds
    }

    fn grid(&self) -> Grid {
        let (kinds, rounds) = (self.kinds(), self.rounds());
        let (payloads, callers, time) = if self.quick {
            (vec![20], vec![1, 16], 20)
        } else {
            (vec![20, 1024, 8192], vec![1, 16, 64], 150)
        };
        Grid { kinds, payloads, callers, rounds, time: Duration::from_millis(time) }
    }

    fn growth(&self) -> Fallible<Growth> {
        let (most, time, sequence, parts) =
            if self.quick { (100, 20, 2_000, 4) } else { (10_000, 150, 1_000_000, 20) };
        let most = Machine::allow_connections(most)? as usize;
        let mut living: Vec<usize> =
            [1, 10, 100, 1000].into_iter().filter(|one| *one < most).collect();
        living.push(most);
        let (time, at_most) = (Duration::from_millis(time), Duration::from_secs(120));
        Ok(Growth { living, rounds: self.rounds(), time, sequence, at_most, parts })
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 7 }).max(1)
    }
}

fn measure(asked: &Asked) -> Fallible<()> {
    let machine = Machine::new()?;
    let kinds = asked.kinds();
    let wanted =
        Wanted { counts: asked.wants("counts"), instructions: asked.wants("instructions") };
    let (grid, growth) = (asked.grid(), asked.growth()?);
    let nothing = (0, Duration::ZERO);
    let plans = [
        wanted.plan(&kinds),
        if asked.wants("rates") { grid.plan() } else { nothing },
        if asked.wants("growth") { growth.plan(&kinds) } else { nothing },
    ];
    let (steps, time) =
        (plans.iter().map(|plan| plan.0).sum(), plans.iter().map(|plan| plan.1).sum());
    let mut progress = Progress::new(steps, time);

    let mut results = Results { about: about(asked, &machine), ..Results::default() };
    if wanted.counts || wanted.instructions {
        results.counts = wanted.count(&kinds, &mut progress)?;
    }
    if asked.wants("rates") {
        results.cells = grid.measure(&machine, &mut progress)?;
    }
    if asked.wants("growth") {
        results.alive = growth.living(&kinds, &machine, &mut progress)?;
        results.sequence = growth.sequence(&kinds, &machine, &mut progress)?;
    }
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
