//! The two buffers of a stream request: `rfile` and `wfile`.

use std::io::{self, Read, Write};

/// What has been read and not yet been consumed; holds no memory before the first buffered read.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Box<[u8]>,
    capacity: usize,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    #[inline]
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: Box::default(), capacity, start: 0, end: 0 }
    }

    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[inline]
    pub(super) fn consume(&mut self, amount: usize) {
        self.start = self.end.min(self.start + amount);
    }

    /// Reads from `source` once if nothing is left.
    pub(super) fn fill(&mut self, mut source: impl Read) -> io::Result<&[u8]> {
        if self.start == self.end {
            if self.bytes.is_empty() {
                self.bytes = vec![0; self.capacity.max(1)].into();
            }
            (self.start, self.end) = (0, 0);
            self.end = source.read(&mut self.bytes)?;
        }
        Ok(self.unread())
    }

    #[inline]
    pub(super) fn read(&mut self, mut source: impl Read, into: &mut [u8]) -> io::Result<usize> {
        // What does not gain by the buffer goes around it.
        if self.start == self.end && into.len() >= self.capacity {
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
