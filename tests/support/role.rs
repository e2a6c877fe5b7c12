//! Parts that a test binary with `harness = false` plays beside its cases, in a process of their
//! own that the case starts: a client, a server whose whole life is looked at from outside.

use std::env;
use std::error::Error;
use std::io;
use std::process::{Child, Command, ExitCode, Stdio};

use wait_timeout::ChildExt;

use super::net::PATIENCE;

/// A part: its name, and what it does with its arguments.
pub type Role = (&'static str, fn(&[String]) -> Result<(), Box<dyn Error>>);

const ROLE: &str = "SOCKETSERVER_TEST_ROLE";

/// Plays the part that this process was started for, if it was.
pub fn play(roles: &[Role]) -> Option<ExitCode> {
    let wanted = env::var(ROLE).ok()?;
    let Some((_, role)) = roles.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no role is named {wanted}");
        return Some(ExitCode::from(2));
    };
    let arguments: Vec<String> = env::args().skip(1).collect();
    Some(match role(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// What starts this binary in the part `role`; its stdout is the caller's to read.
pub fn command(role: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// Waits until the part has been played; one that hangs is killed and has failed.
pub fn finished(mut child: Child) -> Result<(), Box<dyn Error>> {
    match child.wait_timeout(PATIENCE)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("the role ended with {status}").into()),
        None => {
            child.kill()?;
            child.wait()?;
            Err("the role did not end".into())
        }
    }
}
