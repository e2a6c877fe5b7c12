//! What a schedule consists of.

use std::fmt;

use super::script::{LENGTH, Script};

/// One step. Clients are counted in the order in which they come, stop handles in that in which they
/// are made; the first is made with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A client comes, and sends so much of its message (a packet: all).
    Connect(Script, usize),
    /// It sends more, up to this byte.
    Send(usize, usize),
    HalfClose(usize),
    Abort(usize),
    /// The client's request comes to its end.
    Await(usize),
    TakeHandle,
    Stop(usize),
    /// Serving begins on a thread of its own.
    Spawn,
    /// A client comes whose handler stops the server.
    StopByHandler,
    /// Serving has ended.
    Join,
    /// `serve_forever`, until the stop that was posted before, or that a client's handler posts.
    Serve,
    HandleRequest,
}

impl Step {
    /// The client that it is about, where that came before.
    fn client(&mut self) -> Option<&mut usize> {
        match self {
            Self::Send(client, _)
            | Self::HalfClose(client)
            | Self::Abort(client)
            | Self::Await(client) => Some(client),
            _ => None,
        }
    }

    /// The step in a schedule in which this client does not come; `None` where it is about that one.
    pub(super) fn without(mut self, missing: usize) -> Option<Self> {
        if let Some(client) = self.client() {
            if *client == missing {
                return None;
            }
            *client -= usize::from(*client > missing);
        }
        Some(self)
    }
}

/// A sentence.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(script, sent) => {
                write!(f, "a client comes, and sends ")?;
                match *sent {
                    0 => f.write_str("nothing")?,
                    LENGTH => f.write_str("all it has to say")?,
                    sent => write!(f, "{sent} of {LENGTH} bytes")?,
                }
                write!(f, "; its request {script}")
            }
            Self::Send(client, LENGTH) => write!(f, "client {} sends the rest", client + 1),
            Self::Send(client, end) => {
                write!(f, "client {} sends more, up to byte {end} of {LENGTH}", client + 1)
            }
            Self::HalfClose(client) => write!(f, "client {} ends its side", client + 1),
            Self::Abort(client) => write!(f, "client {} goes away", client + 1),
            Self::Await(client) => {
                write!(f, "the request of client {} comes to its end", client + 1)
            }
            Self::TakeHandle => f.write_str("one more stop handle is made"),
            Self::Stop(handle) => write!(f, "stop handle {} is used", handle + 1),
            Self::Spawn => f.write_str("the server is spawned, which makes a stop handle"),
            Self::StopByHandler => f.write_str(
                "a client comes, and sends all it has to say; its handler stops the server",
            ),
            Self::Join => f.write_str("the spawned server is joined"),
            Self::Serve => f.write_str(
                "serve_forever: until the stop that has come, or that of a handler whose client comes",
            ),
            Self::HandleRequest => f.write_str("handle_request, without waiting"),
        }
    }
}
