//! A part of what Redis does, one command to a call: enough for `redis-benchmark` and `redis-cli`.

mod command;
mod store;

use std::io;
use std::time::Duration;

use socketserver::{Deadlines, Handler, Hangup, Next};

use crate::peer::{self, Client, Heard};
use crate::signals::Stopping;
use crate::whole::{self, Trouble};
use store::Store;

/// How long a client may say nothing between two commands.
const PATIENCE: Duration = Duration::from_secs(60);

/// The values, which all connections of this process share.
pub(crate) struct Resp {
    store: Store,
    stopping: Stopping,
}

impl Resp {
    pub(crate) fn new(stopping: Stopping) -> Self {
        Self { store: Store::default(), stopping }
    }
}

/// How long a client may take in the middle of a command, and to take a reply.
pub(crate) fn deadlines() -> Deadlines {
    let patience = Duration::from_secs(30);
    Deadlines::new().request(patience).write(patience)
}

impl<R: Client> Handler<R> for Resp {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        if peer::hear(request, &self.stopping, PATIENCE)? == Heard::Nothing {
            return Ok(Next::Done);
        }
        let mut reply = Vec::new();
        let next = match whole::read(request, command::parse) {
            Ok(command) => self.store.run(&command, &mut reply),
            Err(Trouble::Wrong(what)) => {
                reply.extend_from_slice(format!("-ERR Protocol error: {what}\r\n").as_bytes());
                Next::Done
            }
            Err(Trouble::Silent | Trouble::Cut | Trouble::Late) => return Ok(Next::Done),
            Err(Trouble::Broken(error)) => return Err(error),
        };
        request.write_all(&reply)?;
        if next == Next::Done {
            // What the client has sent behind it may still be on its way.
            request.set_hangup(Hangup::default())?;
        }
        Ok(next)
    }

    fn missing(&self, input: &[u8]) -> usize {
        command::missing(input)
    }
}
