//! What a request does to its server, and the one story that this makes of it under every strategy.

use std::fmt;
use std::io;
use std::panic;

use socketserver::{FailureKind, Stage};

use super::SCRIPTED;

/// What happens to a request. A peer sends it as the first line of its message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Script {
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
pub enum How {
    Error,
    Late,
    Gone,
    Panic,
}

/// How much of its message a peer's handler gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heard {
    Nothing,
    FirstLine,
    All,
}

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

impl Script {
    /// Those that a peer may come with, the plainest first.
    pub fn of_peers() -> Vec<Self> {
        let failing = STAGES
            .iter()
            .flat_map(|(stage, _)| WAYS.iter().map(|(how, _)| Self::Fails(*stage, *how)));
        let plain = [Self::Fine, Self::Rejected];
        let rest = [Self::FailsTwice, Self::PanicsInShutdown];
        plain.into_iter().chain(failing).chain(rest).collect()
    }

    /// Its first line, of two letters.
    pub fn word(self) -> String {
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

    pub fn parse(word: &str) -> Option<Self> {
        Self::of_peers().into_iter().chain([Self::Stops]).find(|script| script.word() == word)
    }

    /// What the script has this stage do.
    pub fn act(self, stage: Stage) -> io::Result<()> {
        self.failure_in(stage).map_or(Ok(()), How::act)
    }

    fn failure_in(self, stage: Stage) -> Option<How> {
        match self {
            Self::Fails(at, how) if at == stage => Some(how),
            Self::FailsTwice if matches!(stage, Stage::Handle | Stage::Finish) => Some(How::Error),
            _ => None,
        }
    }

    /// The hooks, in order, of a request whose handler has heard so much before its peer fell
    /// silent for good.
    pub fn story(self, heard: Heard, packet: bool) -> Vec<String> {
        let mut story = vec!["get_request".to_owned()];
        if let Some((stage, how)) = self.live(heard, &mut story) {
            story.push(handle_error(stage, how.kind(packet)));
        }
        Self::end(story)
    }

    /// The hooks of a request that no thread or process can be had for.
    pub fn story_without_start(self, packet: bool) -> Vec<String> {
        if matches!(self, Self::Rejected | Self::Fails(Stage::Verify, _)) {
            return self.story(Heard::Nothing, packet);
        }
        let refused = handle_error(Stage::Start, FailureKind::NotStarted);
        Self::end(vec!["get_request".to_owned(), name_of(Stage::Verify).to_owned(), refused])
    }

    fn end(mut story: Vec<String>) -> Vec<String> {
        story.extend(["shutdown_request".to_owned(), "closed".to_owned()]);
        story
    }

    fn live(self, heard: Heard, story: &mut Vec<String>) -> Option<(Stage, How)> {
        let mut step = |stage: Stage, needs: Heard| {
            story.push(name_of(stage).to_owned());
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
    pub fn answers(self, packet: bool) -> bool {
        match self {
            Self::Fine | Self::PanicsInShutdown | Self::Stops => true,
            // A packet's answer leaves only after a success.
            Self::Fails(Stage::Finish | Stage::Deliver, _) => !packet,
            _ => false,
        }
    }

    /// How much of a connection's message it takes to end the request.
    pub fn needs(self) -> Heard {
        match self {
            Self::Rejected | Self::Fails(Stage::Verify | Stage::Establish, _) => Heard::Nothing,
            Self::Fails(Stage::Setup, _) => Heard::FirstLine,
            _ => Heard::All,
        }
    }
}

/// On one line, however it is asked for: failures are read by people.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("Fine"),
            Self::Rejected => f.write_str("Rejected"),
            Self::Fails(stage, how) => write!(f, "Fails({stage:?}, {how:?})"),
            Self::FailsTwice => f.write_str("FailsTwice"),
            Self::PanicsInShutdown => f.write_str("PanicsInShutdown"),
            Self::Stops => f.write_str("Stops"),
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

    /// A packet has no peer that could leave, or be late.
    fn kind(self, packet: bool) -> FailureKind {
        match self {
            Self::Panic => FailureKind::Panic,
            Self::Late if !packet => FailureKind::TimedOut,
            Self::Gone if !packet => FailureKind::PeerGone,
            Self::Error | Self::Late | Self::Gone => FailureKind::Error,
        }
    }
}

pub fn handle_error(stage: Stage, kind: FailureKind) -> String {
    format!("handle_error({stage:?}, {kind:?})")
}

/// What the ledger calls a stage.
pub fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Verify => "verify_request",
        Stage::Establish => "establish",
        Stage::Setup => "setup",
        Stage::Handle => "handle",
        Stage::Finish => "finish",
        Stage::Deliver => "deliver",
        _ => "start",
    }
}
