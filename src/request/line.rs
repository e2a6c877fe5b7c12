//! Lines with a bound.

use std::io::{self, BufRead, ErrorKind};
use std::{error, fmt, mem};

/// Reading lines that a peer can't make longer than the server allows.
///
/// [`BufRead::read_line`] takes all that the peer sends before its first newline into memory. This
/// is the reader to use on what comes from the network; every request of this crate has it.
///
/// # Examples
///
/// ```
/// use socketserver::ReadLine;
///
/// let mut input = &b"GET /\nmore"[..];
/// let mut line = String::new();
/// assert_eq!(input.read_line_bounded(&mut line, 80)?, 6);
/// assert_eq!(line, "GET /\n");
///
/// let mut endless = std::io::BufReader::new(std::io::repeat(b'a'));
/// assert!(endless.read_line_bounded(&mut line, 80).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ReadLine: BufRead {
    /// Appends the next line, its `\n` included, to `line`, and returns how many bytes that are; 0
    /// at the end of the input. The last line may lack its `\n`.
    ///
    /// # Errors
    ///
    /// `InvalidData` holding [`LineTooLong`] where more than `max` bytes have come without a
    /// newline; `max` of them have been taken and are lost, and what follows of the line is what
    /// would be read next, so a server does best to end such a connection. `InvalidData` where the
    /// line is not UTF-8; it is lost. Otherwise what reading says: what had been read by then is
    /// appended to `line` if it is UTF-8, so after a timeout the next call goes on where this one
    /// stopped; its `max` should be that much less.
    fn read_line_bounded(&mut self, line: &mut String, max: usize) -> io::Result<usize> {
        // The line's own memory, where nothing is in it.
        let mut bytes = if line.is_empty() { mem::take(line).into_bytes() } else { Vec::new() };
        let read = self.read_bytes_bounded(&mut bytes, max);
        if read.as_ref().is_err_and(is_too_long) {
            return read;
        }
        match String::from_utf8(bytes).map_err(|error| error.utf8_error()) {
            Ok(text) if line.is_empty() => *line = text,
            Ok(text) => line.push_str(&text),
            // What no more bytes can mend must not look like the beginning of a line after a
            // timeout.
            Err(error) if error.error_len().is_some() || read.is_ok() => {
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            Err(_) => {}
        }
        read
    }

    /// As [`read_line_bounded`](Self::read_line_bounded), for lines that need not be UTF-8.
    ///
    /// # Errors
    ///
    /// As there, without the one about UTF-8; whatever had been read is appended to `line`.
    fn read_bytes_bounded(&mut self, line: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut count = 0;
        loop {
            let available = match self.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            let newline = available.iter().position(|byte| *byte == b'\n');
            let part = newline.map_or(available.len(), |at| at + 1);
            if count + part > max {
                let rest = max - count;
                self.consume(rest);
                return Err(io::Error::new(ErrorKind::InvalidData, LineTooLong { max }));
            }
            line.extend_from_slice(&available[..part]);
            self.consume(part);
            count += part;
            if newline.is_some() || part == 0 {
                return Ok(count);
            }
        }
    }
}

impl<R: BufRead + ?Sized> ReadLine for R {}

fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<LineTooLong>())
}

/// A peer sent a line longer than the server reads; found inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineTooLong {
    /// How many bytes a line may have, its newline included.
    pub max: usize,
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line is longer than the {} bytes allowed", self.max)
    }
}

impl error::Error for LineTooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_used_again_keeps_its_memory() -> io::Result<()> {
        let (mut input, mut line) = (&b"one\ntwo\nthree\n"[..], String::with_capacity(16));
        let place = line.as_ptr();
        for wanted in ["one\n", "two\n"] {
            line.clear();
            input.read_line_bounded(&mut line, 16)?;
            assert_eq!((&*line, line.as_ptr()), (wanted, place));
        }
        input.read_line_bounded(&mut line, 16)?;
        assert_eq!(line, "two\nthree\n");
        Ok(())
    }
}
