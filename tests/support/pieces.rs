//! A connection without a socket, whose bytes come in pieces.

use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::mem;
use std::time::Instant;

use socketserver::{Connection, Deadlines, Hangup, Request, Transport, Waiter};

/// A connection whose bytes come in pieces of these lengths, over and over; at the end of each there
/// is nothing for once.
#[derive(Debug)]
pub struct Pieces {
    pub bytes: Vec<u8>,
    pub at: usize,
    shown: usize,
    pub lengths: Vec<usize>,
    next: usize,
    /// What has been written.
    pub said: Vec<u8>,
}

impl Pieces {
    pub fn new(bytes: Vec<u8>, lengths: &[usize]) -> Self {
        Self { bytes, at: 0, shown: 0, lengths: lengths.to_vec(), next: 0, said: Vec::new() }
    }

    /// Goes on with these.
    pub fn go_on(&mut self, bytes: Vec<u8>, lengths: &[usize]) {
        let said = mem::take(&mut self.said);
        *self = Self { said, ..Self::new(bytes, lengths) };
    }

    /// How often at most it says that there is nothing yet.
    pub fn tries(&self) -> usize {
        (self.bytes.len() + 2) * self.lengths.len()
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.shown == 0 && self.at < self.bytes.len() {
            let length = self.lengths[self.next % self.lengths.len()];
            self.next += 1;
            if length == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.shown = length.min(self.bytes.len() - self.at);
        }
        Ok(&self.bytes[self.at..self.at + self.shown])
    }

    fn consume(&mut self, amount: usize) {
        assert!(amount <= self.shown, "more is taken than was shown");
        self.shown -= amount;
        self.at += amount;
    }
}

impl Read for Pieces {
    fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("an opening is read through the buffer"))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.said.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Request for Pieces {}

impl Connection for Pieces {
    fn set_deadlines(&mut self, _deadlines: Deadlines) -> io::Result<()> {
        Ok(())
    }

    fn set_hangup(&mut self, _hangup: Hangup) -> io::Result<()> {
        Ok(())
    }

    fn set_stage_end(&mut self, _end: Option<Instant>) {}
}

#[cfg(feature = "proxy")]
impl socketserver::Proxiable for Pieces {}

/// A transport of one connection.
pub struct One(RefCell<Option<Pieces>>);

impl One {
    pub fn new(pieces: Pieces) -> Self {
        Self(RefCell::new(Some(pieces)))
    }
}

impl Transport for One {
    type Request = Pieces;

    fn get_request(&self) -> io::Result<Option<Pieces>> {
        Ok(self.0.take())
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

/// Establishes a connection, as a table does: again where there is nothing yet.
pub fn establish(request: &mut impl Request, tries: usize) -> io::Result<()> {
    for _ in 0..tries {
        match request.establish() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            established => return established,
        }
    }
    panic!("it waits for what it has had");
}
