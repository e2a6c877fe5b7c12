//! The handlers that measurements are made with: each does what its name says, and no more.

use std::io::{self, BufRead, Read, Write};

use socketserver::{Datagram, DatagramSocket, Handler, Next, ReadLine};

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
}

/// Sends back whatever comes, until the peer has no more.
pub(crate) struct Echo {
    bufsize: usize,
}

impl Echo {
    pub(crate) fn new(bufsize: usize) -> Self {
        Self { bufsize }
    }
}

impl<R: Read + Write> Handler<R> for Echo {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut bytes = vec![0; self.bufsize];
        loop {
            match request.read(&mut bytes)? {
                0 => return Ok(Next::Done),
                count => request.write_all(&bytes[..count])?,
            }
        }
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
