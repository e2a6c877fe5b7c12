//! What a handler has to know of the socket under its request.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use socketserver::{StreamRequest, StreamSocket};

/// How long a connection may still be silent once the server stops: its request may be on its way.
const PATIENCE_AT_THE_END: Duration = Duration::from_millis(500);

/// What has been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The peer says something, or has left.
    Peer,
    /// The same, and the server is about to stop.
    LastWord,
    /// Nothing, in time.
    Nothing,
}

/// Waits until the peer begins another exchange, or leaves. A server that is about to stop does not
/// wait for long: `stopping` is readable then.
pub(crate) fn hear<S: StreamSocket, A>(
    request: &StreamRequest<S, A>,
    stopping: &UnixStream,
    patience: Duration,
) -> io::Result<Heard> {
    if !request.unread().is_empty() {
        return Ok(Heard::Peer);
    }
    let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut both = [entry(request.as_fd()), entry(stopping.as_fd())];
    wait(&mut both, patience)?;
    let stops = both[1].any() == Some(true);
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

/// The peer's address without its port, for the log.
pub(crate) fn name(request: &impl AsFd) -> String {
    let address = SockRef::from(request).peer_addr().ok().and_then(|address| address.as_socket());
    address.map_or_else(|| "-".to_owned(), |address| address.ip().to_canonical().to_string())
}
