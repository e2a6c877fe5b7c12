//! The system calls per request, from a log of strace(1).

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::process::{Command, Stdio};

use super::Fallible;
use super::role::{Load, Role};

/// How often each system call was made, by all threads and processes of the server together.
pub type Calls = BTreeMap<String, u32>;

/// What std and the C library do for a thread that is started.
const STARTS_A_THREAD: [&str; 12] = [
    "brk",
    "clone3",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "rseq",
    "rt_sigprocmask",
    "sched_getaffinity",
    "set_robust_list",
    "sigaltstack",
];

/// Whether there is an strace, and it may trace.
pub fn is_there() -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-qq", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Runs a paced role, or one whose requests wait, and counts what its server does in the requests
/// that count.
pub fn count(role: Role) -> Fallible<Calls> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let log = path.to_str().ok_or("the temporary directory's name is not UTF-8")?;
    let strace = ["strace", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o", log];
    let mut command = role.command(&strace)?;
    if role.load != Load::Waiting {
        // One arena, so that a thread's first allocation maps no memory of its own. Where several
        // begin at a time, they would wait for each other there.
        command.env("MALLOC_ARENA_MAX", "1");
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{role}: {}\n{said}", output.status).into());
    }
    parse(&fs::read_to_string(&path)?)
}

/// How many calls a request takes while others wait, and which: without those that start a thread,
/// as it is a matter of chance how many threads there are.
pub fn while_others_wait(role: Role) -> Fallible<(f64, Calls)> {
    let mut calls = count(role)?;
    calls.retain(|name, _| !STARTS_A_THREAD.contains(&name.as_str()));
    // Each ends in one of these, and there is no other.
    let end = if role.transport.is_stream() { "shutdown" } else { "sendto" };
    let ended = calls.get(end).copied().ok_or("no request has ended")?;
    Ok((f64::from(calls.values().sum::<u32>()) / f64::from(ended), calls))
}

/// Counts between getpgid(2) and getsid(2), which `pace` and `load` make, and leaves out what
/// stands between two calls of getppid(2) on one thread.
fn parse(log: &str) -> Fallible<Calls> {
    let mut calls = Calls::new();
    let mut in_hook = HashSet::new();
    let mut counting = None;
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').ok_or_else(|| format!("what is {line:?}?"))?;
        // "<... resumed>" is the second half of a call, "+++ exited" is none.
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        if name.starts_with(['<', '+', '-']) || (cfg!(debug_assertions) && is_debug_check(rest)) {
            continue;
        }
        match name {
            "getppid" if !in_hook.remove(thread) => drop(in_hook.insert(thread)),
            "getppid" => {}
            "getpgid" => counting = Some(true),
            "getsid" => counting = Some(false),
            _ if counting == Some(true) && !in_hook.contains(thread) => {
                *calls.entry(name.to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }
    if counting == Some(false) { Ok(calls) } else { Err("the log has not both marks".into()) }
}

/// With debug assertions, `std` looks whether a descriptor is open before it closes it.
fn is_debug_check(call: &str) -> bool {
    call.trim_start().starts_with("fcntl(") && call.contains("F_GETFD")
}
