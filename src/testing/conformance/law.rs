//! The laws in words, and what is said of one that broke.

use std::{error, fmt, io};

/// What holds for every transport, strategy and handler of this crate, and is asked of yours. Its
/// `Display` is the law in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// Every request that a client makes is taken once, comes to an end of one kind, and is counted
    /// as that.
    Conservation,
    /// A request that has been taken is handled once and closed once, its failure told once, its
    /// answer sent once.
    OnceEach,
    /// The hooks come in the order in which they come under [`Sync`](crate::Sync).
    SameStory,
    /// Nothing that a client, a handler or a hook does ends the loop, stalls it or makes it spin.
    LoopLives,
    /// A stop is seen at once, from wherever and whenever it comes, and ends one session.
    StopIsSeen,
    /// After [`Server::close`](crate::Server::close) no thread, child or descriptor of the server is
    /// left, and nobody holds its handler or its transport.
    NothingRemains,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conservation => {
                "conservation: every request that a client makes is taken once, ends once, and is \
                 counted as what it ended as"
            }
            Self::OnceEach => {
                "once each: a request is handled once and closed once, its failure is told once, \
                 its answer sent once"
            }
            Self::SameStory => "the same story: the hooks come in the order in which Sync has them",
            Self::LoopLives => {
                "the loop lives: no client, handler or hook ends it, stalls it or makes it spin"
            }
            Self::StopIsSeen => {
                "a stop is seen: at once, from wherever and whenever it comes, and for one session"
            }
            Self::NothingRemains => {
                "nothing remains: after close no thread, child or descriptor of the server is left"
            }
        })
    }
}

/// A law that broke, and on which schedule. Its `Display`, and its `Debug` too, is for people.
pub struct Broken {
    pub(super) law: Option<Law>,
    /// What was seen.
    pub(super) what: String,
    /// What the laws were checked on.
    pub(super) piece: String,
    /// The setting, and the steps as sentences.
    pub(super) schedule: Vec<String>,
    pub(super) seed: u64,
}

impl Broken {
    /// The law; `None` where a schedule could not be played, as the client or the transport could not
    /// be made.
    #[must_use]
    pub fn law(&self) -> Option<Law> {
        self.law
    }

    /// The seed of the schedule: with it as `SOCKETSERVER_SEED`, the check begins with this schedule,
    /// before it was shortened.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The shortest schedule on which it was seen to break, a sentence for each step.
    pub fn schedule(&self) -> impl Iterator<Item = &str> {
        self.schedule.iter().map(String::as_str)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.law {
            Some(law) => writeln!(f, "a law broke.\n{law}")?,
            None => writeln!(f, "a schedule could not be played")?,
        }
        writeln!(f, "seen: {}\nof {}, with the schedule", self.what, self.piece)?;
        for (number, step) in self.schedule.iter().enumerate() {
            writeln!(f, "  {:>2}. {step}", number + 1)?;
        }
        write!(f, "again: SOCKETSERVER_SEED={} SOCKETSERVER_SCHEDULES=1", self.seed)
    }
}

/// As its `Display`: this is what a test that returns it prints.
impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Broken {}

/// Why a schedule did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    Broken(Law, String),
    /// The kit itself, or what it was given, could not do what it had to.
    Failed(io::Error),
}

impl Fault {
    pub(super) fn law(&self) -> Option<Law> {
        match self {
            Self::Broken(law, _) => Some(*law),
            Self::Failed(_) => None,
        }
    }

    pub(super) fn what(&self) -> String {
        match self {
            Self::Broken(_, what) => what.clone(),
            Self::Failed(error) => error.to_string(),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Law {
    /// An error with this law, unless it is kept.
    pub(super) fn holds(self, kept: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
        if kept { Ok(()) } else { Err(Fault::Broken(self, what())) }
    }
}
