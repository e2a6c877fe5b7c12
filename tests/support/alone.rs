//! Tests that each run in a process of their own, on its only thread: those that fork, and those
//! that end the process.
//!
//! A test binary with `harness = false` lists its cases; it runs itself once for each, and a case
//! that hangs is killed and has failed.

use std::env;
use std::error::Error;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use wait_timeout::ChildExt;

/// A case: its name, and what it does.
pub type Case = (&'static str, fn() -> Result<(), Box<dyn Error>>);

const CASE: &str = "SOCKETSERVER_TEST_CASE";
/// Far beyond what any case needs, so that only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// The `main` of such a binary.
pub fn run(cases: &'static [Case]) -> ExitCode {
    if let Ok(wanted) = env::var(CASE) {
        let Some((_, case)) = cases.iter().find(|(name, _)| *name == wanted) else {
            eprintln!("no case is named {wanted}");
            return ExitCode::from(2);
        };
        return match case() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let trial = |(name, _): &Case| Trial::test(*name, || in_own_process(name));
    libtest_mimic::run(&Arguments::from_args(), cases.iter().map(trial).collect()).exit_code()
}

fn in_own_process(name: &'static str) -> Result<(), Failed> {
    // Not a pipe: a child that the case has left behind would hold it open.
    let mut said = tempfile::tempfile()?;
    let mut child = Command::new(env::current_exe()?)
        .env(CASE, name)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .spawn()?;
    let status = child.wait_timeout(LIMIT)?;
    // Whatever the case has started ends with it; usually there is nothing left (ESRCH).
    let _ = killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL);
    child.wait()?;
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{text}").into()),
        None => Err(format!("still running after {LIMIT:?}: killed\n{text}").into()),
    }
}
