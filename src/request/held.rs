//! What the peer of a connection in a table has not taken yet.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::{Mutex, PoisonError};

/// So much is read from a source at a time, in bytes.
pub(super) const PIECE: usize = 64 * 1024;

/// What is still to be sent, in its order.
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    /// How many bytes the pieces have that are bytes.
    bytes: usize,
}

enum Piece {
    Bytes(VecDeque<u8>),
    /// What it gives, when all before it has been sent. Nobody locks it: requests are `Sync`, and it
    /// need not be.
    Source(Mutex<Box<dyn Read + Send>>),
}

impl Held {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Holds back as much of `bytes` as there is room for; how much that is, and none where there is
    /// no room at all.
    pub(super) fn push(&mut self, bytes: &[u8], max: usize) -> Option<usize> {
        let part = &bytes[..bytes.len().min(max.saturating_sub(self.bytes))];
        if part.is_empty() {
            return bytes.is_empty().then_some(0);
        }
        match self.pieces.back_mut() {
            Some(Piece::Bytes(last)) => last.extend(part),
            _ => self.pieces.push_back(Piece::Bytes(part.iter().copied().collect())),
        }
        self.bytes += part.len();
        Some(part.len())
    }

    /// What `source` gives comes after that.
    pub(super) fn push_source(&mut self, source: Box<dyn Read + Send>) {
        self.pieces.push_back(Piece::Source(Mutex::new(source)));
    }

    /// What is to be sent next; empty where nothing is left.
    ///
    /// # Errors
    ///
    /// Of a source.
    pub(super) fn next(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.pieces.front_mut() {
                None => return Ok(&[]),
                Some(Piece::Bytes(bytes)) if bytes.is_empty() => drop(self.pieces.pop_front()),
                Some(Piece::Bytes(_)) => break,
                Some(Piece::Source(source)) => {
                    let mut piece = vec![0; PIECE];
                    let source = source.get_mut().unwrap_or_else(PoisonError::into_inner);
                    match source.read(&mut piece) {
                        Ok(0) => drop(self.pieces.pop_front()),
                        Ok(count) => {
                            piece.truncate(count);
                            self.bytes += count;
                            self.pieces.push_front(Piece::Bytes(piece.into()));
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        match self.pieces.front() {
            Some(Piece::Bytes(bytes)) => Ok(bytes.as_slices().0),
            _ => Ok(&[]),
        }
    }

    /// So much of that has been sent.
    pub(super) fn sent(&mut self, count: usize) {
        if let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() {
            bytes.drain(..count);
            self.bytes -= count;
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Source(_) => f.write_str("Source"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes up to `most` bytes at a time until nothing is left.
    fn all(held: &mut Held, most: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let next = held.next()?;
            if next.is_empty() {
                return Ok(all);
            }
            let count = next.len().min(most);
            all.extend(&next[..count]);
            held.sent(count);
        }
    }

    #[test]
    fn bytes_and_sources_are_sent_in_their_order() -> io::Result<()> {
        let mut held = Held::default();
        assert_eq!(held.push(b"one ", 100), Some(4));
        held.push_source(Box::new(&b"two "[..]));
        held.push_source(Box::new(io::empty()));
        assert_eq!(held.push(b"three", 100), Some(5));
        assert_eq!(all(&mut held, 3)?, b"one two three");
        assert!(held.is_empty());
        Ok(())
    }

    #[test]
    fn bytes_are_bounded_and_a_source_is_not() -> io::Result<()> {
        let mut held = Held::default();
        assert_eq!(held.push(b"abcdef", 4), Some(4));
        assert_eq!(held.push(b"g", 4), None);
        assert_eq!(held.push(b"", 4), Some(0));
        held.push_source(Box::new(io::repeat(b'x').take(1_000_000)));
        assert_eq!(held.next()?, b"abcd");
        held.sent(3);
        assert_eq!(held.push(b"hij", 4), Some(3));
        let sent = all(&mut held, usize::MAX)?;
        assert_eq!((&sent[..2], sent.len()), (&b"dx"[..], 1_000_004));
        Ok(())
    }
}
