//! The handle by which a server is looked at and steered while it serves.

mod board;
mod served;

pub(crate) use board::Board;
pub use served::Served;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, Weak};

use self::board::TABLES;
use crate::in_flight::{Cut, InFlight};

/// Looks at a server and steers it while it serves: lists what is being served, cuts one of them,
/// takes no more requests for a while, and changes the server's [`Limits`](crate::Limits).
///
/// Made first, given to the server by [`Server::live`](crate::Server::live), and to whoever is to
/// use it: another thread, the handler. One may be given to several servers, and is for all of them
/// together. None of its methods waits for anything.
///
/// Other handles steer what is not a matter of requests: [`PoolSize`](crate::PoolSize) how many
/// threads a pool has, [`Workers`](crate::Workers) how many processes serve,
/// [`Listeners`](crate::Listeners) one of several sockets, [`StopHandle`](crate::StopHandle) the
/// end.
///
/// | method | when it applies |
/// | --- | --- |
/// | [`list`](Self::list) | now: what had been taken, verified or not, and had not ended |
/// | [`cut`](Self::cut) | at once, to whoever waits for the peer; otherwise to the next read or write |
/// | [`suspend`](Self::suspend) | to the next request; one that is being taken at this moment may still be |
/// | [`resume`](Self::resume) | at once |
/// | [`set_at_once`](Self::set_at_once), [`set_per_source`](Self::set_per_source), [`set_rate`](Self::set_rate) | to the next request; what is in flight stays |
///
/// # Processes
///
/// It lies in memory that forked processes share, as far as it can.
///
/// | | in a process of [`PreForking`](crate::PreForking) | in the parent of [`Forking`](crate::Forking) or [`ForkServer`](crate::ForkServer) | in a child of `Forking` |
/// | --- | --- | --- | --- |
/// | suspend, resume, limits | for all processes; limits count in each worker by itself | for the server | for the server |
/// | list | a worker's own; the supervisor has none, but the numbers of each worker: [`Counters::processes`](crate::Counters::processes) | all, with the processes that handle them | as it was when the child was forked |
/// | cut | a worker's own | all: the process that handles it gets a SIGTERM | the same of its siblings |
///
/// A child of a `ForkServer` has a copy from before its server had one: it lists nothing, and what it
/// changes is seen when something else wakes the server.
///
/// # What it costs
///
/// A server without one pays nothing for it. With one, a request has a place in a table, as it has
/// with a [`Drain`](crate::Drain), and no system call more; a list asks the system for the addresses
/// of those that it has not seen before. Where each request has a process of its own, its address is
/// asked for when it is handed over: one call, and two over a Unix socket.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use socketserver::{Live, ThreadingTcpServer};
///
/// let live = Live::new()?;
/// let seen = live.clone();
/// let server = ThreadingTcpServer::bind_fn("127.0.0.1:0", move |conn| {
///     for served in seen.list() {
///         writeln!(conn, "{:?} for {:?}", served.peer, served.since.elapsed())?;
///     }
///     Ok(())
/// })?
/// .live(&live);
/// let running = server.spawn()?;
///
/// live.suspend(); // Whoever connects now waits.
/// # let mut client = std::net::TcpStream::connect(running.local_addr()?)?;
/// live.resume();
/// # assert!(std::io::read_to_string(&mut client)?.starts_with("Some(\"127.0.0.1:"));
/// for served in live.list() {
///     live.cut(served.id);
/// }
/// running.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("admin", "connections", "pause"))]
pub struct Live(Arc<Shared>);

struct Shared {
    board: Arc<Board>,
    first: OnceLock<Box<Attended>>,
}

/// The books of a server, since it has opened them: a list that only grows, and has no lock, which a
/// forked child might find taken.
pub(crate) struct Attended {
    flight: Weak<InFlight>,
    has_rate: bool,
    tables: usize,
    next: OnceLock<Box<Self>>,
}

impl Live {
    /// For servers that take requests, within their own limits.
    ///
    /// # Errors
    ///
    /// Where the system has no page of memory for it.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Shared { board: Arc::new(Board::new()?), first: OnceLock::new() })))
    }

    /// What is being served, in the order in which it was taken: connections from their acceptance to
    /// their end, packets while they are handled.
    #[must_use]
    pub fn list(&self) -> Vec<Served> {
        let mut all: Vec<Served> = Vec::new();
        for flight in self.flights() {
            all.append(&mut flight.connections.list(flight.control.is_child()));
        }
        all.sort_unstable_by_key(|served| served.id);
        all
    }

    /// Cuts off the one that [`list`](Self::list) has told by this number, as the end of a server
    /// cuts what has not ended in time: its connection is shut down in both directions, so that
    /// whoever reads finds its end, and whoever writes an error. The request then ends as its handler
    /// has it end: well, where the end of its input is one to it, and otherwise failed, as
    /// [`Cut`](crate::FailureKind::Cut). Under [`Selecting`](crate::Selecting) the table sees the
    /// same.
    ///
    /// A request that has a process of its own (`Forking`, `ForkServer`) is ended with that, by
    /// SIGTERM, and has failed as `Cut`; a child that catches the signal goes on. At most 13 of them
    /// can wait to be seen by the parent at a time.
    ///
    /// Whether there was something to be cut: not where it has ended, was cut before, is a packet, or
    /// is of another process.
    #[expect(clippy::must_use_candidate, reason = "what has ended by itself is no less gone")]
    pub fn cut(&self, id: u64) -> bool {
        self.flights().any(|flight| {
            // In a child, the table is a copy: nothing in it is this process's to cut.
            let is_child = flight.control.is_child();
            match flight.connections.cut_one(id, is_child) {
                Cut::Done => true,
                Cut::Elsewhere => flight.control.ask_to_cut(id),
                Cut::Nothing => false,
            }
        })
    }

    /// Takes no further request, until it is [resumed](Self::resume). The sockets stay open: whoever
    /// connects waits in the queue that [`request_queue_size`](crate::Options::request_queue_size)
    /// bounds, and packets wait in the socket's buffer. What has been taken is not touched, nobody is
    /// refused meanwhile, and a stop is heard as always.
    pub fn suspend(&self) {
        self.0.board.suspend(true);
    }

    /// Takes requests again.
    pub fn resume(&self) {
        self.0.board.suspend(false);
        self.call();
    }

    /// Whether no requests are taken.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.0.board.is_suspended()
    }

    /// How many requests may be in flight at once from now on, in place of what
    /// [`Limits::at_once`](crate::Limits::at_once) says; for servers without limits too, whose
    /// requests then wait. Where more are in flight already, none is taken until enough have ended.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0: to take none, [`suspend`](Self::suspend).
    pub fn set_at_once(&self, most: usize) -> io::Result<()> {
        at_least_one(most, "at_once")?;
        self.0.board.set_at_once(most);
        self.call();
        Ok(())
    }

    /// How many requests of one source may be in flight at once from now on, by the `table` of that
    /// number: they count from 0, in the order in which
    /// [`Limits::per_source`](crate::Limits::per_source) was called.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0; `NotFound` where no server that has begun to serve has such a table, or
    /// its number is above 7.
    pub fn set_per_source(&self, table: usize, most: usize) -> io::Result<()> {
        at_least_one(most, "per_source")?;
        if table >= TABLES || !self.attended().any(|server| server.tables > table) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no server has begun to serve whose limits have a per_source {table}"),
            ));
        }
        self.0.board.set_per_source(table, most);
        Ok(())
    }

    /// How many requests may be taken from now on in each time that
    /// [`Limits::rate`](crate::Limits::rate) has told; the time stays.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0; `NotFound` where no server that has begun to serve has such a limit.
    pub fn set_rate(&self, most: u32) -> io::Result<()> {
        at_least_one(most as usize, "rate")?;
        if !self.attended().any(|server| server.has_rate) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no server has begun to serve whose limits have a rate to change",
            ));
        }
        self.0.board.set_rate(most);
        self.call();
        Ok(())
    }

    /// A server has opened its books.
    pub(crate) fn attend(&self, flight: &Arc<InFlight>, (has_rate, tables): (bool, usize)) {
        let flight = Arc::downgrade(flight);
        let mut new = Box::new(Attended { flight, has_rate, tables, next: OnceLock::new() });
        let mut place = &self.0.first;
        while let Err(back) = place.set(new) {
            new = back;
            let Some(there) = place.get() else { return };
            place = &there.next;
        }
    }

    pub(crate) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.0.board)
    }

    fn attended(&self) -> impl Iterator<Item = &Attended> {
        let first = self.0.first.get();
        std::iter::successors(first, |server| server.next.get()).map(|server| &**server)
    }

    fn flights(&self) -> impl Iterator<Item = Arc<InFlight>> {
        self.attended().filter_map(|server| server.flight.upgrade())
    }

    /// Wakes whoever waits for what has been changed, in all processes.
    fn call(&self) {
        self.0.board.note_change();
        self.flights().for_each(|flight| flight.control.call());
    }
}

fn at_least_one(most: usize, what: &str) -> io::Result<()> {
    if most > 0 {
        return Ok(());
    }
    let text = format!("{what} of 0 would let no request in; to take none, suspend the server");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("is_suspended", &self.is_suspended())
            .field("at_once", &self.0.board.at_once())
            .finish_non_exhaustive()
    }
}
