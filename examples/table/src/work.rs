//! What is done with a row.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socketserver::{Failure, Handler, Next};

use crate::desk::Desk;
use crate::rows::Row;
use crate::store::Claim;

/// Does what the body of a row says: `fail` (with a word why), `fail-once` at its first claim, `panic`,
/// `sleep` so many milliseconds; anything else is no trouble. What has been done is written to a file,
/// a line each, so that somebody else may count.
#[derive(Debug)]
pub(crate) struct Work {
    output: Option<File>,
}

impl Work {
    pub(crate) fn new(output: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().append(true).create(true).open(path);
        Ok(Self { output: output.map(open).transpose()? })
    }

    pub(crate) fn perform(&self, claim: &Claim) -> io::Result<()> {
        let (word, rest) = claim.body.split_once(' ').unwrap_or((&claim.body, ""));
        match word {
            "fail" => return Err(io::Error::other(rest.to_owned())),
            "fail-once" if claim.number == 1 => return Err(io::Error::other("not the first time")),
            "panic" => std::panic::panic_any("as the row wants it"),
            "sleep" => {
                thread::sleep(Duration::from_millis(rest.parse().map_err(io::Error::other)?));
            }
            _ => {}
        }
        if let Some(mut output) = self.output.as_ref() {
            // One write to the end of the file: all processes may have it.
            output.write_all(format!("{}\n", claim.id).as_bytes())?;
        }
        Ok(())
    }
}

/// The handler: the work, and the desk that is to be looked after meanwhile.
pub(crate) struct Worker {
    pub(crate) work: Work,
    pub(crate) desk: Arc<Desk>,
}

impl Handler<Row> for Worker {
    fn handle(&self, row: &mut Row) -> io::Result<Next> {
        self.work.perform(row.claim()).map(Next::from)
    }

    fn handle_error(&self, row: &mut Row, failure: &Failure) {
        row.fail(failure);
    }

    fn service_actions(&self) {
        self.desk.tick();
    }
}
