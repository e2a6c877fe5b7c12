//! Serve loops with a bug in each: one for each law that a schedule can show to be broken.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::mem;

use socketserver::{Concurrency, Ending, Handler, Session, Transport};

/// Which law a loop breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Law 1: it loses a request.
    Loses,
    /// Law 2: it refuses a request that it has a thread for.
    Refuses,
    /// Law 3: a handler that fails ends it.
    EndsWithAHandler,
    /// Law 4: a stop is for all sessions.
    StaysStopped,
    /// Law 4: it takes one more although it has been stopped.
    IsLateToStop,
    /// Law 5: it leaves a descriptor.
    Leaves,
}

pub const MUTANTS: [Mutant; 6] = [
    Mutant::Loses,
    Mutant::Refuses,
    Mutant::EndsWithAHandler,
    Mutant::StaysStopped,
    Mutant::IsLateToStop,
    Mutant::Leaves,
];

/// How often something goes wrong that need not go wrong each time.
const EVERY: usize = 3;

/// `Sync` with a bug.
pub struct Mutated {
    mutant: Mutant,
    taken: usize,
    sessions: usize,
}

impl Mutated {
    pub fn new(mutant: Mutant) -> Self {
        Self { mutant, taken: 0, sessions: 0 }
    }
}

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Mutated {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.sessions += 1;
        if self.mutant == Mutant::StaysStopped && self.sessions > 1 {
            return Ok(());
        }
        while let Some(job) = session.next_request()? {
            self.taken += 1;
            let now = self.taken % EVERY == 0;
            let ending = match self.mutant {
                Mutant::Loses if now => {
                    drop(job);
                    continue;
                }
                Mutant::Refuses if now => {
                    session.refuse_request(job, ErrorKind::OutOfMemory.into());
                    continue;
                }
                _ => session.finish_request(job),
            };
            match self.mutant {
                Mutant::EndsWithAHandler if ending != Ending::Finished => return Ok(()),
                // Beside the session, which would not give it.
                Mutant::IsLateToStop if session.is_stopping() => {
                    drop(session.transport().get_request());
                }
                Mutant::Leaves if now => mem::forget(File::open("/dev/null")?),
                _ => {}
            }
        }
        Ok(())
    }
}
