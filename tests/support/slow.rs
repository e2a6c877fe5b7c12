//! Slow peers, and a handler that tells which of its deadlines they have missed.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net as unix;
use std::time::{Duration, Instant};

use socketserver::{DeadlinePassed, Failure, FailureKind, Handler, Next};

use super::net::PATIENCE;
use super::time::let_pass;
use super::trace::Trace;

/// The pace of a peer that trickles.
const PACE: Duration = Duration::from_millis(5);

/// The line that is answered with a flood.
pub const FLOOD: &[u8] = b"flood\n";

/// No deadline of a test that is not to pass is shorter, and no test lasts so long.
pub const AMPLE: Duration = Duration::from_secs(600);

/// Answers line after line, one of them with more than anybody takes; notes each failure, and tells
/// a peer that is late why.
pub struct Lines(pub Trace);

impl<R: BufRead + Write> Handler<R> for Lines {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = Vec::new();
        if request.read_until(b'\n', &mut line)? == 0 {
            return Ok(Next::Done);
        }
        if line == FLOOD {
            line = vec![0; 64 << 20];
        }
        request.write_all(&line)?;
        Ok(Next::Again)
    }

    fn handle_error(&self, request: &mut R, failure: &Failure) {
        let word = match passed(failure) {
            Some(passed) if failure.kind() == FailureKind::TimedOut => format!("{passed:?}"),
            _ => format!("{failure}"),
        };
        self.0.note(&word);
        let _ = writeln!(request, "{word}");
    }
}

/// Which deadline it was.
pub fn passed(failure: &Failure) -> Option<&DeadlinePassed> {
    failure.as_error()?.get_ref()?.downcast_ref()
}

/// The client of a stream transport.
pub trait Peer: Read + Write {
    fn set_patience(&self, time: Duration) -> io::Result<()>;
}

impl Peer for TcpStream {
    fn set_patience(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl<P: Peer + ?Sized> Peer for &mut P {
    fn set_patience(&self, time: Duration) -> io::Result<()> {
        (**self).set_patience(time)
    }
}

impl Peer for unix::UnixStream {
    fn set_patience(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

/// Sends byte after byte until it is told something, and returns that: it never stops by itself.
pub fn trickle(client: &mut impl Peer) -> io::Result<String> {
    let begun = Instant::now();
    client.set_patience(PACE)?;
    let mut word = [0; 64];
    while begun.elapsed() < PATIENCE {
        // A server that has said its word has closed; the word is still there to be read.
        let sent = client.write(b"x");
        match client.read(&mut word) {
            Ok(0) => break,
            Ok(count) => return Ok(String::from_utf8_lossy(&word[..count]).trim().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                sent?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "nobody ends this peer"))
}

/// Takes nothing of a flood, and returns what is noted of that.
pub fn take_nothing(client: &mut impl Peer, trace: &Trace) -> io::Result<String> {
    let begun = Instant::now();
    client.write_all(FLOOD)?;
    while begun.elapsed() < PATIENCE {
        if let Some(word) = trace.words()?.pop() {
            return Ok(word);
        }
        let_pass(PACE);
    }
    Err(io::Error::new(ErrorKind::TimedOut, "nobody ends this peer"))
}

/// All that is said until the end.
pub fn listen(client: &mut impl Peer) -> io::Result<String> {
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    Ok(said.trim().to_owned())
}
