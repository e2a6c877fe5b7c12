//! The table as a transport, and its rows as requests.

use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use socketserver::{Failure, ForkedChild, Portable, Request, Transport, Waiter};

use crate::desk::Desk;
use crate::store::{Claim, End};

/// A transport whose requests are rows of a table.
///
/// It takes them ahead, as many with one query as this process may have in hand, so that
/// `get_request` has none to wait for; the queries are made where the loop waits.
pub(crate) struct Rows(Arc<Desk>);

impl Rows {
    pub(crate) fn new(desk: &Arc<Desk>) -> Self {
        Self(Arc::clone(desk))
    }

    fn row(&self, claim: Claim) -> Row {
        Row { claim, desk: Arc::clone(&self.0), outcome: None }
    }
}

impl Transport for Rows {
    type Request = Row;

    fn get_request(&self) -> io::Result<Option<Row>> {
        Ok(self.0.next()?.map(|claim| self.row(claim)))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        match self.0.work()? {
            Some(selector) => waiter.readable(selector),
            None => Ok(()),
        }
    }

    fn server_close(self) -> io::Result<()> {
        self.0.close();
        Ok(())
    }

    /// A worker of `PreForking` calls this when it has served. A child that was forked for one row
    /// has nothing at the desk, which is its parent's.
    fn after_fork(&self, _child: &ForkedChild<'_>) {
        self.0.close();
    }
}

/// A row, which is handled once for each time that it is claimed.
#[derive(Debug)]
pub(crate) struct Row {
    claim: Claim,
    desk: Arc<Desk>,
    outcome: Option<Result<(), String>>,
}

impl Row {
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// It has failed: what is to be written down.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.outcome = Some(Err(failure.to_string()));
    }
}

impl Request for Row {
    fn deliver(&mut self) -> io::Result<()> {
        self.outcome = Some(Ok(()));
        Ok(())
    }

    /// Acknowledges it. Where it has neither been handled nor failed, it is due again when its lease
    /// is over.
    fn shutdown_request(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            let Claim { id, number, .. } = self.claim;
            self.desk.report(End { id, number, error: outcome.err() });
        }
    }
}

/// For `ForkServer`: what a child has to know is what was claimed.
impl Portable for Rows {
    fn pack<'r>(&self, row: &'r Row, bytes: &mut Vec<u8>) -> io::Result<Option<BorrowedFd<'r>>> {
        let Claim { id, number, body } = &row.claim;
        bytes.extend(id.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(body.as_bytes());
        Ok(None)
    }

    fn unpack(&self, bytes: &[u8], _none: Option<OwnedFd>) -> io::Result<Row> {
        let unpacked = || {
            let (id, rest) = bytes.split_first_chunk()?;
            let (number, body) = rest.split_first_chunk()?;
            let (id, number) = (i64::from_le_bytes(*id), i32::from_le_bytes(*number));
            Some(Claim { id, number, body: str::from_utf8(body).ok()?.to_owned() })
        };
        let claim = unpacked().ok_or(ErrorKind::InvalidData)?;
        Ok(self.row(claim))
    }
}
