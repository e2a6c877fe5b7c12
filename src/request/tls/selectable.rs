//! A connection through TLS that waits for its peer in a table.

use std::io::{self, BufRead, ErrorKind, Read};
use std::time::Instant;

use super::{State, TlsRequest, TlsStream};
use crate::request::selectable::{Progress, Room, Selectable};

/// What has been decrypted and not been read.
#[derive(Default)]
pub(super) struct Taken {
    bytes: Vec<u8>,
    start: usize,
}

impl Taken {
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unread().is_empty()
    }

    pub(super) fn consume(&mut self, amount: usize) {
        self.start = self.bytes.len().min(self.start + amount);
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.unread().read(into)?;
        self.consume(count);
        Ok(count)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }
}

impl<R: TlsStream> TlsRequest<R> {
    /// Decrypts what the inner one has taken in, up to `room` bytes; whether that was the end.
    fn take_in(&mut self, room: usize) -> bool {
        if let Err(error) = self.secure(self.ended) {
            // The next read says the same.
            return error.kind() != ErrorKind::WouldBlock;
        }
        loop {
            let State::Open(conn) = &mut self.state else { return true };
            if self.broken {
                return true;
            }
            let left = room.saturating_sub(self.taken.unread().len());
            if left == 0 {
                return false;
            }
            match conn.reader().fill_buf() {
                Ok([]) => return true,
                Ok(chunk) => {
                    let part = chunk.len().min(left);
                    self.taken.add(&chunk[..part]);
                    conn.reader().consume(part);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
            match self.receive(false).and_then(|_| self.process()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.ended,
                Err(_) => return true,
            }
        }
    }
}

impl<R: TlsStream + Selectable> Selectable for TlsRequest<R> {
    fn advance(&mut self, room: &mut Room) -> io::Result<Progress> {
        self.input = Some(R::input);
        loop {
            let progress = self.inner.advance(room)?;
            self.ended |= progress == Progress::Ended;
            if progress == Progress::Sending || self.leaving || !self.established {
                return Ok(progress);
            }
            // Whether the peer takes it is the inner one's to say.
            if self.send_piece()? {
                continue;
            }
            if self.is_clear() {
                return Ok(progress);
            }
            let before = self.inner.input().len();
            let ended = self.take_in(room.input());
            // Otherwise the inner one may have room again, or something to send.
            if self.inner.input().len() == before {
                return Ok(if ended { Progress::Ended } else { Progress::Receiving });
            }
        }
    }

    fn input(&self) -> &[u8] {
        if self.is_clear() { self.inner.input() } else { self.taken.unread() }
    }

    fn until(&mut self) -> Option<Instant> {
        self.inner.until()
    }
}
