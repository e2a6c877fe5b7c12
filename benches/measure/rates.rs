//! Throughput, latency and processor time, ours and by hand in turn.

use std::fmt;
use std::time::Duration;

use super::generator::{Generator, Until};
use super::latency::Latency;
use super::machine::Machine;
use super::progress::Progress;
use super::server::Server;
use super::{Kind, Pair};
use crate::support::Fallible;
use crate::support::bound::BUFFER;
use crate::support::role::{Load, Strategy, Who};
use crate::twins::PROCESSES;
use crate::twins::pool::THREADS;

/// The workload that stands for a server where one has to.
pub const USUAL: (usize, usize) = (20, 16);

/// In megabytes: what a process may have that forks.
const HEAP: u32 = 1024;

/// How long a process takes to begin and to end, roughly.
const ENDS: Duration = Duration::from_millis(30);

/// What is measured: every combination of these.
#[derive(Debug, Clone)]
pub struct Grid {
    pub kinds: Vec<Kind>,
    /// Bytes of a request, and of its answer.
    pub payloads: Vec<usize>,
    /// How many clients ask at a time.
    pub callers: Vec<usize>,
    /// The same where connections are kept; more than the usual number where they wait in a table.
    pub kept: Vec<usize>,
    pub rounds: usize,
    /// Of one run.
    pub time: Duration,
}

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    pub kind: Kind,
    pub payload: usize,
    pub callers: usize,
    /// Whether connections serve for many requests.
    pub kept: bool,
    /// Megabytes that the server's process has in use before it forks.
    pub heap: u32,
}

/// What one run of one server gives.
#[derive(Debug, Clone)]
pub struct Run {
    pub per_second: f64,
    /// Of the server with its threads and children, per request, in microseconds.
    pub processor: f64,
    pub latency: Latency,
}

/// What the rounds of a server and its twin give.
#[derive(Debug)]
pub struct Cell {
    pub workload: Workload,
    pub runs: Pair<Vec<Run>>,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, payload, callers, kept, heap } = self;
        let kept = if *kept { ", kept" } else { "" };
        write!(f, "{kind}, {payload} B, {callers} clients{kept}")?;
        if *heap > 0 { write!(f, ", {heap} MB of heap") } else { Ok(()) }
    }
}

impl Workload {
    pub fn usual(kind: Kind) -> Self {
        let (payload, callers) = USUAL;
        Self { kind, payload, callers, kept: false, heap: 0 }
    }

    pub fn load(&self) -> Load {
        if self.kept { Load::Kept } else { Load::Clients }
    }

    /// Whether the server's buffer has room for what is asked at a time: a packet beyond it is
    /// lost, and the kernel counts up to twice as much for each as it has bytes.
    fn fits(&self) -> bool {
        let all = self.callers * 2 * (self.payload + 512);
        self.kind.transport.is_stream() || all <= 2 * BUFFER
    }
}

impl Grid {
    fn workloads(&self) -> Vec<Workload> {
        let mut all = Vec::new();
        for &kind in &self.kinds {
            for &payload in &self.payloads {
                for &callers in &self.callers {
                    all.push(Workload { kind, payload, callers, kept: false, heap: 0 });
                }
            }
            for &callers in &self.kept {
                // Who comes when there is nobody for it would wait for ever.
                let at_once = match kind.strategy {
                    Strategy::Sync => 1,
                    Strategy::ThreadPool => THREADS,
                    Strategy::PreForking => PROCESSES,
                    _ if kind.strategy.selects() => usize::MAX,
                    _ => USUAL.1,
                };
                if kind.transport.is_stream() && callers <= at_once {
                    all.push(Workload { kind, payload: USUAL.0, callers, kept: true, heap: 0 });
                }
            }
            if kind.strategy == Strategy::PreForking {
                all.push(Workload { heap: HEAP, ..Workload::usual(kind) });
            }
        }
        all.retain(Workload::fits);
        all
    }

    /// How many steps there will be, and how long all of them take.
    pub fn plan(&self) -> (usize, Duration) {
        let steps = self.workloads().len() * self.rounds;
        (steps, self.step() * steps as u32)
    }

    fn step(&self) -> Duration {
        2 * (self.time + ENDS)
    }

    /// Every workload in every round: what happens to the machine meanwhile happens to all.
    pub fn measure(&self, machine: &Machine, progress: &mut Progress) -> Fallible<Vec<Cell>> {
        let cell = |workload| Cell { workload, runs: Pair { ours: Vec::new(), twin: Vec::new() } };
        let mut cells: Vec<Cell> = self.workloads().into_iter().map(cell).collect();
        for round in 1..=self.rounds {
            for Cell { workload, runs } in &mut cells {
                progress.step(&format!("round {round}: {workload}"), self.step())?;
                for who in runs.turns() {
                    let run = run(workload, who, self.time, machine);
                    runs.of_mut(who)
                        .push(run.map_err(|error| format!("{who} {workload}: {error}"))?);
                }
            }
        }
        Ok(cells)
    }
}

/// The medians of the rounds' latencies.
pub fn latency(runs: &[Run]) -> Latency {
    Latency::median(&runs.iter().map(|run| &run.latency).collect::<Vec<_>>())
}

fn run(workload: &Workload, who: Who, time: Duration, machine: &Machine) -> Fallible<Run> {
    let server = Server::start(workload.kind.role(who, workload.load(), workload.heap), machine)?;
    let mut generator = Generator::new(workload, &server.address)?;
    let mut before = Duration::ZERO;
    let elsewhere = workload.kind.strategy.serves_elsewhere();
    if elsewhere {
        // What it costs to fork those who serve is not what their requests cost.
        let until_all_serve = Duration::from_millis(100 + 3 * u64::from(workload.heap));
        generator.run(Until::Time(until_all_serve))?;
        before = server.processor_time()?;
    }
    let answered = generator.run(Until::Time(time))?;
    let after = elsewhere.then(|| server.processor_time()).transpose()?;
    // The connections that are kept end, or the server would wait for them.
    drop(generator);
    let requests = answered.latencies.len() as f64;
    let all = server.stop()?;
    Ok(Run {
        per_second: requests / answered.elapsed.as_secs_f64(),
        processor: (after.unwrap_or(all) - before).as_secs_f64() * 1e6 / requests,
        latency: Latency::of(answered.latencies),
    })
}
