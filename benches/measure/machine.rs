//! The machine: which processor serves and which asks, how many descriptors there may be.

use std::fmt;
use std::fs;
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::support::Fallible;

/// Descriptors for what is not a living connection.
const OTHERS: u64 = 200;

/// What the measurements run on.
#[derive(Debug, Clone)]
pub struct Machine {
    server: usize,
    generator: usize,
    processors: usize,
    kernel: String,
    model: String,
    load: String,
}

impl Machine {
    /// The first processor is the server's, and the last the generator's, which is the same one
    /// where there is but one.
    pub fn new() -> Fallible<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let allowed: Vec<usize> =
            (0..CpuSet::count()).filter(|at| allowed.is_set(*at).unwrap_or(false)).collect();
        let [server, ..] = allowed[..] else { return Err("no processor".into()) };
        let generator = allowed[allowed.len() - 1];
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        Ok(Self {
            server,
            generator,
            processors: thread::available_parallelism()?.get(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').take(1).collect(),
            model: model.trim_start_matches(['\t', ' ', ':']).to_owned(),
        })
    }

    /// Runs what starts a server, which inherits the processor of the thread that starts it, and
    /// then has this thread be on the generator's.
    pub fn on_servers<V>(&self, start: impl FnOnce() -> V) -> Fallible<V> {
        pin(self.server)?;
        let value = start();
        pin(self.generator)?;
        Ok(value)
    }

    /// How many of so many connections can be alive at a time.
    pub fn allow_connections(wanted: u64) -> Fallible<u64> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let limit = soft.max(hard.min(wanted + OTHERS));
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard)?;
        Ok(wanted.min(limit.saturating_sub(OTHERS)))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, generator, processors, kernel, model, load } = self;
        write!(f, "{processors} processors ({model}), Linux {kernel}; ")?;
        write!(f, "the server on processor {server}, the load generator on {generator}; ")?;
        write!(f, "load average when it began: {load}")
    }
}

/// Has this thread, and what it starts, stay on one processor.
fn pin(processor: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}
