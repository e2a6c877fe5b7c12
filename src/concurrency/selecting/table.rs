//! A transport whose requests are visits to connections that have something to do.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;

use super::conn::Conn;
use super::entrance::Entrance;
use super::places::{Next, Places, Token};
use crate::control::Waiter;
use crate::handler::Handler;
use crate::request::{Request, Selectable};
use crate::session::Session;
use crate::sys::{Bell, Interest, Selector};
use crate::transport::Transport;
use crate::worker::Worker;

/// What the selector tells of that is no connection; a process has not so many descriptors.
pub(super) const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const OWN_BELL: u64 = u64::MAX - 2;
const NUDGE: u64 = u64::MAX - 3;

/// The connections of a session, and where they wait: a transport for the strategy inside, which
/// pulls visits from it as it would pull requests.
pub struct Table<T: Transport, H> {
    pub(super) worker: Worker<H>,
    pub(super) selector: Selector,
    entrance: Mutex<Option<Entrance<T, H>>>,
    places: Mutex<Places<T::Request>>,
    /// How many wait at the selector, and whether several ever have.
    waiting: AtomicUsize,
    several: AtomicBool,
    /// Wakes one of them.
    nudge: Bell,
    nudged: AtomicBool,
    /// Why no more requests can be got.
    error: Mutex<Option<io::Error>>,
}

/// A connection that has something to do, for as long as somebody works at it.
pub struct Visit<R> {
    pub(super) conn: Option<Box<Conn<R>>>,
    pub(super) spare: Vec<u8>,
}

impl<R> Request for Visit<R> {}

impl<T, H> Table<T, H>
where
    T: Transport<Request: Selectable> + AsFd,
    H: Handler<T::Request>,
{
    /// A table for the requests of `session`; `own` is the bell of the session that pulls from it.
    pub(super) fn new(session: Session<T, H>, own: &impl AsFd) -> io::Result<Self> {
        let (selector, nudge) = (Selector::new()?, Bell::new()?);
        selector.add(session.bell(), Interest::Readable, BELL)?;
        selector.add(own, Interest::Readable, OWN_BELL)?;
        selector.add(&nudge, Interest::Readable, NUDGE)?;
        let worker = session.worker();
        let entrance = Mutex::new(Some(Entrance::new(session, &selector)?));
        Ok(Self {
            worker,
            selector,
            entrance,
            places: Mutex::default(),
            waiting: AtomicUsize::new(0),
            several: AtomicBool::new(false),
            nudge,
            nudged: AtomicBool::new(false),
            error: Mutex::default(),
        })
    }

    /// Why the session has ended, where it was an error.
    pub(super) fn end(&self) -> io::Result<()> {
        *self.entrance.lock() = None;
        mem::take(&mut *self.error.lock()).map_or(Ok(()), Err)
    }

    /// Has a connection wait, until something happens or its peer is late; one that has its turn
    /// `again` is taken up as soon as the others have had theirs. Where nobody comes back to the
    /// table, it is returned.
    pub(super) fn park(
        &self,
        mut conn: Box<Conn<T::Request>>,
        spare: Vec<u8>,
        again: bool,
    ) -> Option<Box<Conn<T::Request>>> {
        let enter = || self.places.lock().enter();
        if let Err(error) = conn.register(&self.selector, enter) {
            conn.give_up(&self.worker, &self.selector, error);
            self.left(conn.token(), spare);
            return None;
        }
        let token = conn.token()?;
        let until = conn.until();
        let mut places = self.places.lock();
        places.spare(spare);
        let late = places.looks_too_late(until);
        let back = places.park(token, conn, until, again);
        drop(places);
        if late {
            self.nudge();
        }
        back
    }

    /// A connection is gone.
    pub(super) fn left(&self, token: Option<Token>, spare: Vec<u8>) {
        if token.is_none() && spare.capacity() == 0 {
            return;
        }
        let mut places = self.places.lock();
        if let Some(token) = token {
            places.leave(token);
        }
        places.spare(spare);
    }

    /// Wakes one who waits, if anybody does.
    fn nudge(&self) {
        if self.waiting.load(SeqCst) > 0 && !self.nudged.swap(true, SeqCst) {
            self.nudge.ring();
        }
    }

    /// A new connection, if there is one.
    fn arrival(&self) -> Option<Box<Conn<T::Request>>> {
        let mut entrance = self.entrance.lock();
        match entrance.as_mut()?.take_next(&self.selector, self.interest()) {
            Ok(Some(job)) => {
                if entrance.as_ref()?.is_busy() {
                    self.places.lock().arrival();
                }
                Some(Box::new(Conn::new(job)))
            }
            Ok(None) if !entrance.as_ref()?.is_over() => None,
            ended => {
                if let Some(entrance) = entrance.take() {
                    entrance.close(&self.selector);
                }
                drop(entrance);
                *self.error.lock() = ended.err();
                self.places.lock().wind_up();
                None
            }
        }
    }

    /// How the listener is to be told of: where several wait, to one of them.
    fn interest(&self) -> Interest {
        if self.several.load(SeqCst) { Interest::ReadableOnce } else { Interest::Readable }
    }

    /// Until when to wait.
    fn before_wait(&self, deadline: Option<Instant>) -> io::Result<Option<Instant>> {
        let clock = match &mut *self.entrance.lock() {
            Some(entrance) => entrance.before_wait(&self.selector, self.interest())?,
            None => None,
        };
        let mut places = self.places.lock();
        let until = [deadline, clock, places.next_timer()].into_iter().flatten().min();
        places.looks = until;
        Ok(if places.has_more() { Some(Instant::now()) } else { until })
    }

    fn after_wait(&self, heard: bool) {
        let over = self.entrance.lock().as_ref().is_some_and(|entrance| entrance.after_wait(heard));
        let mut places = self.places.lock();
        if over {
            places.arrival();
        }
        places.mind_the_clock();
    }
}

impl<T, H> Transport for Table<T, H>
where
    T: Transport<Request: Selectable> + AsFd,
    H: Handler<T::Request>,
{
    type Request = Visit<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        loop {
            let mut places = self.places.lock();
            let next = places.next();
            let more = places.has_more();
            drop(places);
            if more {
                self.nudge();
            }
            let (conn, spare) = match next {
                Next::Conn(conn, spare) => (Some(conn), spare),
                Next::Arrival => (self.arrival(), Vec::new()),
                Next::Wait => return Err(io::ErrorKind::WouldBlock.into()),
                Next::Over => return Ok(None),
            };
            if conn.is_some() {
                return Ok(Some(Visit { conn, spare }));
            }
        }
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        let until = self.before_wait(waiter.deadline())?;
        if self.waiting.fetch_add(1, SeqCst) > 0 {
            self.several.store(true, SeqCst);
        }
        let happenings = self.selector.wait(until);
        self.waiting.fetch_sub(1, SeqCst);
        let (happenings, mut heard) = (happenings?, false);
        let mut places = self.places.lock();
        for happening in happenings.iter() {
            match happening.token() {
                LISTENER => places.arrival(),
                BELL => heard = true,
                OWN_BELL => waiter.hush(),
                NUDGE => {
                    self.nudge.drain();
                    self.nudged.store(false, SeqCst);
                }
                number => places.stir(Token::of(number), happening.ends()),
            }
        }
        drop(places);
        self.after_wait(heard);
        Ok(())
    }
}

impl<R> fmt::Debug for Visit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").finish_non_exhaustive()
    }
}

impl<T: Transport, H> fmt::Debug for Table<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("selector", &self.selector).finish_non_exhaustive()
    }
}
