//! Requests that wait for their peers in a table.

mod conn;
mod entrance;
mod places;
mod table;

use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;

use self::table::{Table, Turn};
use super::{Concurrency, Sync};
use crate::control::Control;
use crate::drain::Closing;
use crate::handler::{Handler, Next};
use crate::request::{Room, Selectable};
use crate::session::{Scope, Session};
use crate::transport::Transport;
use crate::worker::{Shared, Worker};

/// What the turns of a table are handled by.
pub struct Turns<T: Transport, H> {
    /// None for a server that is closed: there are no turns any more.
    table: Option<Arc<Table<T, H>>>,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    input: usize,
    replies: usize,
}

/// Connections wait for their peers in a table, and cost no thread there: the way that Python's
/// module names and does not go, "to maintain an explicit table of partially finished requests and
/// to use a selector to decide which request to work on next".
#[derive(Debug)]
pub struct Selecting<C> {
    inner: C,
    bounds: Bounds,
}

impl<C> Selecting<C> {
    /// A table whose exchanges run where `inner` runs them.
    #[must_use]
    pub fn new(inner: C) -> Self {
        Self { inner, bounds: Bounds { input: 64 * 1024, replies: 8 * 1024 * 1024 } }
    }

    /// How many bytes of a request may wait in the table until it is whole; 64 KiB by default. One
    /// that is longer fails with [`RequestTooLong`](crate::RequestTooLong).
    #[must_use]
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.bounds.input = bytes;
        self
    }

    /// How many bytes of replies may wait in the table until the peer takes them, for each
    /// connection; 8 MiB by default.
    #[must_use]
    pub fn reply_bytes(mut self, bytes: usize) -> Self {
        self.bounds.replies = bytes;
        self
    }

    /// The strategy that runs the exchanges.
    #[must_use]
    pub fn get_ref(&self) -> &C {
        &self.inner
    }
}

impl<C: Default> Default for Selecting<C> {
    fn default() -> Self {
        Self::new(C::default())
    }
}

impl<T, H, C> Concurrency<T, H> for Selecting<C>
where
    T: Transport<Request: Selectable> + AsFd,
    H: Handler<T::Request>,
    C: Concurrency<Table<T, H>, Turns<T, H>>,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let Some(beside) = session.beside().filter(|_| !session.is_for_one()) else {
            return Sync.serve(session);
        };
        session.attend_to_the_end();
        let control = Arc::new(Control::new()?);
        let number = control.begin()?;
        let table = Arc::new(Table::new(beside, &control.bell())?);
        let handler = Turns { table: Some(Arc::clone(&table)), bounds: self.bounds };
        let worker = Worker::new(Arc::new(Shared { handler, control }), number);
        let turns = Session::new(Arc::clone(&table), worker, None, Scope::default());
        let served = self.inner.serve(&turns);
        table.end().and(served)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        let handler = Turns { table: None, bounds: self.bounds };
        closing.of(handler, |closing| self.inner.close(closing))
    }
}

impl<T, H> Handler<Turn<T::Request>> for Turns<T, H>
where
    T: Transport<Request: Selectable> + AsFd,
    H: Handler<T::Request>,
{
    fn handle(&self, turn: &mut Turn<T::Request>) -> io::Result<Next> {
        let (Some(table), Some(mut conn)) = (&self.table, turn.conn.take()) else {
            return Ok(Next::Done);
        };
        let Bounds { input, replies } = self.bounds;
        let spare = mem::take(&mut turn.spare);
        let mut room = Room { input, replies, stirred: false, spare };
        loop {
            let outcome = conn.advance(&table.worker, &mut room, &table.selector);
            let spare = mem::take(&mut room.spare);
            if outcome == conn::Turn::Over {
                table.left(conn.token(), spare);
                break;
            }
            match table.park(conn, spare, outcome == conn::Turn::Again) {
                None => break,
                Some(back) => conn = back,
            }
            conn.wait_here();
        }
        Ok(Next::Done)
    }
}
