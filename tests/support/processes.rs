//! Other processes, looked at from outside.

use std::error::Error;
use std::fs;
use std::io;
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::net::PATIENCE;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

pub fn pid(number: u32) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(number)?))
}

pub fn signal(process: u32, signal: Signal) -> Result {
    Ok(kill(pid(process)?, signal)?)
}

/// A child's end, which is left for the server to see.
pub fn peek(child: u32) -> Result<WaitStatus> {
    Ok(waitid(Id::Pid(pid(child)?), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?)
}

pub fn no_child_is_left() -> bool {
    waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD)
}

/// The children of a process, with their states.
pub fn children_of(parent: u32) -> io::Result<Vec<String>> {
    let parent = parent.to_string();
    let mut states = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // A process may end while it is looked at.
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<_> = rest.split_whitespace().take(2).collect();
        if fields.get(1) == Some(&&*parent) {
            states.push(fields[0].to_owned());
        }
    }
    Ok(states)
}

/// Whether the process is there, and no zombie.
pub fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until it is as `what` says.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) -> Result {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return Err(format!("never: {what}").into());
        }
        thread::yield_now();
    }
    Ok(())
}

/// What the descriptors of this process are, but for those of stdio.
pub fn descriptors() -> io::Result<Vec<String>> {
    let mut held = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number: u32 = entry.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        let what = fs::read_link(entry.path())?.to_string_lossy().into_owned();
        // The one that they are read through is not counted.
        if number > 2 && !what.ends_with("/fd") {
            held.push(what.split('[').next().unwrap_or_default().to_owned());
        }
    }
    held.sort();
    Ok(held)
}
