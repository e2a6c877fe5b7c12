//! Where a process has its rows, from their claim to their acknowledgement.
//!
//! Rows are claimed in batches, and their ends are written down in batches: one query serves many. A
//! process has a batch in hand at most, so a slow one takes no more than it can do, and asks for more
//! when half of them have ended.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::TrySendError;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use socketserver::{Channel, Sender, Transport};

use crate::clerk::{Clerk, Selector};
use crate::post::Post;
use crate::store::{Claim, Database, End, Retry};

/// How this process works.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) database: Database,
    /// How many rows it has in hand at most.
    pub(crate) batch: usize,
    /// For how long a row is this process's. It has to be longer than the handling of a batch.
    pub(crate) lease: Duration,
    pub(crate) retry: Retry,
    /// How often it looks for rows that are due by the time, or of which nobody has told, and how
    /// long an end may wait to be written down.
    pub(crate) interval: Duration,
    /// Whether it ends when no row is left.
    pub(crate) until_empty: bool,
}

/// A row, and until when it is this process's.
pub(crate) type Held = (Claim, Instant);

#[derive(Debug)]
pub(crate) struct Desk {
    terms: Terms,
    /// By which children tell of their ends.
    post: Post,
    /// It belongs to the process that serves, which is not always that in which the server was made.
    office: OnceLock<Office>,
    /// Nobody will look at the desk again: whoever has an end writes it down.
    closed: AtomicBool,
}

#[derive(Debug)]
struct Office {
    process: u32,
    rows: Channel<Held>,
    ends: Sender<End>,
    selector: Selector,
    clerk: Mutex<Clerk>,
    opened: Instant,
    /// When there is something to do although nothing happens, in milliseconds since it was opened.
    due: AtomicU64,
}

impl Desk {
    pub(crate) fn new(terms: Terms) -> io::Result<Self> {
        let (office, closed) = (OnceLock::new(), AtomicBool::new(false));
        Ok(Self { terms, post: Post::new()?, office, closed })
    }

    fn open(&self) -> io::Result<Office> {
        let terms = &self.terms;
        // Room for those whose lease has passed, too.
        let (rows_to, rows) = Channel::bounded(2 * terms.batch)?;
        let (ends, ends_from) = Channel::bounded(2 * terms.batch)?;
        let selector = Selector::new(&rows, &ends_from, &self.post)?;
        let clerk = Mutex::new(Clerk::new(rows_to, ends_from));
        let (opened, due) = (Instant::now(), AtomicU64::new(0));
        Ok(Office { process: process::id(), rows, ends, selector, clerk, opened, due })
    }

    /// That of this process, if it has one.
    fn own_office(&self) -> Option<&Office> {
        self.office.get().filter(|office| office.process == process::id())
    }

    /// The next row that has been claimed; `WouldBlock` where none has, and nothing where there will
    /// be none.
    pub(crate) fn next(&self) -> io::Result<Option<Claim>> {
        let Some(office) = self.office.get() else { return Err(ErrorKind::WouldBlock.into()) };
        while let Some(held) = office.rows.get_request()? {
            let (claim, until) = held.into_inner();
            // Where it has waited too long here, it is another's.
            if Instant::now() < until {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Does what there is to do; where no rows have come of it, returns what to wait at.
    pub(crate) fn work(&self) -> io::Result<Option<&OwnedFd>> {
        let office = match self.office.get() {
            Some(office) => office,
            None => {
                // Several threads may come first; the office of one is it.
                let opened = self.open()?;
                self.office.get_or_init(|| opened)
            }
        };
        let come = self.at(office).work(&self.terms, &office.selector, &self.post);
        Ok((!come).then(|| office.selector.descriptor()))
    }

    /// What is to be done from time to time: called in the serve loop.
    pub(crate) fn tick(&self) {
        let Some(office) = self.office.get() else { return };
        let now = u64::try_from(office.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = office.due.load(SeqCst);
        let interval = u64::try_from(self.terms.interval.as_millis()).unwrap_or(u64::MAX);
        let next = now.saturating_add(interval);
        if due <= now && office.due.compare_exchange(due, next, SeqCst, SeqCst).is_ok() {
            self.at(office).work(&self.terms, &office.selector, &self.post);
        }
    }

    fn at<'d>(&self, office: &'d Office) -> MutexGuard<'d, Clerk> {
        office.clerk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row has ended, in this process or in a child of it.
    pub(crate) fn report(&self, end: End) {
        let sent = match self.office.get() {
            Some(office) => office.ends.try_send(end),
            None => Err(TrySendError::Disconnected(end)),
        };
        // The desk is in another process.
        if let Err(TrySendError::Disconnected(end) | TrySendError::Full(end)) = sent
            && let Err(error) = self.post.send(&end)
        {
            crate::note(&format!("row {}: its end can't be told: {error}", end.id));
        }
        if self.closed.load(SeqCst) {
            self.finish();
        }
    }

    /// Takes no more rows, and gives back those that nobody has begun with.
    pub(crate) fn close(&self) {
        let Some(office) = self.own_office() else { return };
        self.closed.store(true, SeqCst);
        let mut left = Vec::new();
        while let Ok(Some(held)) = office.rows.get_request() {
            left.push(held.into_inner().0);
        }
        self.at(office).close(&left, &self.terms, &self.post);
    }

    /// Writes down what has ended since.
    pub(crate) fn finish(&self) {
        if let Some(office) = self.own_office() {
            self.at(office).close(&[], &self.terms, &self.post);
        }
    }
}
