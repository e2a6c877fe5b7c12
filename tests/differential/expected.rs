//! Where Python and the crate differ on purpose.

use crate::scenario::{Run, STRATEGIES, Strategy, Transport};
use crate::story::Aspect;

/// A row of the table.
#[derive(Debug)]
pub struct Difference {
    pub transports: &'static [Transport],
    pub strategies: &'static [Strategy],
    pub scenarios: &'static [&'static str],
    pub aspect: Aspect,
    pub python: &'static str,
    pub rust: &'static str,
    /// Begins with the rows of the parity table that say more.
    pub why: &'static str,
}

impl Difference {
    pub fn concerns(&self, run: Run) -> bool {
        self.transports.contains(&run.transport)
            && self.strategies.contains(&run.strategy)
            && self.scenarios.contains(&run.scenario.name)
    }
}

const TCP: &[Transport] = &[Transport::Tcp];
const UDP: &[Transport] = &[Transport::Udp];
const BOTH: &[Transport] = &[Transport::Tcp, Transport::Udp];

const SYNC: &[Strategy] = &[Strategy::Sync];
const ELSEWHERE: &[Strategy] = &[Strategy::Threading, Strategy::ThreadPool, Strategy::Forking];
const ALL: &[Strategy] = STRATEGIES;

/// All there is. A row holds in each combination that it names.
pub const DIFFERENCES: &[Difference] = &[
    // A failing verify_request.
    Difference {
        transports: BOTH,
        strategies: ALL,
        scenarios: &["error in verify_request"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request",
        rust: "get_request, verify_request, handle_error(error in verify_request), \
               shutdown_request, close_request",
        why: "D7: it is a failed request as any other, and is reported and closed",
    },
    Difference {
        transports: BOTH,
        strategies: ALL,
        scenarios: &["exit in verify_request"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request",
        rust: "get_request, verify_request, handle_error(exit in verify_request), \
               shutdown_request, close_request",
        why: "D7: it is a failed request as any other, and is reported and closed",
    },
    Difference {
        transports: TCP,
        strategies: ALL,
        scenarios: &["error in verify_request", "exit in verify_request"],
        aspect: Aspect::Wire,
        python: r#""", then reset"#,
        rust: r#""", then EOF"#,
        why: "D7, T5: Python leaves the connection to the garbage collector, which says nothing \
              to the peer",
    },
    Difference {
        transports: BOTH,
        strategies: ALL,
        scenarios: &["error in verify_request"],
        aspect: Aspect::End,
        python: "raised RuntimeError",
        rust: "returned",
        why: "D7: no hook ends the loop",
    },
    Difference {
        transports: BOTH,
        strategies: ALL,
        scenarios: &["exit in verify_request"],
        aspect: Aspect::End,
        python: "raised SystemExit",
        rust: "returned",
        why: "D7: no hook ends the loop",
    },
    Difference {
        transports: BOTH,
        strategies: ALL,
        scenarios: &["error in verify_request", "exit in verify_request"],
        aspect: Aspect::Next,
        python: "not served",
        rust: "served",
        why: "D7: no hook ends the loop",
    },
    // An exit exception in Python is a panic here, and a panic is a failure.
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &["exit in setup"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request, setup, shutdown_request, close_request",
        rust: "get_request, verify_request, setup, handle_error(exit in setup), \
               shutdown_request, close_request",
        why: "D8: a panic is reported",
    },
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &["exit in handle", "exit in handle after a partial write"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request, setup, handle, finish, shutdown_request, \
                 close_request",
        rust: "get_request, verify_request, setup, handle, finish, \
               handle_error(exit in handle), shutdown_request, close_request",
        why: "D8: a panic is reported",
    },
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &["exit in finish"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request, setup, handle, finish, shutdown_request, \
                 close_request",
        rust: "get_request, verify_request, setup, handle, finish, \
               handle_error(exit in finish), shutdown_request, close_request",
        why: "D8: a panic is reported",
    },
    Difference {
        transports: BOTH,
        strategies: ELSEWHERE,
        scenarios: &["exit in setup"],
        aspect: Aspect::InWorker,
        python: "setup, shutdown_request, close_request",
        rust: "setup, handle_error(exit in setup), shutdown_request, close_request",
        why: "C8, K1: a panic is reported",
    },
    Difference {
        transports: BOTH,
        strategies: ELSEWHERE,
        scenarios: &["exit in handle", "exit in handle after a partial write"],
        aspect: Aspect::InWorker,
        python: "setup, handle, finish, shutdown_request, close_request",
        rust: "setup, handle, finish, handle_error(exit in handle), shutdown_request, \
               close_request",
        why: "C8, K1: a panic is reported",
    },
    Difference {
        transports: BOTH,
        strategies: ELSEWHERE,
        scenarios: &["exit in finish"],
        aspect: Aspect::InWorker,
        python: "setup, handle, finish, shutdown_request, close_request",
        rust: "setup, handle, finish, handle_error(exit in finish), shutdown_request, \
               close_request",
        why: "C8, K1: a panic is reported",
    },
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &[
            "exit in setup",
            "exit in handle",
            "exit in handle after a partial write",
            "exit in finish",
            "exit in handle_error",
        ],
        aspect: Aspect::End,
        python: "raised SystemExit",
        rust: "returned",
        why: "D8, D12: no handler ends the loop; a stop is asked for by its handle",
    },
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &[
            "exit in setup",
            "exit in handle",
            "exit in handle after a partial write",
            "exit in finish",
            "exit in handle_error",
            "error in handle_error",
        ],
        aspect: Aspect::Next,
        python: "not served",
        rust: "served",
        why: "D8, D12: no handler ends the loop",
    },
    // A failing handle_error.
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &["error in handle_error", "exit in handle_error"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request, setup, handle, finish, \
                 handle_error(error in handle)",
        rust: "get_request, verify_request, setup, handle, finish, \
               handle_error(error in handle), shutdown_request, close_request",
        why: "D12, D13: a request is closed whatever becomes of its report",
    },
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &["error in handle_error"],
        aspect: Aspect::End,
        python: "raised RuntimeError",
        rust: "returned",
        why: "D12: no hook ends the loop",
    },
    // Two errors.
    Difference {
        transports: BOTH,
        strategies: SYNC,
        scenarios: &["error in handle and in finish"],
        aspect: Aspect::InLoop,
        python: "get_request, verify_request, setup, handle, finish, \
                 handle_error(error in finish), shutdown_request, close_request",
        rust: "get_request, verify_request, setup, handle, finish, \
               handle_error(error in handle), shutdown_request, close_request",
        why: "D11, H1: the first error is the cause, and is the one that is reported",
    },
    Difference {
        transports: BOTH,
        strategies: ELSEWHERE,
        scenarios: &["error in handle and in finish"],
        aspect: Aspect::InWorker,
        python: "setup, handle, finish, handle_error(error in finish), shutdown_request, \
                 close_request",
        rust: "setup, handle, finish, handle_error(error in handle), shutdown_request, \
               close_request",
        why: "D11, H1: the first error is the cause, and is the one that is reported",
    },
    // What was written and not yet sent.
    Difference {
        transports: UDP,
        strategies: ALL,
        scenarios: &[
            "ok, wrote nothing",
            "error in handle",
            "error in handle_error",
            "exit in handle",
            "exit in handle_error",
        ],
        aspect: Aspect::Wire,
        python: r#""""#,
        rust: "no datagram",
        why: "H7: who wrote nothing sends nothing",
    },
    Difference {
        transports: UDP,
        strategies: ALL,
        scenarios: &[
            "error in handle after a partial write",
            "exit in handle after a partial write",
            "error at the end of finish",
        ],
        aspect: Aspect::Wire,
        python: r#""you said first\n""#,
        rust: "no datagram",
        why: "H7: a request that failed does not send half an answer",
    },
    Difference {
        transports: TCP,
        strategies: SYNC,
        scenarios: &["error in finish, buffered"],
        aspect: Aspect::Wire,
        python: r#""", then EOF"#,
        rust: r#""you said first\n", then EOF"#,
        why: "H4: what was written is sent under every strategy; Python's garbage collector comes \
              before SHUT_WR in a thread or process, and too late without",
    },
];
