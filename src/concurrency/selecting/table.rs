//! A transport whose requests are visits to connections that have something to do.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::conn::Conn;
use super::entrance::Entrance;
use super::places::{Next, Places, Token};
use crate::control::Waiter;
use crate::failure::Stage;
use crate::handler::Handler;
use crate::request::{Behind, Request, Room, Selectable};
use crate::session::Session;
use crate::sys::{Bell, Happening, Happenings, Interest, Selector};
use crate::transport::Transport;
use crate::worker::{Fault, Worker};

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
    /// Whether several have ever waited at the selector.
    several: AtomicBool,
    /// Wakes one who waits there.
    nudge: Bell,
    /// Why no more requests can be got.
    error: Mutex<Option<io::Error>>,
}

/// A connection that one alone works at.
type Own<T> = Box<Conn<<T as Transport>::Request>>;

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
            several: AtomicBool::new(false),
            nudge,
            error: Mutex::default(),
        })
    }

    /// Why the session has ended, where it was an error.
    pub(super) fn end(&self) -> io::Result<()> {
        *self.entrance.lock() = None;
        mem::take(&mut *self.error.lock()).map_or(Ok(()), Err)
    }

    /// Has a connection wait, until something happens or its peer is late; one that has its turn
    /// `again` is taken up when others have been looked for. Returns the next one to be worked at;
    /// where nobody comes back to the table, the same.
    pub(super) fn park(
        &self,
        mut conn: Box<Conn<T::Request>>,
        room: &mut Room,
        again: bool,
    ) -> Result<Option<Own<T>>, Own<T>> {
        let enter = || self.places.lock().enter();
        let token = match conn.register(&self.worker, &self.selector, enter) {
            Ok(token) => token,
            Err(error) => {
                self.give_up(&mut conn, room, Fault::new(Stage::Handle, error));
                return Ok(self.another(room));
            }
        };
        let until = conn.until(&self.worker);
        let mut places = self.places.lock();
        match places.park(token, conn, until, again) {
            None => Ok(self.another_of(places, room)),
            Some(back) => Err(back),
        }
    }

    /// Ends a connection that can't wait, or not be worked at.
    pub(super) fn give_up(&self, conn: &mut Conn<T::Request>, room: &mut Room, fault: Fault) {
        conn.give_up(&self.worker, &self.selector, room, fault);
        self.left(conn.token());
    }

    /// A connection is gone.
    pub(super) fn left(&self, token: Option<Token>) {
        if let Some(token) = token {
            self.places.lock().leave(token);
        }
    }

    /// The next connection for one who has just worked at one.
    pub(super) fn another(&self, room: &mut Room) -> Option<Box<Conn<T::Request>>> {
        self.another_of(self.places.lock(), room)
    }

    fn another_of(
        &self,
        mut places: MutexGuard<'_, Places<T::Request>>,
        room: &mut Room,
    ) -> Option<Box<Conn<T::Request>>> {
        let another = places.another(&mut room.spare);
        // Whoever works here may not come back, or not soon.
        self.wake(places);
        another
    }

    /// Wakes one who waits at the selector, where there is reason to.
    fn wake(&self, mut places: MutexGuard<'_, Places<T::Request>>) {
        let wake = places.wake();
        drop(places);
        if wake {
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

    /// Somebody is going to wait; until when.
    fn before_wait(&self, deadline: Option<Instant>) -> io::Result<Option<Instant>> {
        let clock = match &mut *self.entrance.lock() {
            Some(entrance) => entrance.before_wait(&self.selector, self.interest())?,
            None => None,
        };
        let clock = [deadline, clock].into_iter().flatten().min();
        let mut places = self.places.lock();
        let until = places.begin_to_wait(clock);
        if places.waiting() > 1 {
            self.several.store(true, SeqCst);
        }
        Ok(until)
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
            let (conn, spare) = match places.next() {
                Next::Conn(conn) => (conn, places.lend()),
                Next::Arrival => {
                    self.wake(places);
                    let Some(conn) = self.arrival() else { continue };
                    places = self.places.lock();
                    (conn, places.lend())
                }
                Next::Wait => return Err(io::ErrorKind::WouldBlock.into()),
                Next::Over => return Ok(None),
            };
            // Whoever has something to do looks at nothing else for as long as it lasts, and there
            // may be another new one at once, which the listener does not tell of.
            self.wake(places);
            return Ok(Some(Visit { conn: Some(conn), spare }));
        }
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        let until = self.before_wait(waiter.deadline())?;
        let (mut happenings, mut heard) = (Happenings::none(), false);
        let waited = self.selector.wait(until, &mut happenings);
        let mut places = self.places.lock();
        places.end_to_wait(until);
        waited?;
        for happening in happenings.iter() {
            match happening.token() {
                LISTENER => places.arrival(),
                BELL => heard = true,
                OWN_BELL => waiter.hush(),
                NUDGE => {
                    self.nudge.drain();
                    places.awake();
                }
                number => places.stir(Token::of(number), behind(happening)),
            }
        }
        places.take_turns();
        drop(places);
        self.after_wait(heard);
        Ok(())
    }
}

/// What there may be behind a short read, by what has happened.
fn behind(happening: Happening) -> Behind {
    if happening.is_urgent() {
        Behind::Urgent
    } else if happening.is_last() {
        Behind::Something
    } else {
        Behind::Nothing
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
