//! Connections that wait for their peers in a table.

mod conn;
mod entrance;
mod places;
mod table;

use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;

use self::conn::Outcome;
use self::table::{Table, Visit};
use super::{Concurrency, InWorker, Sync, ThreadPool, Threading};
use crate::control::Control;
use crate::drain::Closing;
use crate::failure::{Failure, Stage};
use crate::handler::{Handler, Next};
use crate::request::{Behind, Room, Selectable};
use crate::session::{Scope, Session};
use crate::transport::Transport;
use crate::worker::{Fault, Shared, Worker};

/// Connections wait for their peers in a table, where they cost no thread, and exchanges run where
/// the strategy inside runs them, `C`. It is what Python's documentation recommends for slow requests
/// and leaves to its users: "to maintain an explicit table of partially finished requests and to use
/// a selector to decide which request to work on next".
///
/// | strategy | exchanges run | good for |
/// | --- | --- | --- |
/// | `Selecting<Sync>` | on the thread that serves, one after the other | many connections, short exchanges |
/// | `Selecting<ThreadPool>` | on the threads of a pool | many connections, exchanges that compute or wait for something else |
/// | `Selecting<Threading>` | on as many threads as there are exchanges | the same, where none may wait for another |
///
/// # What a handler has to do
///
/// Nothing, to be right: the same handler runs under every strategy, and the same bytes are on the
/// wire. To be worth it:
///
/// * [`handle`](Handler::handle) serves one exchange, and answers [`Next::Again`] where the
///   connection may have another. One that serves the whole connection in a loop keeps its thread
///   for as long, as elsewhere.
/// * [`missing`](Handler::missing) says when the input holds a whole request. What has come before
///   waits in the table, and no thread for it; a handler that reads beyond waits for its peer where
///   it runs.
///
/// What a handler writes is sent at once as far as the peer takes it, and the rest waits in the table;
/// the next exchange of that connection begins when it has been taken. Nor is the end of a connection
/// waited for elsewhere ([`Hangup::Drain`](crate::Hangup::Drain)).
///
/// # Bounds
///
/// Of bytes: [`request_bytes`](Self::request_bytes) and [`reply_bytes`](Self::reply_bytes). Of time:
/// [`Deadlines`](crate::Deadlines) and [`Options::timeout`](crate::Options::timeout), which hold in
/// the table as they do elsewhere; without them a peer may be silent for ever, and costs some 300
/// bytes of memory and what the kernel has of it. Of connections: [`Limits`](crate::Limits).
///
/// # The end
///
/// When the server is asked to stop, [`serve_forever`](crate::Server::serve_forever) ends the
/// connections that are between two exchanges, waits for the others in the table, as under
/// [`Sync`], and cuts them off when the server's [`Drain`](crate::Drain) says so.
/// Exchanges that run elsewhere by then go on.
///
/// The one request of [`handle_request`](crate::Server::handle_request) is served to its end on the
/// thread that calls it.
///
/// # Platforms
///
/// Linux: it is made of epoll(7).
///
/// # Examples
///
/// ```
/// use std::io::{self, BufRead, Write};
/// use socketserver::{Handler, Next, ReadLine, Selecting, Server, Sync, Tcp, line_missing};
///
/// struct Echo;
///
/// impl<R: BufRead + Write> Handler<R> for Echo {
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         let mut line = Vec::new();
///         if request.read_bytes_bounded(&mut line, 1024)? == 0 {
///             return Ok(Next::Done);
///         }
///         request.write_all(&line)?;
///         Ok(Next::Again)
///     }
///
///     fn missing(&self, input: &[u8]) -> usize {
///         line_missing(input, 1024)
///     }
/// }
///
/// let server: Server<Tcp, Selecting<Sync>, _> = Server::bind("127.0.0.1:0", Echo)?;
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Selecting<C> {
    inner: C,
    bounds: Bounds,
}

/// What a connection may have in the table, in bytes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    input: usize,
    replies: usize,
}

impl Bounds {
    fn room(self, spare: Vec<u8>) -> Room {
        let Self { input, replies } = self;
        let behind = Behind::Nothing;
        Room { input, replies, stirred: false, behind, opening: false, spare }
    }
}

/// A strategy that finishes requests in the process that takes them, and so can work at the table of
/// [`Selecting`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't run the exchanges of `Selecting`",
    label = "not a strategy that runs exchanges in the process of the table",
    note = "`Selecting` keeps its connections in a table, in one process, between exchanges too: what \
            runs these has to run them there, and needs no table of its own. It goes with `Sync`, \
            `Threading` and `ThreadPool`, and with strategies that implement `InProcess`",
    note = "for several processes, put it inside: `PreForking<Selecting<Sync>>`"
)]
pub trait InProcess {}

impl InProcess for Sync {}
impl InProcess for Threading {}
impl InProcess for ThreadPool {}

impl<C> InWorker for Selecting<C> {}

impl<C: InProcess> Selecting<C> {
    /// A table whose exchanges run where `inner` runs them.
    #[must_use]
    pub fn new(inner: C) -> Self {
        Self { inner, bounds: Bounds { input: 64 * 1024, replies: 8 * 1024 * 1024 } }
    }
}

impl<C> Selecting<C> {
    /// How many bytes of a request may wait in the table for the rest of it; 64 KiB by default. A
    /// request that is longer, and still not whole, fails with
    /// [`RequestTooLong`](crate::RequestTooLong), as soon as the handler has said that it is. Memory
    /// is got as it is needed.
    #[must_use]
    pub fn request_bytes(mut self, bytes: usize) -> Self {
        self.bounds.input = bytes.max(1);
        self
    }

    /// How many bytes of replies may wait in the table for the peer of a connection to take them; 8
    /// MiB by default. A write beyond that fails with [`ReplyTooLong`](crate::ReplyTooLong): a reply
    /// that may be longer is sent by [`send_from`](crate::StreamRequest::send_from).
    #[must_use]
    pub fn reply_bytes(mut self, bytes: usize) -> Self {
        self.bounds.replies = bytes.max(1);
        self
    }

    /// The strategy that runs the exchanges.
    #[must_use]
    pub fn get_ref(&self) -> &C {
        &self.inner
    }
}

impl<C: InProcess + Default> Default for Selecting<C> {
    fn default() -> Self {
        Self::new(C::default())
    }
}

impl<T, H, C> Concurrency<T, H> for Selecting<C>
where
    T: Transport<Request: Selectable> + AsFd,
    H: Handler<T::Request>,
    C: InProcess + Concurrency<Table<T, H>, Visits<T, H>>,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let Some(outside) = session.beside().filter(|_| !session.is_for_one()) else {
            return Sync.serve(session);
        };
        session.attend_to_the_end();
        // The strategy inside has a session of its own, which ends when the table is empty.
        let control = Arc::new(Control::new()?);
        let number = control.begin()?;
        let table = Arc::new(Table::new(outside, &control.bell())?);
        let handler = Visits { table: Some(Arc::clone(&table)), bounds: self.bounds };
        let worker = Worker::new(Arc::new(Shared { handler, control }), number);
        let inside = Session::new(Some(Arc::clone(&table)), worker, None, Scope::default());
        let served = self.inner.serve(&inside);
        table.end().and(served)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        let handler = Visits { table: None, bounds: self.bounds };
        closing.of(handler, |closing| self.inner.close(closing))
    }
}

/// What the strategy inside handles visits with.
pub struct Visits<T: Transport, H> {
    /// None where the server is closed: there are no visits any more.
    table: Option<Arc<Table<T, H>>>,
    bounds: Bounds,
}

impl<T, H> Handler<Visit<T::Request>> for Visits<T, H>
where
    T: Transport<Request: Selectable> + AsFd,
    H: Handler<T::Request>,
{
    fn handle(&self, visit: &mut Visit<T::Request>) -> io::Result<Next> {
        let Some(table) = &self.table else { return Ok(Next::Done) };
        let mut room = self.bounds.room(mem::take(&mut visit.spare));
        // What the strategy inside does for each visit is done once for all that are ready.
        let mut next = visit.conn.take();
        while let Some(mut conn) = next {
            let outcome = conn.advance(&table.worker, &mut room, &table.selector);
            if outcome == Outcome::Over {
                table.left(conn.token());
                next = table.another(&mut room);
                continue;
            }
            let mut back = match table.park(conn, &mut room, outcome == Outcome::Again) {
                Ok(another) => {
                    next = another;
                    continue;
                }
                Err(back) => back,
            };
            if !back.wait_here(&table.worker) {
                let fault = Fault::new(Stage::Handle, conn::unable_to_wait());
                table.give_up(&mut back, &mut room, fault);
                break;
            }
            next = Some(back);
        }
        Ok(Next::Done)
    }

    /// The strategy inside could not run the visit: it has no thread for it.
    fn handle_error(&self, visit: &mut Visit<T::Request>, failure: &Failure) {
        if let (Some(table), Some(mut conn)) = (&self.table, visit.conn.take()) {
            let error = failure.as_error().map_or_else(|| ErrorKind::Other.into(), copy);
            let mut room = self.bounds.room(mem::take(&mut visit.spare));
            table.give_up(&mut conn, &mut room, Fault::new(Stage::Start, error));
        }
    }
}

/// The same error for another request.
fn copy(error: &io::Error) -> io::Error {
    let other = || io::Error::new(error.kind(), error.to_string());
    error.raw_os_error().map_or_else(other, io::Error::from_raw_os_error)
}

impl<T: Transport, H> fmt::Debug for Visits<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visits").field("table", &self.table).finish_non_exhaustive()
    }
}
