//! A connection as a table sees it.

use std::io::{self, Write};
use std::mem;
use std::time::Instant;

use super::buffer::Intake;
use super::deadlines::Deadlines;
use super::hangup::{Lingering, Need};
use super::selectable::{Behind, Progress, Room, Selectable};
use super::socket::{StreamSocket, Watchable};
use super::stream::StreamRequest;
use super::watch::Watch;
use super::wire::Wire;

impl<S: Watchable, A> Selectable for StreamRequest<S, A> {
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress> {
        if self.detached {
            // What comes is for whoever has the connection now.
            return self.flush().map(|()| Progress::Ended);
        }
        if !self.wire.is_selected() {
            self.select(room.replies);
        }
        self.wire.set_waiting(!room.opening);
        let flushed = if self.writer.has_failed() { Ok(()) } else { self.flush() };
        let sent = flushed.and_then(|()| self.wire.send_held());
        if self.leaving {
            // There is nobody left who could be told of an error.
            return Ok(if let Ok(false) = sent { Progress::Sending } else { self.leave(room) });
        }
        if !sent? {
            self.reader.give_back(room);
            return Ok(Progress::Sending);
        }
        if self.wire.minders.as_mut().is_some_and(|minders| mem::take(&mut minders.answered)) {
            self.settle();
        }
        let progress = if room.stirred { self.take_in(room) } else { Progress::Receiving };
        self.reader.give_back(room);
        Ok(progress)
    }

    fn input(&self) -> &[u8] {
        self.reader.unread()
    }

    fn until(&mut self) -> Option<Instant> {
        self.wire.until()
    }
}

impl<S: StreamSocket, A> StreamRequest<S, A> {
    /// In a table: what is left of the end.
    fn leave(&mut self, room: &mut Room) -> Progress {
        if self.wire.minders.as_ref().is_none_or(|minders| minders.lingering.is_none()) {
            let needed = self.hang_up().filter(|(need, ..)| *need != Need::Nothing);
            if let Some((need, bytes, time)) = needed {
                let lingering = Lingering::new(&self.wire.socket, need, bytes, time);
                self.wire.minders.get_or_insert_default().lingering = Some(lingering);
            }
        }
        // Nobody reads any more.
        self.reader.consume(self.reader.unread().len());
        self.reader.give_back(room);
        let Wire { minders, socket, .. } = &mut self.wire;
        let lingering = minders.as_mut().and_then(|minders| minders.lingering.as_mut());
        let over = lingering.is_none_or(|lingering| lingering.is_over(socket));
        if over { Progress::Ended } else { Progress::Receiving }
    }

    /// It waits in a table from now on.
    fn select(&mut self, replies: usize) {
        self.wire.select(replies);
        if self.wire.watch().is_none() {
            self.watch_timeout();
        }
    }

    /// No single read or write waits in a table, so the timeout of each is the clock's.
    pub(super) fn watch_timeout(&mut self) {
        if self.timeout.is_some() {
            let time = self.wire.socket.time();
            let watch = Watch::new(Deadlines::new(), self.timeout, false, None, time);
            self.wire.minders.get_or_insert_default().watch = Some(watch);
        }
    }

    /// An exchange is over, and answered.
    pub(super) fn settle(&mut self) {
        let unread = !self.reader.unread().is_empty();
        if let Some(minders) = &mut self.wire.minders {
            if let Some(watch) = &mut minders.watch {
                watch.next_exchange(unread);
            }
            match &minders.activity {
                Some(activity) if !unread => activity.idle(),
                _ => {}
            }
        }
    }

    /// In a table: takes in what has come.
    fn take_in(&mut self, room: &mut Room) -> Progress {
        if room.behind == Behind::Urgent {
            self.wire.keep_urgent();
        }
        while self.unread().len() < room.input {
            match self.reader.take_in(&mut self.wire, room) {
                Ok(Intake::More) => {}
                Ok(Intake::Nothing) => {
                    room.stirred = false;
                    break;
                }
                Ok(Intake::Ended) => return Progress::Ended,
                Err(error) => {
                    self.wire.keep(error);
                    return Progress::Ended;
                }
            }
        }
        Progress::Receiving
    }
}
