//! What a process holds that a server might leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

/// The descriptors and threads of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Remains {
    descriptors: BTreeMap<String, PathBuf>,
    threads: BTreeMap<String, PathBuf>,
}

impl Remains {
    pub(super) fn now() -> io::Result<Self> {
        Ok(Self { descriptors: list("/proc/self/fd")?, threads: list("/proc/self/task")? })
    }

    /// What there is beyond what there was, in words; the last thread that was joined is given the
    /// time to leave the kernel's list.
    pub(super) fn since(before: &Self, patience: Duration) -> io::Result<Option<String>> {
        let until = Instant::now() + patience;
        loop {
            let now = Self::now()?;
            let descriptors = beyond(&now.descriptors, &before.descriptors);
            let threads = beyond(&now.threads, &before.threads);
            let children = children();
            if descriptors.is_empty() && threads.is_empty() && children.is_none() {
                return Ok(None);
            }
            // Only threads leave late.
            if !descriptors.is_empty() || children.is_some() || until <= Instant::now() {
                let say = |what: &str, which: Vec<String>| match which.is_empty() {
                    true => String::new(),
                    false => format!(" {what} {}", which.join(", ")),
                };
                let children = Vec::from_iter(children);
                let (threads, children) = (say("threads", threads), say("children", children));
                return Ok(Some(say("descriptors", descriptors) + &threads + &children));
            }
            thread::yield_now();
        }
    }
}

/// Reaps whatever a schedule that failed has left, so that the next begins with none.
pub(super) fn reap_leftovers() {
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some())
    {
    }
}

/// What there is to be said of children, where there are any.
fn children() -> Option<String> {
    match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        Err(Errno::ECHILD) => None,
        other => Some(format!("{other:?}")),
    }
}

fn list(directory: &str) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        // The descriptor of this very listing leads there.
        if !target.starts_with("/proc") {
            found.insert(entry.file_name().to_string_lossy().into_owned(), target);
        }
    }
    Ok(found)
}

fn beyond(now: &BTreeMap<String, PathBuf>, before: &BTreeMap<String, PathBuf>) -> Vec<String> {
    now.iter()
        .filter(|(name, target)| before.get(*name) != Some(target))
        .map(|(name, target)| format!("{name} {}", target.display()))
        .collect()
}
