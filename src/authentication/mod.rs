//! Who is let in: the stage between a connection and its handler that yields an identity, or a
//! refusal.

mod certificate;
mod denied;
mod request;
#[cfg(feature = "hmac")]
mod shared_keys;
mod transport;
mod users;

pub use certificate::{Certificates, PeerCertificate};
pub use denied::Denied;
pub use request::{AuthenticatedRequest, HasIdentity};
#[cfg(feature = "hmac")]
pub use shared_keys::SharedKeys;
pub use transport::Authenticated;
pub use users::{PeerCredentials, Users};

use std::io;

/// Says who the peer of a request is, or that it is not let in; used by [`Authenticated`].
///
/// # Choosing one
///
/// | | the peer shows | the identity |
/// | --- | --- | --- |
/// | [`Users`] | its user or group, for which the kernel vouches: Unix sockets | [`Credentials`](crate::Credentials) |
/// | [`Certificates`] | the certificate of a TLS client | what you make of it |
/// | `SharedKeys` (feature `hmac`) | that it has a key, without sending it | whose key it is |
///
/// # Implementing your own
///
/// [`authenticate`](Self::authenticate) is called in the worker, when the connection has been
/// established and before the handler's [`setup`](crate::Handler::setup). It may read from the
/// request and write to it, as a handler may; the time that the peer takes for it is bounded by
/// [`Authenticated::within`]. What it leaves unread is the handler's.
///
/// Where connections wait in a table ([`Selecting`](crate::Selecting)), a read of what has not come
/// yet says `WouldBlock`; that error is to be returned, and `authenticate` is called again. What it
/// has to remember until then is its `Attempt`; one that never reads has `()`.
///
/// # Examples
///
/// A password, in a line of its own:
///
/// ```
/// use std::io::{self, BufRead};
/// use socketserver::{Authenticate, Authenticated, Denied, HasIdentity, ReadLine, Server, Sync, Tcp};
///
/// struct Password(&'static str);
///
/// impl<R: BufRead> Authenticate<R> for Password {
///     type Identity = &'static str;
///     type Attempt = Vec<u8>;
///
///     fn authenticate(&self, request: &mut R, line: &mut Vec<u8>) -> io::Result<&'static str> {
///         request.read_bytes_bounded(line, 80 - line.len())?;
///         // (A password that is worth guessing is compared in constant time.)
///         if line == self.0.as_bytes() { Ok("who knows it") } else { Err(Denied::Identity.into()) }
///     }
/// }
///
/// let tcp = Authenticated::new(Tcp::options().bind("127.0.0.1:0")?, Password("sesame\n"));
/// let server = Server::new_fn(tcp, Sync, |conn| {
///     println!("{}", conn.identity()?);
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't tell who the peer of `{R}` is",
    label = "not an authentication of these requests",
    note = "`Users` is for connections over Unix sockets, `Certificates` for those over TLS, \
            `SharedKeys` (with the feature `hmac`) for all connections; for what your own protocol \
            has, implement `Authenticate`"
)]
pub trait Authenticate<R> {
    /// Who the peer is; what the handler gets.
    type Identity;

    /// What is remembered of one attempt, from one call of `authenticate` to the next.
    type Attempt: Default;

    /// Says who the peer is.
    ///
    /// # Errors
    ///
    /// [`Denied`] where it is not let in. Any error ends the request: its handler is not called, but
    /// for [`handle_error`](crate::Handler::handle_error). `WouldBlock` from a read is passed on.
    fn authenticate(
        &self,
        request: &mut R,
        attempt: &mut Self::Attempt,
    ) -> io::Result<Self::Identity>;
}
