//! What a handler of HTTP has to know of the socket under its request.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use socket2::SockRef;
use socketserver::{StreamRequest, StreamSocket};

/// How long a connection may be open before its request begins to come. Browsers open some that
/// they may need later.
const PATIENCE: u16 = 30_000;
/// How long it may still be once the server stops: the request may be on its way.
const PATIENCE_AT_THE_END: u16 = 500;

/// A request that may have taken more from its socket than has been read.
pub(crate) trait Ahead {
    fn is_ahead(&mut self) -> bool;
}

impl<S: StreamSocket, A> Ahead for StreamRequest<S, A> {
    fn is_ahead(&mut self) -> bool {
        !self.unread().is_empty()
    }
}

/// Waits until the peer says something, or leaves; `false` where it does neither in time. A
/// server that is about to stop does not wait for long.
pub(crate) fn speaks<R: AsFd + Ahead>(request: &mut R, stopping: &UnixStream) -> io::Result<bool> {
    if request.is_ahead() {
        return Ok(true);
    }
    let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut both = [entry(request.as_fd()), entry(stopping.as_fd())];
    wait(&mut both, PATIENCE)?;
    if both[0].any() != Some(true) && both[1].any() == Some(true) {
        wait(&mut both[..1], PATIENCE_AT_THE_END)?;
    }
    Ok(both[0].any() == Some(true))
}

fn wait(fds: &mut [PollFd<'_>], milliseconds: u16) -> io::Result<()> {
    loop {
        match poll(fds, milliseconds) {
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
