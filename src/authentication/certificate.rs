//! Certificates of TLS clients.

use std::fmt;
use std::io;

use super::{Authenticate, Denied};

/// A connection over TLS whose peer may have shown a certificate that has been verified.
#[diagnostic::on_unimplemented(
    message = "the peer of `{Self}` has shown no certificate",
    label = "no certificate to know it by",
    note = "certificates are shown over TLS, by clients that are asked for them: put the TLS \
            transport inside of `Authenticated`"
)]
pub trait PeerCertificate {
    /// The peer's own certificate, in DER; `None` where it has shown none, and before the connection
    /// has been established. It has been verified by then, where the server's configuration verifies
    /// clients: it is to have authorities that it trusts.
    fn peer_certificate(&self) -> Option<&[u8]>;
}

/// Lets in whom a function knows by its verified certificate (in DER), and nobody who has shown
/// none. The identity is what the function makes of it: the key of a table by its fingerprint, or a
/// name out of it, read by a crate that knows X.509.
///
/// # Examples
///
/// ```
/// use socketserver::Certificates;
///
/// let admin = [0x30, 0x82]; // … the certificate of the one who may come in
/// let admins = Certificates::new(move |der| (*der == admin).then_some("admin"));
/// ```
#[derive(Clone, Copy)]
#[must_use = "it lets nobody in before it is a transport's: `Authenticated::new`"]
pub struct Certificates<F>(F);

impl<F> Certificates<F> {
    /// Asks `identify` whose certificate it is; `None` is nobody's who may come in.
    pub fn new<I>(identify: F) -> Self
    where
        F: Fn(&[u8]) -> Option<I>,
    {
        Self(identify)
    }
}

impl<R, I, F> Authenticate<R> for Certificates<F>
where
    R: PeerCertificate,
    F: Fn(&[u8]) -> Option<I>,
{
    type Identity = I;
    type Attempt = ();

    fn authenticate(&self, request: &mut R, (): &mut ()) -> io::Result<I> {
        let identity = request.peer_certificate().and_then(&self.0);
        identity.ok_or_else(|| Denied::Identity.into())
    }
}

impl<F> fmt::Debug for Certificates<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
