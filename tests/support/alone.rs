//! Tests that each run in a process of their own, on its only thread: those that fork, and those
//! that end the process.
//!
//! A test binary with `harness = false` lists its cases; it runs itself once for each, and a case
//! that hangs is killed and has failed.

use std::env;
use std::error::Error;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
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
    let mut child = Command::new(env::current_exe()?)
        .env(CASE, name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = child.wait_timeout(LIMIT)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        // A grandchild that is left over holds the pipe open: it is part of the failure.
        if status.is_some_and(|status| !status.success()) {
            stderr.read_to_string(&mut said)?;
        }
    }
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{said}").into()),
        None => Err(format!("still running after {LIMIT:?}: killed").into()),
    }
}
