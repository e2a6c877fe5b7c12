//! What happens to the first of the two requests.

use std::fmt;

/// A scenario: what both servers are told, and what the peer does.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// For the first request, separated by commas; without any, its line is answered.
    ///
    /// | directive | what the handler does |
    /// | --- | --- |
    /// | `PLACE:error` | fails in that place by an error |
    /// | `PLACE:exit` | the same by `SystemExit`, and by a panic |
    /// | `reject` | does not accept the request |
    /// | `mute` | writes nothing |
    /// | `deaf` | reads nothing |
    /// | `buffered` | writes into a buffer |
    ///
    /// A place is a hook, or `the end of finish`: when Python's base class has done its part of
    /// it, and sent what was written.
    pub directives: &'static str,
    pub peer: Peer,
    /// What the crate's story has to tell, so that a scenario that does not take place is noticed.
    pub shows: &'static str,
}

/// What the peer of the first request does; that of the second asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Sends its line, and reads to the end.
    Asks,
    /// Sends half a line and the end of its output, and reads to the end.
    HalfCloses,
    /// Resets its connection without a word.
    Resets,
    /// Sends its line and resets its connection.
    AsksAndResets,
}

const fn told(name: &'static str, directives: &'static str, shows: &'static str) -> Scenario {
    Scenario { name, directives, peer: Peer::Asks, shows }
}

const ANSWERED: &str = "you said first";
const REPORTED: &str = "handle_error(error in handle)";

/// For both transports.
pub const SCENARIOS: &[Scenario] = &[
    told("ok", "", ANSWERED),
    told("ok, wrote nothing", "mute", "finish, shutdown_request"),
    told("rejected", "reject", "verify_request, shutdown_request"),
    told("error in verify_request", "verify_request:error", "(error in verify_request)"),
    told("error in setup", "setup:error", "setup, handle_error(error in setup)"),
    told("error in handle", "mute,handle:error", REPORTED),
    told("error in handle after a partial write", "handle:error", REPORTED),
    told("error in finish", "finish:error", "(error in finish)"),
    told("error at the end of finish", "the end of finish:error", "(error in the end of finish)"),
    told("error in handle and in finish", "mute,handle:error,finish:error", REPORTED),
    told("error in handle_error", "mute,handle:error,handle_error:error", REPORTED),
    told("exit in verify_request", "verify_request:exit", "(exit in verify_request)"),
    told("exit in setup", "setup:exit", "setup, handle_error(exit in setup)"),
    told("exit in handle", "mute,handle:exit", "(exit in handle)"),
    told("exit in handle after a partial write", "handle:exit", "(exit in handle)"),
    told("exit in finish", "finish:exit", "(exit in finish)"),
    told("exit in handle_error", "mute,handle:error,handle_error:exit", REPORTED),
];

/// For connections.
pub const OF_STREAMS: &[Scenario] = &[
    told("ok, read nothing", "deaf", r#""you said ", then EOF"#),
    told("ok, buffered", "buffered", ANSWERED),
    told("error in handle, buffered", "buffered,handle:error", REPORTED),
    told("error in finish, buffered", "buffered,finish:error", "(error in finish)"),
    told(
        "error at the end of finish, buffered",
        "buffered,the end of finish:error",
        "(error in the end of finish)",
    ),
    Scenario {
        name: "half-closed",
        directives: "",
        peer: Peer::HalfCloses,
        shows: r#""you said fir", then EOF"#,
    },
    Scenario {
        name: "peer gone",
        directives: "",
        peer: Peer::Resets,
        shows: "handle_error(peer gone)",
    },
    Scenario {
        name: "peer gone before the answer",
        directives: "",
        peer: Peer::AsksAndResets,
        shows: "handle_error(peer gone)",
    },
];

/// Where the requests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// Where they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Sync,
    Threading,
    /// For which Python has `ThreadingMixIn` too.
    ThreadPool,
    Forking,
}

pub const STRATEGIES: &[Strategy] =
    &[Strategy::Sync, Strategy::Threading, Strategy::ThreadPool, Strategy::Forking];

/// One scenario under one combination.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub transport: Transport,
    pub strategy: Strategy,
    pub scenario: Scenario,
}

/// All of them.
pub fn runs() -> impl Iterator<Item = Run> {
    let tcp = SCENARIOS.iter().chain(OF_STREAMS).map(|scenario| (Transport::Tcp, scenario));
    let udp = SCENARIOS.iter().map(|scenario| (Transport::Udp, scenario));
    tcp.chain(udp).flat_map(|(transport, &scenario)| {
        STRATEGIES.iter().map(move |&strategy| Run { transport, strategy, scenario })
    })
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.transport, self.strategy, self.scenario.name)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Threading => "threading",
            Self::ThreadPool => "thread_pool",
            Self::Forking => "forking",
        })
    }
}
