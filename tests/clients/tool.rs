//! Programs that are run to their end.

use std::fmt::Display;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

use wait_timeout::ChildExt;

use crate::served::Tested;

/// Far beyond what any of them takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether a command can be run, and does what it is to do.
pub(crate) fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command, and returns all that it says.
pub(crate) fn run(command: &[&str]) -> Tested<String> {
    // Not a pipe, which would have to be emptied meanwhile.
    let mut said = tempfile::tempfile()?;
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?)
        .spawn()?;
    let status = child.wait_timeout(LIMIT)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let mut text = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => Err(failed(command, &status, &text)),
        None => Err(failed(command, &"it still runs", &text)),
    }
}

/// The words behind `label` on its line.
pub(crate) fn value<'a>(said: &'a str, label: &str) -> Tested<Vec<&'a str>> {
    let rest = said.lines().find_map(|line| line.trim_start().strip_prefix(label));
    Ok(rest.ok_or_else(|| format!("no {label:?} in\n{said}"))?.split_whitespace().collect())
}

/// The error of a command that has not said what it should have.
pub(crate) fn failed(
    command: &[&str],
    what: &dyn Display,
    said: &str,
) -> Box<dyn std::error::Error> {
    format!("{}: {what}\n{said}", command.join(" ")).into()
}
