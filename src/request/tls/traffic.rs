//! What goes through TLS, in both directions.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

use rustls::ServerConnection;

use super::{State, TlsRequest, TlsStream, TlsTruncated};

impl<R: TlsStream> TlsRequest<R> {
    /// Has rustls read what has come, at least something where the peer is to be waited for. How many
    /// bytes that were.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nothing has come, and the peer is not waited for.
    pub(super) fn receive(&mut self, wait: bool) -> io::Result<usize> {
        let there = |input: fn(&R) -> &[u8]| !input(&self.inner).is_empty();
        if !wait && !self.input.is_some_and(there) {
            return Err(ErrorKind::WouldBlock.into());
        }
        // Where an earlier write is stuck, the read is not held up by it.
        if wait && !self.stuck {
            self.send()?;
        }
        loop {
            let mut bytes = match self.inner.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // In a table it would look as if the peer were still waited for.
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.input.is_some() => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            };
            let count = match &mut self.state {
                State::Hello(acceptor) => acceptor.read_tls(&mut bytes)?,
                State::Open(conn) => conn.read_tls(&mut bytes)?,
                State::Clear | State::Early | State::Failed(_) => 0,
            };
            self.inner.consume(count);
            return Ok(count);
        }
    }

    /// Decrypts what has been received, and sends what TLS has to say to it.
    pub(super) fn process(&mut self) -> io::Result<()> {
        let State::Open(conn) = &mut self.state else { return Ok(()) };
        let processed = conn.process_new_packets();
        self.broken = processed.is_err();
        let sent = self.send();
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        sent
    }

    /// Sends what has been encrypted. What could be sent before an error is not sent a second time.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let State::Open(conn) = &mut self.state else { return Ok(()) };
        while conn.wants_write() {
            self.stuck = true;
            match conn.write_tls(&mut Gathering(&mut self.inner)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.stuck = false;
        }
        Ok(())
    }

    /// The connection, with something to be read from it or at its end.
    fn readable(&mut self) -> io::Result<&mut ServerConnection> {
        self.secure(true)?;
        loop {
            if let State::Open(conn) = &mut self.state {
                match conn.reader().fill_buf() {
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        return Err(TlsTruncated.into());
                    }
                    Err(error) => return Err(error),
                }
            }
            if !self.broken {
                self.receive(true)?;
            }
            self.process()?;
        }
        self.writable()
    }

    fn writable(&mut self) -> io::Result<&mut ServerConnection> {
        match &mut self.state {
            State::Open(conn) => Ok(conn),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// Sends short records together: each send may wake the peer, and the flights of a handshake have
/// several. Long ones are not worth the copy.
struct Gathering<'w, W>(&'w mut W);

/// So many bytes are copied at most: a record is 16 KiB.
const SHORT: usize = 8 * 1024;

impl<W: Write> Write for Gathering<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        match records {
            [] => return Ok(0),
            [first, second, ..] if first.len() + second.len() <= SHORT => {}
            [first, ..] => return self.0.write(first),
        }
        let mut together = Vec::with_capacity(SHORT);
        for record in records {
            if together.len() + record.len() > SHORT {
                break;
            }
            together.extend_from_slice(record);
        }
        self.0.write(&together)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<R: TlsStream> Read for TlsRequest<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_clear() {
            return self.inner.read(into);
        }
        if into.is_empty() {
            return Ok(0);
        }
        if !self.taken.is_empty() {
            return self.taken.read(into);
        }
        self.readable()?.reader().read(into)
    }
}

impl<R: TlsStream> BufRead for TlsRequest<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.is_clear() {
            return self.inner.fill_buf();
        }
        if !self.taken.is_empty() {
            return Ok(self.taken.unread());
        }
        self.readable()?.reader().into_first_chunk()
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.state {
            State::Clear => self.inner.consume(amount),
            _ if !self.taken.is_empty() => self.taken.consume(amount),
            State::Open(conn) if amount > 0 => conn.reader().consume(amount),
            _ => {}
        }
    }
}

impl<R: TlsStream> Write for TlsRequest<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.source.is_some() {
            self.send_rest()?;
        }
        if self.is_clear() {
            return self.inner.write(bytes);
        }
        self.secure(true)?;
        // What an earlier write could not get rid of.
        if self.stuck {
            self.send()?;
        }
        let count = self.writable()?.writer().write(bytes)?;
        match self.send() {
            // It has been taken, and must not be written once more.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(count)
            }
            sent => sent.map(|()| count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.inner.flush()
    }
}
