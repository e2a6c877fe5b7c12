//! Processes from outside: what they hold, what they have used, what they may.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::served::Tested;
use crate::time::let_pass;

/// A process by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    fn file(self, name: &str) -> Tested<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{name}", self.0))?)
    }

    fn count(self, folder: &str) -> Tested<usize> {
        Ok(fs::read_dir(format!("/proc/{}/{folder}", self.0))?.count())
    }

    pub(crate) fn descriptors(self) -> Tested<usize> {
        self.count("fd")
    }

    pub(crate) fn threads(self) -> Tested<usize> {
        self.count("task")
    }

    /// The children, those that have ended and not been reaped among them.
    pub(crate) fn children(self) -> Tested<Vec<u32>> {
        let all = self.file(&format!("task/{}/children", self.0))?;
        all.split_whitespace().map(|id| Ok(id.parse()?)).collect()
    }

    /// The time it has used, in hundredths of a second.
    pub(crate) fn ticks(self) -> Tested<u64> {
        let stat = self.file("stat")?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        // utime and stime: the 14th and the 15th field, of which two stand before the parenthesis.
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| Ok(ticks.parse::<u64>()?)).sum()
    }

    /// A size from `status`, in KiB.
    pub(crate) fn memory(self, name: &str) -> Tested<u64> {
        let status = self.file("status")?;
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such size")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }

    /// Limits its descriptors.
    pub(crate) fn limit_descriptors(self, most: usize) -> Tested {
        let limit = format!("--nofile={most}:");
        let done = Command::new("prlimit").args(["--pid", &self.0.to_string(), &limit]).status()?;
        if done.success() { Ok(()) } else { Err("prlimit fails".into()) }
    }
}

/// Looks until `done` says so; returns how long that took.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> Tested<bool>,
) -> Tested<Duration> {
    let begun = Instant::now();
    while !done()? {
        if begun.elapsed() > limit {
            return Err(format!("after {limit:?} still waiting: {what}").into());
        }
        let_pass(Duration::from_millis(2));
    }
    Ok(begun.elapsed())
}

/// A control group of its own, for the number of processes and threads in it (cgroups(7)).
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    pub(crate) fn new(name: &str) -> Tested<Self> {
        // Version 1 has a hierarchy for it; where there is only version 2, the root has it.
        let first = Path::new("/sys/fs/cgroup/pids");
        let root = if first.is_dir() { first } else { Path::new("/sys/fs/cgroup") };
        let folder = root.join(format!("socketserver-{name}-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("no pids group can be made: {error}"))?;
        let group = Self(folder);
        if group.0.join("pids.max").exists() { Ok(group) } else { Err("no pids group here".into()) }
    }

    pub(crate) fn add(&self, process: Process) -> Tested {
        Ok(fs::write(self.0.join("cgroup.procs"), process.0.to_string())?)
    }

    pub(crate) fn limit(&self, most: usize) -> Tested {
        Ok(fs::write(self.0.join("pids.max"), most.to_string())?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Those who were in it have been killed, and may not be gone.
        let gone = || Ok(fs::remove_dir(&self.0).is_ok());
        let _ = until("an empty group", Duration::from_secs(5), gone);
    }
}
