//! The program, and what it says of the table.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod cluster;
pub mod crew;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wait_timeout::ChildExt;

pub type Outcome = Result<(), Box<dyn Error>>;

/// Far beyond what anything here needs, so that only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where the table is: what every call of the program says.
#[derive(Clone)]
pub struct Table(Vec<String>);

/// What has become of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub rows: u64,
    pub open: u64,
    pub finished: u64,
    pub again: u64,
    pub reclaimed: u64,
    pub aside: u64,
}

impl Table {
    pub fn sqlite(path: &Path) -> Self {
        Self(vec!["--sqlite".into(), path.display().to_string()])
    }

    pub fn postgres(config: &str) -> Self {
        Self(vec!["--postgres".into(), config.into()])
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_table"));
        command.args(words).args(&self.0).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs the program to its end, which has to be a good one. Returns what it has said.
    pub fn run(&self, words: &[&str]) -> Result<String, Box<dyn Error>> {
        let mut child = self.command(words).stdout(Stdio::piped()).spawn()?;
        end_well(&mut child)?;
        let mut said = String::new();
        child.stdout.take().ok_or("it has a stdout")?.read_to_string(&mut said)?;
        Ok(said)
    }

    pub fn fill(&self, rows: usize, body: &str) -> Outcome {
        self.run(&["fill", "--rows", &rows.to_string(), "--body", body]).map(drop)
    }

    pub fn count(&self) -> Result<Count, Box<dyn Error>> {
        let said = self.run(&["report"])?;
        let numbers = said.trim().split(", ").map(|part| {
            part.rsplit(' ')
                .next()
                .unwrap_or_default()
                .parse()
                .map_err(|error| format!("{part}: {error}"))
        });
        let numbers = numbers.collect::<Result<Vec<u64>, _>>()?;
        let [rows, open, finished, again, reclaimed, aside] = numbers[..] else {
            return Err(format!("not a report: {said}").into());
        };
        Ok(Count { rows, open, finished, again, reclaimed, aside })
    }
}

/// A process that serves until it is told to end, or dropped.
pub struct Served {
    table: Table,
    child: Child,
}

impl Served {
    pub fn start(table: &Table, words: &[&str]) -> Result<Self, Box<dyn Error>> {
        let child = table.command(&[&["serve"], words].concat()).spawn()?;
        Ok(Self { table: table.clone(), child })
    }

    /// Waits until so many rows are finished.
    pub fn has_finished(&mut self, rows: u64) -> Outcome {
        let late = Instant::now() + PATIENCE;
        while self.table.count()?.finished < rows {
            if let Some(status) = self.child.wait_timeout(Duration::from_millis(20))? {
                return Err(format!("it has ended: {status}").into());
            }
            if late < Instant::now() {
                return Err(format!("{rows} are not finished: {:?}", self.table.count()?).into());
            }
        }
        Ok(())
    }

    pub fn stop(mut self) -> Outcome {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        end_well(&mut self.child)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a good end.
pub fn end_well(child: &mut Child) -> Outcome {
    match child.wait_timeout(PATIENCE)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(status.to_string().into()),
        None => {
            child.kill()?;
            child.wait()?;
            Err(format!("still running after {PATIENCE:?}").into())
        }
    }
}

/// The rows that have been handled by what they wrote, and how often at all.
pub fn handled(output: &Path) -> Result<(BTreeSet<u64>, usize), Box<dyn Error>> {
    let text = fs::read_to_string(output)?;
    let numbers = text.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    Ok((numbers.iter().copied().collect(), numbers.len()))
}
