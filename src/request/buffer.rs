//! The two buffers of a stream request: `rfile` and `wfile`.

use std::io::{self, Read, Write};
use std::mem;

use super::selectable::{Behind, Room};
use super::socket::StreamSocket;
use super::wire::Wire;

/// So much memory is got at least for what is taken in; a table has no use for less.
const LEAST: usize = 512;

/// So much of it is kept at most for what comes next: enough for one who sends much, in as few reads
/// as without a table.
const LONG: usize = 64 * 1024;

/// What taking in has come to.
pub(super) enum Intake {
    /// There may be more to take in.
    More,
    /// There is nothing left for now.
    Nothing,
    /// The peer has ended its side.
    Ended,
}

/// What has been read and not yet been consumed; holds no memory before the first buffered read,
/// nor after one that has gone around it.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    capacity: usize,
}

impl ReadBuffer {
    #[inline]
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, capacity }
    }

    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// In another process, what was unread in the one before.
    pub(super) fn set_unread(&mut self, bytes: &[u8]) {
        (self.bytes, self.start) = (bytes.to_vec(), 0);
    }

    #[inline]
    pub(super) fn consume(&mut self, amount: usize) {
        self.start = self.bytes.len().min(self.start + amount);
    }

    /// Reads from `source` once if nothing is left.
    pub(super) fn fill<S: StreamSocket>(&mut self, source: &mut Wire<S>) -> io::Result<&[u8]> {
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.reserve_exact(self.capacity.max(1));
            source.fill(&mut self.bytes)?;
        }
        Ok(self.unread())
    }

    /// Takes in what has come without waiting, beside what is unread.
    pub(super) fn take_in<S: StreamSocket>(
        &mut self,
        source: &mut Wire<S>,
        room: &mut Room,
    ) -> io::Result<Intake> {
        if self.start > 0 {
            self.bytes.drain(..mem::take(&mut self.start));
        }
        if self.bytes.capacity() == 0 {
            self.bytes = mem::take(&mut room.spare);
        }
        if self.bytes.len() == self.bytes.capacity() {
            let more = self.capacity.max(LEAST).max(self.bytes.len());
            self.bytes.reserve_exact(more.min(room.input.saturating_sub(self.bytes.len()).max(1)));
        }
        let asked = self.bytes.capacity() - self.bytes.len();
        Ok(match source.take_in(&mut self.bytes)? {
            Some(0) => Intake::Ended,
            // A stream that gives less than it was asked for has no more, but for what has been told
            // to be behind it.
            Some(got) if got == asked || room.behind > Behind::Nothing => Intake::More,
            Some(_) | None => Intake::Nothing,
        })
    }

    /// Lets another connection of the table have the memory, where nothing is in it.
    #[inline]
    pub(super) fn give_back(&mut self, room: &mut Room) {
        if self.start == self.bytes.len() && self.bytes.capacity() > 0 {
            self.start = 0;
            room.spare = mem::take(&mut self.bytes);
            room.spare.clear();
            // One that was very long is not kept for others.
            if room.spare.capacity() > self.capacity.max(LONG) {
                room.spare.shrink_to(self.capacity.max(LONG));
            }
        }
    }

    #[inline]
    pub(super) fn read<S: StreamSocket>(
        &mut self,
        source: &mut Wire<S>,
        into: &mut [u8],
    ) -> io::Result<usize> {
        // What does not gain by the buffer goes around it.
        if self.start == self.bytes.len() && into.len() >= self.capacity {
            *self = Self::new(self.capacity);
            return source.read(into);
        }
        let count = self.fill(source)?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

/// What has been written and not yet been sent; of capacity zero, it holds nothing back.
#[derive(Debug)]
pub(super) struct WriteBuffer {
    bytes: Vec<u8>,
    capacity: usize,
    failed: bool,
}

impl WriteBuffer {
    #[inline]
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), capacity, failed: false }
    }

    /// Whether the last attempt to send what is held back has failed.
    #[inline]
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// What is held back.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes
    }

    /// In another process, what was held back in the one before.
    pub(super) fn set_unsent(&mut self, bytes: &[u8]) {
        self.bytes = bytes.to_vec();
    }

    #[inline]
    pub(super) fn write(&mut self, mut sink: impl Write, bytes: &[u8]) -> io::Result<usize> {
        if self.capacity == 0 {
            return sink.write(bytes);
        }
        if self.bytes.len() + bytes.len() > self.capacity {
            self.flush(&mut sink)?;
        }
        if bytes.len() >= self.capacity {
            return sink.write(bytes);
        }
        self.bytes.reserve_exact(self.capacity - self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Sends what is held back. What could be sent before an error is not sent a second time.
    #[inline]
    pub(super) fn flush(&mut self, sink: impl Write) -> io::Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { self.send_all(sink) }
    }

    // By itself, so that looking whether there is anything is all that most requests have of it.
    #[inline(never)]
    fn send_all(&mut self, mut sink: impl Write) -> io::Result<()> {
        self.failed = true;
        while !self.bytes.is_empty() {
            match sink.write(&self.bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => drop(self.bytes.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.failed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn memory_is_held_from_the_first_buffered_read_to_the_next_one_around_it() -> io::Result<()> {
        let (own, mut other) = UnixStream::pair()?;
        let (mut wire, mut reader) = (Wire::new(own, None), ReadBuffer::new(16));
        other.write_all(b"a line\nand a body of so many bytes")?;
        assert_eq!(reader.bytes.capacity(), 0);

        assert_eq!(reader.fill(&mut wire)?, b"a line\nand a bod");
        reader.consume(7);
        let mut body = [0; 16];
        assert_eq!(reader.read(&mut wire, &mut body)?, 9);
        assert_eq!(&body[..9], b"and a bod");
        assert_eq!(reader.bytes.capacity(), 16);

        assert_eq!(reader.read(&mut wire, &mut body)?, 16);
        assert_eq!(&body, b"y of so many byt");
        assert_eq!((reader.bytes.capacity(), reader.unread()), (0, &[][..]));

        assert_eq!(reader.read(&mut wire, &mut body[..1])?, 1);
        assert_eq!(reader.unread(), b"s");
        Ok(())
    }

    #[test]
    fn a_buffer_is_filled_again_when_it_is_empty_and_holds_what_came() -> io::Result<()> {
        let (own, mut other) = UnixStream::pair()?;
        let (mut wire, mut reader) = (Wire::new(own, None), ReadBuffer::new(16));
        for word in [&b"first"[..], b"and second"] {
            other.write_all(word)?;
            assert_eq!(reader.fill(&mut wire)?, word);
            assert_eq!(reader.fill(&mut wire)?, word, "nothing is read while something is left");
            reader.consume(word.len());
            assert_eq!(reader.bytes.capacity(), 16);
        }
        drop(other);
        assert_eq!(reader.fill(&mut wire)?, b"");
        assert_eq!(reader.fill(&mut wire)?, b"");
        Ok(())
    }
}
