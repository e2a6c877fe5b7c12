//! What a handler has to know of a connection beyond what it reads and writes.

use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use socketserver::{Connection, StreamRequest, StreamSocket};

use crate::signals::Stopping;

/// A connection whose handler waits for its peer, knows its name, and has files sent to it.
pub(crate) trait Client: BufRead + Write + AsFd + Connection {
    /// Whether it has taken more from its socket than has been read.
    fn is_ahead(&mut self) -> bool;

    /// As [`StreamRequest::send_from`].
    fn send_from(&mut self, source: impl Read + Send + 'static) -> io::Result<()>;

    /// The peer's address, where it has one.
    fn address(&self) -> Option<SocketAddr>;

    /// The same without its port, for the log.
    fn name(&self) -> String {
        self.address().map_or_else(|| "-".to_owned(), |address| address.ip().to_string())
    }
}

impl<S: StreamSocket + AsFd, A> Client for StreamRequest<S, A> {
    fn is_ahead(&mut self) -> bool {
        !self.unread().is_empty()
    }

    fn send_from(&mut self, source: impl Read + Send + 'static) -> io::Result<()> {
        self.send_from(source)
    }

    fn address(&self) -> Option<SocketAddr> {
        let mut address = SockRef::from(self).peer_addr().ok()?.as_socket()?;
        address.set_ip(address.ip().to_canonical());
        Some(address)
    }
}

/// How long a connection may still be silent once the server stops: its request may be on its way.
const PATIENCE_AT_THE_END: Duration = Duration::from_millis(500);

/// What has been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The peer says something, or has left.
    Peer,
    /// The same, and the server is about to stop: it is the last that the peer may ask for.
    LastWord,
    /// Nothing, in time.
    Nothing,
}

/// Waits until the peer begins another exchange, or leaves. A server that is about to stop does not
/// wait for long.
pub(crate) fn hear(
    request: &mut impl Client,
    stopping: &Stopping,
    patience: Duration,
) -> io::Result<Heard> {
    if request.is_ahead() {
        return Ok(if stopping.is_so() { Heard::LastWord } else { Heard::Peer });
    }
    let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut both = [entry(request.as_fd()), entry(stopping.as_fd())];
    wait(&mut both, patience)?;
    let stops = both[1].any() == Some(true) || stopping.is_so();
    if stops && both[0].any() != Some(true) {
        wait(&mut both[..1], PATIENCE_AT_THE_END)?;
    }
    Ok(match both[0].any() {
        Some(true) if stops => Heard::LastWord,
        Some(true) => Heard::Peer,
        _ => Heard::Nothing,
    })
}

fn wait(fds: &mut [PollFd<'_>], patience: Duration) -> io::Result<()> {
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(fds, patience) {
            // A signal is what rings `stopping`: it is to be looked at again.
            Err(Errno::EINTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}
