//! What happens to a request, and the one story that this makes of it under every strategy.

use std::fmt;
use std::io;
use std::panic;

use super::ledger::What;
use crate::{FailureKind, Stage};

/// What the error or panic of a script says.
pub(super) const SCRIPTED: &str = "scripted";

/// What happens to a request. A client sends it as the first line of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Fine,
    Rejected,
    Fails(Stage, How),
    /// In `handle`, and again in `finish`.
    FailsTwice,
    PanicsInShutdown,
    /// Its handler stops the server.
    Stops,
}

/// How a stage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Error,
    Late,
    Gone,
    Panic,
}

/// How much of its message a client's handler gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Heard {
    Nothing,
    FirstLine,
    All,
}

/// The bytes of a message: a line with the script's word, and a line with the client's number.
pub(super) const LENGTH: usize = 7;
const FIRST_LINE: usize = 3;

const STAGES: [(Stage, char); 6] = [
    (Stage::Setup, 's'),
    (Stage::Handle, 'h'),
    (Stage::Finish, 'f'),
    (Stage::Deliver, 'd'),
    (Stage::Establish, 'n'),
    (Stage::Verify, 'v'),
];
const WAYS: [(How, char); 4] =
    [(How::Error, 'e'), (How::Panic, 'p'), (How::Late, 'l'), (How::Gone, 'g')];

impl Heard {
    /// What is heard of a message of which so many bytes have been sent.
    pub(super) fn of(sent: usize) -> Self {
        match sent {
            ..FIRST_LINE => Self::Nothing,
            FIRST_LINE..LENGTH => Self::FirstLine,
            LENGTH.. => Self::All,
        }
    }
}

impl Script {
    /// Those that a client may come with, the plainest first.
    pub(super) fn of_clients() -> impl Iterator<Item = Self> {
        let failing = STAGES
            .iter()
            .flat_map(|(stage, _)| WAYS.iter().map(|(how, _)| Self::Fails(*stage, *how)));
        let plain = [Self::Fine, Self::Rejected];
        plain.into_iter().chain(failing).chain([Self::FailsTwice, Self::PanicsInShutdown])
    }

    /// Its first line, of two letters.
    pub(super) fn word(self) -> String {
        match self {
            Self::Fine => "ok".into(),
            Self::Rejected => "re".into(),
            Self::FailsTwice => "tw".into(),
            Self::PanicsInShutdown => "cp".into(),
            Self::Stops => "st".into(),
            Self::Fails(stage, how) => {
                let stage = STAGES.iter().find(|(other, _)| *other == stage);
                let how = WAYS.iter().find(|(other, _)| *other == how);
                stage.iter().map(|(_, c)| c).chain(how.iter().map(|(_, c)| c)).collect()
            }
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::of_clients().chain([Self::Stops]).find(|script| script.word() == word)
    }

    /// What the script has this stage do.
    pub(super) fn act(self, stage: Stage) -> io::Result<()> {
        self.failure_in(stage).map_or(Ok(()), How::act)
    }

    fn failure_in(self, stage: Stage) -> Option<How> {
        match self {
            Self::Fails(at, how) if at == stage => Some(how),
            Self::FailsTwice if matches!(stage, Stage::Handle | Stage::Finish) => Some(How::Error),
            _ => None,
        }
    }

    /// The hooks, in order, of a request whose handler has heard so much before its client fell
    /// silent for good.
    pub(super) fn story(self, heard: Heard) -> Vec<What> {
        let mut story = vec![What::GetRequest];
        if let Some((stage, how)) = self.live(heard, &mut story) {
            story.push(What::HandleError(stage, how.kind()));
        }
        story.extend([What::Shutdown, What::Closed]);
        story
    }

    /// The hooks of a request that no thread or process can be had for.
    pub(super) fn story_without_start(self) -> Vec<What> {
        if matches!(self, Self::Rejected | Self::Fails(Stage::Verify, _)) {
            return self.story(Heard::Nothing);
        }
        let refused = What::HandleError(Stage::Start, FailureKind::NotStarted);
        vec![What::GetRequest, What::Hook(Stage::Verify), refused, What::Shutdown, What::Closed]
    }

    fn live(self, heard: Heard, story: &mut Vec<What>) -> Option<(Stage, How)> {
        let mut step = |stage: Stage, needs: Heard| {
            story.push(What::Hook(stage));
            if heard < needs {
                return Some((stage, How::Gone));
            }
            self.failure_in(stage).map(|how| (stage, how))
        };
        let failed = step(Stage::Verify, Heard::Nothing);
        if failed.is_some() || self == Self::Rejected {
            return failed;
        }
        if let Some(failed) = step(Stage::Establish, Heard::Nothing) {
            return Some(failed);
        }
        if let Some(failed) = step(Stage::Setup, Heard::FirstLine) {
            return Some(failed);
        }
        let handled = step(Stage::Handle, Heard::All);
        let finished = step(Stage::Finish, Heard::Nothing);
        handled.or(finished).or_else(|| step(Stage::Deliver, Heard::Nothing))
    }

    /// Whether the handler comes to answer a whole message.
    pub(super) fn answers(self, packet: bool) -> bool {
        match self {
            Self::Fine | Self::PanicsInShutdown | Self::Stops => true,
            // A packet's answer leaves only after a success.
            Self::Fails(Stage::Finish | Stage::Deliver, _) => !packet,
            _ => false,
        }
    }

    /// How much of a connection's message it takes to end the request.
    pub(super) fn needs(self) -> Heard {
        match self {
            Self::Rejected | Self::Fails(Stage::Verify | Stage::Establish, _) => Heard::Nothing,
            Self::Fails(Stage::Setup, _) => Heard::FirstLine,
            _ => Heard::All,
        }
    }
}

/// What is to happen to the request, behind "its request".
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("is handled"),
            Self::Rejected => f.write_str("is rejected by `verify_request`"),
            Self::Fails(stage, How::Error) => write!(f, "fails in `{}`", What::Hook(*stage)),
            Self::Fails(stage, How::Panic) => write!(f, "panics in `{}`", What::Hook(*stage)),
            Self::Fails(stage, How::Late) => write!(f, "times out in `{}`", What::Hook(*stage)),
            Self::Fails(stage, How::Gone) => {
                write!(f, "finds its peer gone in `{}`", What::Hook(*stage))
            }
            Self::FailsTwice => f.write_str("fails in `handle` and again in `finish`"),
            Self::PanicsInShutdown => f.write_str("is handled and panics in `shutdown_request`"),
            Self::Stops => f.write_str("is handled, and its handler stops the server"),
        }
    }
}

impl How {
    fn act(self) -> io::Result<()> {
        match self {
            Self::Error => Err(io::Error::other(SCRIPTED)),
            Self::Late => Err(io::ErrorKind::TimedOut.into()),
            Self::Gone => Err(io::ErrorKind::ConnectionReset.into()),
            Self::Panic => panic::panic_any(SCRIPTED),
        }
    }

    fn kind(self) -> FailureKind {
        match self {
            Self::Panic => FailureKind::Panic,
            Self::Late => FailureKind::TimedOut,
            Self::Gone => FailureKind::PeerGone,
            Self::Error => FailureKind::Error,
        }
    }
}

/// Panics where a script asks for it.
pub(super) fn panic_if(asked: bool) {
    if asked {
        panic::panic_any(SCRIPTED);
    }
}
