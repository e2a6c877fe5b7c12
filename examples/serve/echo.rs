//! The handlers that measurements are made with: each does what its name says, and no more.

use std::cell::RefCell;
use std::io::{self, BufRead, Read, Write};

use socketserver::{Datagram, DatagramSocket, Handler, Next, ReadLine, line_missing};

/// Longer lines are an error.
const LONGEST_LINE: usize = 64 * 1024;

/// Sends one line back.
pub(crate) struct Once;

impl<R: BufRead + Write> Handler<R> for Once {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = Vec::new();
        request.read_bytes_bounded(&mut line, LONGEST_LINE)?;
        request.write_all(&line)?;
        Ok(Next::Done)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, LONGEST_LINE)
    }
}

/// Sends back whatever comes, until the peer has no more.
pub(crate) struct Echo {
    bufsize: usize,
    /// Whether each piece is an exchange of its own, for strategies where connections take turns. A
    /// server that stops finishes the exchange; otherwise it is the connection that it finishes.
    by_turns: bool,
}

thread_local! {
    /// What has been read, and is about to be sent back: one for all that a thread does.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Echo {
    pub(crate) fn new(bufsize: usize, by_turns: bool) -> Self {
        Self { bufsize, by_turns }
    }
}

impl<R: Read + Write> Handler<R> for Echo {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        BUFFER.with_borrow_mut(|bytes| {
            bytes.resize(self.bufsize, 0);
            loop {
                match request.read(bytes)? {
                    0 => return Ok(Next::Done),
                    count => request.write_all(&bytes[..count])?,
                }
                if self.by_turns {
                    return Ok(Next::Again);
                }
            }
        })
    }
}

/// Sends each packet back to its sender.
pub(crate) struct Packets;

impl<S: DatagramSocket, A> Handler<Datagram<S, A>> for Packets {
    fn handle(&self, request: &mut Datagram<S, A>) -> io::Result<Next> {
        request.reply(request.data())?;
        Ok(Next::Done)
    }
}
