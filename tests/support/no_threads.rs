//! Where a process may have no more threads.

use std::error::Error;
use std::{fs, io};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::unistd::gettid;

use super::processes::eventually;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// What there was before.
pub struct NoFurther(rlim_t, rlim_t);

/// No address space for another stack. Not before all threads of this process have begun, and wait: one
/// of which the system knows has no stack for signals yet, and ends the process where it gets none.
pub fn allow_no_further_thread() -> Result<NoFurther> {
    eventually("all others wait", || others_wait().unwrap_or(false))?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_AS)?;
    let status = fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).ok_or("no VmSize")?;
    let size: u64 = size.trim().trim_end_matches("kB").trim().parse()?;
    setrlimit(Resource::RLIMIT_AS, (size + 1024) * 1024, hard)?;
    Ok(NoFurther(soft, hard))
}

fn others_wait() -> io::Result<bool> {
    let own = gettid().to_string();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        let stat = fs::read_to_string(task.path().join("stat"))?;
        let waits = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        if !waits && *task.file_name() != *own {
            return Ok(false);
        }
    }
    Ok(true)
}

impl NoFurther {
    /// There may be some again.
    pub fn lift(self) -> io::Result<()> {
        Ok(setrlimit(Resource::RLIMIT_AS, self.0, self.1)?)
    }
}
