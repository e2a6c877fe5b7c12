//! What another process holds, what it has used, and what it may use.

use std::error::Error;
use std::fs;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::time::let_pass;

type Looked<T = ()> = Result<T, Box<dyn Error>>;

/// Lets this process have as many descriptors as it may have at most, and says how many.
pub fn lift_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// A process by its id.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    fn file(self, name: &str) -> Looked<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{name}", self.0))?)
    }

    fn count(self, folder: &str) -> Looked<usize> {
        Ok(fs::read_dir(format!("/proc/{}/{folder}", self.0))?.count())
    }

    pub fn descriptors(self) -> Looked<usize> {
        self.count("fd")
    }

    pub fn threads(self) -> Looked<usize> {
        self.count("task")
    }

    /// The children, those that have ended and not been reaped among them.
    pub fn children(self) -> Looked<Vec<u32>> {
        let all = self.file(&format!("task/{}/children", self.0))?;
        all.split_whitespace().map(|id| Ok(id.parse()?)).collect()
    }

    /// How many threads and processes it is, its children and theirs included.
    pub fn crowd(self) -> Looked<usize> {
        Ok(self.threads()? + self.descendants()?)
    }

    /// How many requests it has, beside what it always has: its sockets, and its children and
    /// theirs, which have one each.
    pub fn in_hand(self) -> Looked<usize> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.0))?;
        let sockets = entries.flatten().filter(|entry| {
            // One that has been closed meanwhile is none.
            fs::read_link(entry.path()).is_ok_and(|at| at.to_string_lossy().starts_with("socket:"))
        });
        Ok(sockets.count() + self.descendants()?)
    }

    fn descendants(self) -> Looked<usize> {
        let children = self.children()?;
        // One that has ended meanwhile has none.
        let theirs =
            children.iter().map(|child| Self(*child).children().map_or(0, |all| all.len()));
        Ok(children.len() + theirs.sum::<usize>())
    }

    /// The time it has used, in hundredths of a second.
    pub fn ticks(self) -> Looked<u64> {
        let stat = self.file("stat")?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        // utime and stime: the 14th and the 15th field, of which two stand before the parenthesis.
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| Ok(ticks.parse::<u64>()?)).sum()
    }

    /// A size from `status`, in KiB.
    pub fn memory(self, name: &str) -> Looked<u64> {
        let status = self.file("status")?;
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such size")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }

    /// Limits its descriptors.
    pub fn limit_descriptors(self, most: usize) -> Looked {
        let limit = format!("--nofile={most}:");
        let done = Command::new("prlimit").args(["--pid", &self.0.to_string(), &limit]).status()?;
        if done.success() { Ok(()) } else { Err("prlimit fails".into()) }
    }
}

/// Looks until `done` says so, as nothing tells of what goes on in another process; returns how long
/// that took.
pub fn until(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> Looked<bool>,
) -> Looked<Duration> {
    let begun = Instant::now();
    while !done()? {
        if begun.elapsed() > limit {
            return Err(format!("after {limit:?} still waiting: {what}").into());
        }
        let_pass(Duration::from_millis(2));
    }
    Ok(begun.elapsed())
}
