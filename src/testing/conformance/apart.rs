//! A check in a process of its own: what a server leaves behind is seen in what the whole process
//! holds, and a piece that hangs, hangs nobody else.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Command, Stdio};

use super::law::Broken;
use super::runner::{Kept, NUMBER};

/// The name of the one test that the process was started for.
const APART: &str = "SOCKETSERVER_APART";
const VERDICT: &str = "----- the laws -----";
const KEPT: &str = "kept: ";

/// Whether nothing but the check happens in this process.
pub(super) fn is_alone() -> bool {
    let threads = || fs::read_dir("/proc/self/task").map(Iterator::count);
    env::var_os(APART).is_some() || threads().is_ok_and(|count| count == 1)
}

/// The body of a test that [`keeps_the_laws!`](crate::testing::keeps_the_laws) makes.
///
/// # Panics
///
/// Where a law broke, with what is to be said of it.
#[doc(hidden)]
#[track_caller]
pub fn check_apart(test: &str, check: impl FnOnce() -> Result<Kept, Box<Broken>>) {
    if env::var_os(APART).is_some_and(|name| name == *test) {
        let verdict = match check() {
            Ok(kept) => format!("{KEPT}{kept}"),
            Err(broken) => broken.to_string(),
        };
        let _ = writeln!(io::stdout(), "\n{VERDICT}\n{verdict}\n{VERDICT}");
        // Nobody listens any more, and what the piece has left need not end.
        process::exit(0);
    }
    let verdict = verdict_of(test)
        .unwrap_or_else(|error| format!("the laws could not be checked in a new process: {error}"));
    let Some(kept) = verdict.strip_prefix(KEPT) else { panic!("{verdict}") };
    if env::var_os(NUMBER).is_some() {
        let _ = writeln!(io::stderr(), "{test}: {}", kept.trim_end());
    }
}

/// Runs the test once more in a process of its own, and hears what that says.
fn verdict_of(test: &str) -> io::Result<String> {
    let (_, name) = test.split_once("::").unwrap_or(("", test));
    let mut child = Command::new(env::current_exe()?)
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(APART, test)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut verdict = None;
    // Up to the verdict's end and no further: what the piece has left behind may hold the pipe open.
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line?;
        match &mut verdict {
            None if line == VERDICT => verdict = Some(String::new()),
            None => {}
            Some(_) if line == VERDICT => break,
            Some(verdict) => {
                verdict.push_str(&line);
                verdict.push('\n');
            }
        }
    }
    let status = child.wait()?;
    verdict.ok_or_else(|| io::Error::other(format!("it said nothing of them, and has {status}")))
}
