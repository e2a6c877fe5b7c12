//! The two directions of a connection in memory, and whoever waits at either end.

use std::collections::VecDeque;
use std::collections::vec_deque::Drain;
use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::clock::Clock;
use super::link::{Course, Going, Link};
use crate::request::Way;

/// So many bytes one side may send before the other has read some.
pub(super) const WINDOW: usize = 1024 * 1024;

/// The end of a connection that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) clock: Clock,
}

#[derive(Debug)]
struct State {
    to_client: Flow,
    to_server: Flow,
    /// What the server meets.
    reads: Course,
    writes: Course,
    reset: bool,
    /// What the server waits for, and until when.
    waiting: Option<(Way, Option<Instant>)>,
    /// How long a read and a write of each side waits.
    client_patience: Patience,
    server_patience: Patience,
}

/// What is on its way to one side.
#[derive(Debug, Default)]
struct Flow {
    bytes: VecDeque<u8>,
    /// No more will come.
    ended: bool,
    /// Nobody reads it any more.
    closed: bool,
}

#[derive(Debug, Default)]
struct Patience {
    read: Option<Duration>,
    write: Option<Duration>,
}

impl Patience {
    fn of(&mut self, way: Way) -> &mut Option<Duration> {
        match way {
            Way::Read => &mut self.read,
            Way::Write => &mut self.write,
        }
    }
}

impl State {
    fn to(&mut self, side: Side) -> &mut Flow {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }

    fn from(&mut self, side: Side) -> &mut Flow {
        match side {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        }
    }

    fn patience(&mut self, side: Side, way: Way) -> &mut Option<Duration> {
        match side {
            Side::Client => self.client_patience.of(way),
            Side::Server => self.server_patience.of(way),
        }
    }

    /// How many bytes can go this way at once: none at the end of the input. None where it has to be
    /// waited for.
    fn look(&mut self, side: Side, way: Way, now: Instant) -> Result<Option<usize>, Errno> {
        if self.reset {
            return Err(Errno::ECONNRESET);
        }
        match way {
            Way::Read if self.to(side).closed => return Ok(Some(0)),
            Way::Write if self.from(side).ended || self.from(side).closed => {
                return Err(Errno::EPIPE);
            }
            _ => {}
        }
        let going = match (side, way) {
            (Side::Client, _) => Going::On(usize::MAX),
            (Side::Server, Way::Read) => self.reads.look(now),
            (Side::Server, Way::Write) => self.writes.look(now),
        };
        let most = match going {
            Going::On(most) => most,
            Going::Stalled => return Ok(None),
            Going::Reset => {
                self.reset();
                return Err(Errno::ECONNRESET);
            }
        };
        let there = match way {
            Way::Read => self.to(side).bytes.len(),
            Way::Write => WINDOW - self.from(side).bytes.len(),
        };
        let ended = way == Way::Read && self.to(side).ended;
        Ok(Some(there.min(most)).filter(|count| *count > 0 || ended))
    }

    /// Neither side has anything of it any more.
    fn reset(&mut self) {
        self.reset = true;
        self.to_client.bytes.clear();
        self.to_server.bytes.clear();
    }

    /// Whether the server waits, and nothing has come since.
    fn waits(&mut self, now: Instant) -> bool {
        let Some((way, until)) = self.waiting else { return false };
        until.is_none_or(|until| now < until) && self.look(Side::Server, way, now) == Ok(None)
    }
}

impl Pipe {
    pub(super) fn new(clock: Clock, link: Link) -> Self {
        let Link { reads, writes, .. } = link;
        let state = State {
            to_client: Flow::default(),
            to_server: Flow::default(),
            reads,
            writes,
            reset: false,
            waiting: None,
            client_patience: Patience::default(),
            server_patience: Patience::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), clock }
    }

    /// Has `put` take what there is, up to so many bytes; returns how many.
    pub(super) fn receive(
        &self,
        side: Side,
        room: usize,
        waits: bool,
        put: impl FnOnce(Drain<'_, u8>),
    ) -> io::Result<usize> {
        if room == 0 {
            return Ok(0);
        }
        let (mut state, there) = self.ready(side, Way::Read, waits)?;
        let count = there.min(room);
        put(state.to(side).bytes.drain(..count));
        if side == Side::Server {
            state.reads.pass(count);
        }
        self.changed.notify_all();
        Ok(count)
    }

    /// Sends what there is room for; how many bytes that were.
    pub(super) fn send(&self, side: Side, bytes: &[u8], waits: bool) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let (mut state, room) = self.ready(side, Way::Write, waits)?;
        let count = room.min(bytes.len());
        state.from(side).bytes.extend(&bytes[..count]);
        if side == Side::Server {
            state.writes.pass(count);
        }
        self.changed.notify_all();
        Ok(count)
    }

    fn ready(
        &self,
        side: Side,
        way: Way,
        waits: bool,
    ) -> io::Result<(MutexGuard<'_, State>, usize)> {
        let mut state = self.state.lock();
        let patience = *state.patience(side, way);
        let begun = self.now(side);
        let until = patience.and_then(|time| begun.checked_add(time));
        loop {
            let look = state.look(side, way, self.clock.now());
            if look.is_err() {
                // It may be a reset that the other side waits without knowing of.
                self.changed.notify_all();
            }
            match look? {
                Some(count) => return Ok((state, count)),
                None if !waits || until.is_some_and(|until| until <= self.now(side)) => {
                    return Err(Errno::EAGAIN.into());
                }
                None => self.doze(side, way, until, &mut state),
            }
        }
    }

    /// As poll(2), for the server.
    pub(super) fn wait(&self, way: Way, until: Option<Instant>) {
        let mut state = self.state.lock();
        let is_late = || until.is_some_and(|until| until <= self.clock.now());
        while !is_late() && state.look(Side::Server, way, self.clock.now()) == Ok(None) {
            self.doze(Side::Server, way, until, &mut state);
        }
    }

    /// The server's time is the clock's, the client's is the system's.
    fn now(&self, side: Side) -> Instant {
        match side {
            Side::Client => Instant::now(),
            Side::Server => self.clock.now(),
        }
    }

    fn doze(
        &self,
        side: Side,
        way: Way,
        until: Option<Instant>,
        state: &mut MutexGuard<'_, State>,
    ) {
        match (side, until) {
            (Side::Server, until) => {
                state.waiting = Some((way, until));
                // The client may wait for this.
                self.changed.notify_all();
                self.changed.wait(state);
                state.waiting = None;
            }
            (Side::Client, Some(until)) => {
                self.changed.wait_until(state, until);
            }
            (Side::Client, None) => self.changed.wait(state),
        }
    }

    /// Waits until the server waits for the client.
    pub(super) fn until_waited_for(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let patience = *state.patience(Side::Client, Way::Read);
        let until = patience.and_then(|time| Instant::now().checked_add(time));
        while !state.waits(self.clock.now()) {
            if state.reset || state.to_server.closed {
                return Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    "the server does not wait for this client: the connection has ended",
                ));
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(Errno::EAGAIN.into());
            }
            self.doze(Side::Client, Way::Read, until, &mut state);
        }
        Ok(())
    }

    pub(super) fn shutdown(&self, side: Side, how: Shutdown) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.reset {
            return Err(Errno::ENOTCONN.into());
        }
        if how != Shutdown::Write {
            state.to(side).closed = true;
        }
        if how != Shutdown::Read {
            state.from(side).ended = true;
        }
        self.changed.notify_all();
        Ok(())
    }

    pub(super) fn reset(&self) {
        self.state.lock().reset();
        self.changed.notify_all();
    }

    pub(super) fn release(&self) {
        let mut state = self.state.lock();
        state.reads.release();
        state.writes.release();
        self.changed.notify_all();
    }

    pub(super) fn set_patience(&self, side: Side, way: Way, time: Option<Duration>) {
        *self.state.lock().patience(side, way) = time;
    }

    /// Has whoever waits look again.
    pub(super) fn wake(&self) {
        let _state = self.state.lock();
        self.changed.notify_all();
    }
}
