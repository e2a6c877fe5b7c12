//! Users of this machine, whom the kernel vouches for.

use std::io;
use std::os::unix::net::UnixStream;

use super::{Authenticate, Denied};
use crate::request::{Credentials, StreamRequest};

/// A connection whose peer is a process that the kernel vouches for: those of
/// [`UnixStream`](crate::UnixStream), and those that wrap them and pass this on.
#[diagnostic::on_unimplemented(
    message = "nobody vouches for the user at the other end of `{Self}`",
    label = "no credentials to know its user by",
    note = "`Users` is for connections over Unix sockets; over others, `SharedKeys` (with the \
            feature `hmac`) or a TLS client's certificate tell who the peer is"
)]
pub trait PeerCredentials {
    /// The peer's process, user and group.
    ///
    /// # Errors
    ///
    /// Where the system does not tell: `Unsupported`, on systems other than Linux.
    fn peer_credentials(&self) -> io::Result<Credentials>;
}

impl<A> PeerCredentials for StreamRequest<UnixStream, A> {
    fn peer_credentials(&self) -> io::Result<Credentials> {
        self.peer_credentials()
    }
}

/// Lets in the users of this machine that it names, and those of the groups that it names; nobody
/// else, root included. The identity is their [`Credentials`].
///
/// The groups are those that the peer's process had as its own (`egid`) when it connected;
/// supplementary ones are not told. The peer does nothing for it, and is not waited for.
///
/// # Examples
///
/// [`HasIdentity`](crate::HasIdentity) has one.
#[derive(Debug, Clone, Default)]
#[must_use = "it lets nobody in before it is a transport's: `Authenticated::new`"]
pub struct Users {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Users {
    /// Nobody yet.
    pub const fn new() -> Self {
        Self { uids: Vec::new(), gids: Vec::new() }
    }

    /// And this user.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// And whoever is of this group.
    pub fn gid(mut self, gid: u32) -> Self {
        self.gids.push(gid);
        self
    }
}

impl<R: PeerCredentials> Authenticate<R> for Users {
    type Identity = Credentials;
    type Attempt = ();

    fn authenticate(&self, request: &mut R, (): &mut ()) -> io::Result<Credentials> {
        let peer = request.peer_credentials()?;
        if self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid) {
            Ok(peer)
        } else {
            Err(Denied::Identity.into())
        }
    }
}
