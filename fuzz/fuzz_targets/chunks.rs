//! An input that comes in pieces, as one from the network does.

use std::io::{self, BufRead, ErrorKind, Read};

/// The bytes of `data`, and what is between them by `plan`: each of its bytes is the length of the
/// next piece, 0 an interruption, 255 a timeout. Behind the plan all comes at once.
pub struct Chunks<'a> {
    data: &'a [u8],
    plan: std::slice::Iter<'a, u8>,
    /// How much of `data` the reader has been shown.
    shown: usize,
}

impl<'a> Chunks<'a> {
    pub fn new(data: &'a [u8], plan: &'a [u8]) -> Self {
        Self { data, plan: plan.iter(), shown: 0 }
    }

    /// What has not been taken.
    pub fn rest(&self) -> &'a [u8] {
        self.data
    }
}

impl BufRead for Chunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.shown == 0 {
            self.shown = match self.plan.next() {
                Some(0) => return Err(ErrorKind::Interrupted.into()),
                Some(255) => return Err(ErrorKind::WouldBlock.into()),
                Some(length) => self.data.len().min(usize::from(*length)),
                None => self.data.len(),
            };
        }
        Ok(&self.data[..self.shown])
    }

    fn consume(&mut self, amount: usize) {
        assert!(amount <= self.shown, "more is taken than was shown");
        self.shown -= amount;
        self.data = &self.data[amount..];
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
        Ok(count)
    }
}
