//! A control group of its own, for the number of processes and threads in it (cgroups(7)).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::footprint::{Process, until};
use crate::served::Tested;

/// It is gone when this is dropped, and those who were in it have ended.
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

/// How many processes and threads there may be where this process is, in either version of cgroups(7);
/// where nothing says so, any number.
pub(crate) fn most_threads() -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|group| {
        let mut parts = group.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let root = match controllers {
            "" => "/sys/fs/cgroup",
            "pids" => "/sys/fs/cgroup/pids",
            _ => return None,
        };
        fs::read_to_string(format!("{root}{path}/pids.max")).ok()?.trim().parse().ok()
    });
    limits.min().unwrap_or(usize::MAX)
}
