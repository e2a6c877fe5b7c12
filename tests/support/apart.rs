//! A server in a process that the test forks for it: one with a single thread, as strategies that fork
//! need it, while the test's own process may have as many clients as it likes.

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::net::PATIENCE;
use super::processes::signal;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The process of a server.
pub struct Apart {
    pid: Pid,
    said: UnixStream,
}

impl Apart {
    /// Runs `serve` in a process of its own; called from the only thread of this one. What it returns
    /// is what [`end`](Self::end) does.
    pub fn run(serve: impl FnOnce() -> Result<String>) -> Result<Self> {
        let (ours, mut theirs) = UnixStream::pair()?;
        // SAFETY: there is one thread, and the child ends here.
        #[allow(unsafe_code, reason = "an application may fork by itself")]
        match unsafe { fork() }? {
            ForkResult::Child => {
                drop(ours);
                let (code, text) = match serve() {
                    Ok(text) => (0, text),
                    Err(error) => (1, error.to_string()),
                };
                let _ = theirs.write_all(text.as_bytes());
                // SAFETY: always allowed; it does not return.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                ours.set_read_timeout(Some(PATIENCE))?;
                Ok(Self { pid: child, said: ours })
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    pub fn signal(&self, which: Signal) -> Result {
        signal(self.pid(), which)
    }

    /// What it has returned; an error of its own is one here.
    pub fn end(mut self) -> Result<String> {
        let mut text = String::new();
        // All processes that have the other end have to end for that, its workers among them.
        let read = self.said.read_to_string(&mut text);
        if read.is_err() {
            self.signal(Signal::SIGKILL)?;
        }
        match waitpid(self.pid, None)? {
            WaitStatus::Exited(_, 0) => read.map(|_| text).map_err(Into::into),
            status => Err(io::Error::other(format!("{status:?}: {text}")).into()),
        }
    }
}
