//! The table: where connections are while they wait, and which of them are to be looked at.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::time::Instant;

use super::conn::Conn;
use crate::request::Behind;

/// So many pieces of memory are kept for connections that have something to read.
const SPARE: usize = 64;

/// The place of a connection: a number that is used again, and how often it has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    pub(super) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn of(number: u64) -> Self {
        Self { index: number as u32, generation: (number >> 32) as u32 }
    }
}

/// What is to be done next.
pub(super) enum Next<R> {
    /// A connection has to be looked at.
    Conn(Box<Conn<R>>),
    /// There may be a new one.
    Arrival,
    /// Nothing, for now.
    Wait,
    /// Nothing any more.
    Over,
}

pub(super) struct Places<R> {
    all: Vec<Place<R>>,
    free: Vec<u32>,
    ready: VecDeque<Token>,
    /// Those that have had their turn, and are ready again when others have been looked for.
    again: Vec<Token>,
    arrival: bool,
    timers: BinaryHeap<Reverse<(Instant, Token)>>,
    parked: usize,
    /// The server takes no more requests.
    leaving: bool,
    /// Nobody comes back to the table any more.
    over: bool,
    spare: Vec<Vec<u8>>,
    /// When something is to be done that is no connection's.
    clock: Option<Instant>,
    /// Until when those wait who do, and whether one of them has been woken.
    waits: Vec<Option<Instant>>,
    woken: bool,
}

struct Place<R> {
    generation: u32,
    conn: State<R>,
    /// When a timer looks at it next.
    timer: Option<Instant>,
}

enum State<R> {
    Free,
    /// Somebody works at it; whether something has happened since, and what that was.
    Out {
        stirred: bool,
        behind: Behind,
    },
    Parked(Box<Conn<R>>),
    Ready(Box<Conn<R>>),
}

impl<R> State<R> {
    /// Somebody has begun to work at it.
    const AT_WORK: Self = Self::Out { stirred: false, behind: Behind::Nothing };
}

impl<R> Default for Places<R> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            again: Vec::new(),
            arrival: false,
            timers: BinaryHeap::new(),
            parked: 0,
            leaving: false,
            over: false,
            spare: Vec::new(),
            clock: None,
            waits: Vec::new(),
            woken: false,
        }
    }
}

impl<R> Places<R> {
    /// A place for a connection that somebody works at.
    pub(super) fn enter(&mut self) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.all.push(Place { generation: 0, conn: State::Free, timer: None });
            // A process has no 2^32 descriptors.
            (self.all.len() - 1) as u32
        });
        let place = &mut self.all[index as usize];
        place.conn = State::AT_WORK;
        Token { index, generation: place.generation }
    }

    /// The connection that somebody works at is gone.
    pub(super) fn leave(&mut self, token: Token) {
        if let Some(place) = self.place(token) {
            place.generation = place.generation.wrapping_add(1);
            (place.conn, place.timer) = (State::Free, None);
            self.free.push(token.index);
        }
    }

    fn place(&mut self, token: Token) -> Option<&mut Place<R>> {
        let place = self.all.get_mut(token.index as usize)?;
        (place.generation == token.generation).then_some(place)
    }

    /// Something has happened to a connection.
    pub(super) fn stir(&mut self, token: Token, behind: Behind) {
        let Some(place) = self.place(token) else { return };
        match mem::replace(&mut place.conn, State::Free) {
            State::Free => {}
            State::Out { behind: before, .. } => {
                place.conn = State::Out { stirred: true, behind: behind.max(before) };
            }
            State::Ready(mut conn) => {
                conn.state.stir(behind);
                place.conn = State::Ready(conn);
            }
            State::Parked(mut conn) => {
                conn.state.stir(behind);
                place.conn = State::Ready(conn);
                self.parked -= 1;
                self.ready.push_back(token);
            }
        }
    }

    /// There may be a new connection.
    pub(super) fn arrival(&mut self) {
        self.arrival = true;
    }

    /// What is to be looked at next. Whoever works at a connection gives it back with
    /// [`park`](Self::park), or has it [`leave`](Self::leave).
    pub(super) fn next(&mut self) -> Next<R> {
        // New ones take turns with the others.
        if mem::take(&mut self.arrival) {
            return Next::Arrival;
        }
        if let Some(conn) = self.ready() {
            return Next::Conn(conn);
        }
        self.over |= self.leaving && self.parked == 0 && self.again.is_empty();
        if self.over { Next::Over } else { Next::Wait }
    }

    fn ready(&mut self) -> Option<Box<Conn<R>>> {
        while let Some(token) = self.ready.pop_front() {
            let Some(place) = self.place(token) else { continue };
            match mem::replace(&mut place.conn, State::AT_WORK) {
                State::Ready(mut conn) => {
                    conn.state.leaving = self.leaving;
                    return Some(conn);
                }
                other => place.conn = other,
            }
        }
        None
    }

    /// Another connection for one who has just worked at one; who gets none gives back its memory.
    pub(super) fn another(&mut self, spare: &mut Vec<u8>) -> Option<Box<Conn<R>>> {
        let another = if self.arrival { None } else { self.ready() };
        if another.is_none() {
            self.spare(mem::take(spare));
        }
        another
    }

    /// Has a connection wait in its place, until something happens or `until`; one that has its turn
    /// `again` has it after the next wait. Where nobody comes back, it is returned.
    pub(super) fn park(
        &mut self,
        token: Token,
        mut conn: Box<Conn<R>>,
        until: Option<Instant>,
        again: bool,
    ) -> Option<Box<Conn<R>>> {
        if self.over {
            return Some(conn);
        }
        let leaving = self.leaving;
        let place = self.place(token)?;
        let (stirred, behind) = match place.conn {
            State::Out { stirred, behind } => (stirred, behind),
            _ => (false, Behind::Nothing),
        };
        if stirred {
            conn.state.stir(behind);
        }
        // One that has not seen yet that the server leaves has to.
        if again || stirred || (leaving && !conn.state.leaving) {
            place.conn = State::Ready(conn);
            if again {
                self.again.push(token);
            } else {
                self.ready.push_back(token);
            }
            return None;
        }
        place.conn = State::Parked(conn);
        self.parked += 1;
        if let Some(until) = until {
            self.set_timer(token, until);
        }
        None
    }

    fn set_timer(&mut self, token: Token, until: Instant) {
        let Some(place) = self.place(token) else { return };
        if place.timer.is_some_and(|timer| timer <= until) {
            return;
        }
        place.timer = Some(until);
        // Those of connections that are gone would stay until it is their time.
        if self.timers.len() > 2 * self.all.len() {
            let all = &self.all;
            self.timers.retain(|Reverse((at, token))| {
                let place = &all[token.index as usize];
                place.generation == token.generation && place.timer == Some(*at)
            });
        }
        self.timers.push(Reverse((until, token)));
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Has those looked at that may be late.
    pub(super) fn mind_the_clock(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while self.next_timer().is_some_and(|at| at <= now) {
            let Some(Reverse((at, token))) = self.timers.pop() else { break };
            match self.place(token) {
                Some(place) if place.timer == Some(at) => place.timer = None,
                _ => continue,
            }
            self.stir(token, Behind::Nothing);
        }
    }

    /// The server takes no more requests: whoever waits is looked at once more.
    pub(super) fn wind_up(&mut self) {
        self.leaving = true;
        for index in 0..self.all.len() {
            let place = &self.all[index];
            if let State::Parked(_) = place.conn {
                let token = Token { index: index as u32, generation: place.generation };
                self.stir(token, Behind::Nothing);
            }
        }
    }

    fn has_more(&self) -> bool {
        self.arrival || !self.ready.is_empty() || !self.again.is_empty()
    }

    /// When the clock has to be minded next.
    fn due(&self) -> Option<Instant> {
        [self.clock, self.next_timer()].into_iter().flatten().min()
    }

    /// Somebody is going to wait, and no longer than until `clock`; returns until when.
    pub(super) fn begin_to_wait(&mut self, clock: Option<Instant>) -> Option<Instant> {
        self.clock = clock;
        let until = if self.has_more() { Some(Instant::now()) } else { self.due() };
        self.waits.push(until);
        until
    }

    /// And waits no more.
    pub(super) fn end_to_wait(&mut self, until: Option<Instant>) {
        if let Some(index) = self.waits.iter().position(|other| *other == until) {
            self.waits.swap_remove(index);
        }
    }

    /// Others have been looked for: those have their turn again that have had it.
    pub(super) fn take_turns(&mut self) {
        self.ready.extend(self.again.drain(..));
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waits.len()
    }

    /// Whether one of those who wait has to be woken, and has not been: there is something to do, or
    /// none of them would look at the clock in time.
    pub(super) fn wake(&mut self) -> bool {
        let too_late =
            |due: Instant| self.waits.iter().all(|until| until.is_none_or(|until| due < until));
        let needed =
            !self.waits.is_empty() && (self.has_more() || self.due().is_some_and(too_late));
        needed && !mem::replace(&mut self.woken, true)
    }

    /// The one who was woken is awake.
    pub(super) fn awake(&mut self) {
        self.woken = false;
    }

    /// Memory for whoever works at a connection.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps memory for the next one that needs some.
    fn spare(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() > 0 && self.spare.len() < SPARE {
            self.spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
