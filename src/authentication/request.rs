//! A request of which it is known whose it is.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Authenticate, PeerCertificate, PeerCredentials};
use crate::admission::{PeerIp, PeerUid};
use crate::request::{Connection, Credentials, Establishing, Request};
use crate::request::{forward_connection, forward_request};

/// A connection of [`Authenticated`](crate::Authenticated): that of the transport inside, and whose
/// it is.
///
/// What the inner one can do beyond reading and writing is to be had through
/// [`get_ref`](Self::get_ref) and [`get_mut`](Self::get_mut).
pub struct AuthenticatedRequest<R, A: Authenticate<R>> {
    inner: R,
    authentication: Arc<A>,
    time: Duration,
    stage: Establishing,
    attempt: A::Attempt,
    identity: Option<A::Identity>,
}

impl<R, A: Authenticate<R>> AuthenticatedRequest<R, A> {
    pub(super) fn new(inner: R, authentication: Arc<A>, time: Duration) -> Self {
        let (stage, attempt) = Default::default();
        Self { inner, authentication, time, stage, attempt, identity: None }
    }

    /// The request inside.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The request inside, for what can be done with it. What is read or written there is read or
    /// written here.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The request inside and whose it is, at once: [`get_mut`](Self::get_mut) and
    /// [`identity`](HasIdentity::identity).
    ///
    /// # Errors
    ///
    /// As [`identity`](HasIdentity::identity).
    pub fn parts(&mut self) -> io::Result<(&mut R, &A::Identity)> {
        Ok((&mut self.inner, known(self.identity.as_ref())?))
    }
}

/// A request whose peer has been authenticated: what a handler asks for that has to know whose
/// requests it handles. Without an [`Authenticated`](crate::Authenticated) transport, a server with
/// such a handler does not compile.
///
/// # Examples
///
/// ```
/// use std::io::{self, Write};
/// use socketserver::{
///     Authenticated, Credentials, Handler, HasIdentity, Next, Server, Threading, UnixStream, Users,
/// };
///
/// struct Greeter;
///
/// impl<R: HasIdentity<Identity = Credentials> + Write> Handler<R> for Greeter {
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         let user = request.identity()?.uid;
///         writeln!(request, "hello, user {user}")?;
///         Ok(Next::Done)
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("socket");
/// let socket = Authenticated::new(UnixStream::options().bind(path)?, Users::new().uid(0));
/// let server = Server::new(socket, Threading::new(), Greeter)?;
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "nobody has asked who the peer of `{Self}` is",
    label = "a handler that has to know whose requests it handles can't handle these",
    note = "put `Authenticated` around the transport: `Authenticated<Tcp, SharedKeys>`, \
            `Authenticated<UnixStream, Users>`; and implement `HasIdentity` for requests that wrap \
            such ones"
)]
pub trait HasIdentity {
    /// Who a peer is.
    type Identity;

    /// Whose request it is.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where that is not known: before the request has been established (in
    /// [`verify_request`](crate::Handler::verify_request)), and where that has failed (in
    /// [`handle_error`](crate::Handler::handle_error)). Never in `setup`, `handle` and `finish`.
    fn identity(&self) -> io::Result<&Self::Identity>;
}

impl<R, A: Authenticate<R>> HasIdentity for AuthenticatedRequest<R, A> {
    type Identity = A::Identity;

    fn identity(&self) -> io::Result<&A::Identity> {
        known(self.identity.as_ref())
    }
}

fn known<I>(identity: Option<&I>) -> io::Result<&I> {
    let unknown = "the peer of a request that is not established has no identity yet";
    identity.ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, unknown))
}

impl<R: Request + Connection, A: Authenticate<R>> Request for AuthenticatedRequest<R, A> {
    fn establish(&mut self) -> io::Result<()> {
        let Self { inner, authentication, time, stage, attempt, identity } = self;
        stage.go_on(inner, *time, |inner| {
            *identity = Some(authentication.authenticate(inner, attempt)?);
            Ok(())
        })
    }

    forward_request!(self => self.inner);
}

forward_connection!(<R, A: Authenticate<R>> AuthenticatedRequest<R, A>);

impl<R: PeerIp, A: Authenticate<R>> PeerIp for AuthenticatedRequest<R, A> {
    fn peer_ip(&self) -> IpAddr {
        self.inner.peer_ip()
    }
}

impl<R: PeerUid, A: Authenticate<R>> PeerUid for AuthenticatedRequest<R, A> {
    fn peer_uid(&self) -> Option<u32> {
        self.inner.peer_uid()
    }
}

impl<R: PeerCredentials, A: Authenticate<R>> PeerCredentials for AuthenticatedRequest<R, A> {
    fn peer_credentials(&self) -> io::Result<Credentials> {
        self.inner.peer_credentials()
    }
}

impl<R: PeerCertificate, A: Authenticate<R>> PeerCertificate for AuthenticatedRequest<R, A> {
    fn peer_certificate(&self) -> Option<&[u8]> {
        self.inner.peer_certificate()
    }
}

impl<R: fmt::Debug, A: Authenticate<R>> fmt::Debug for AuthenticatedRequest<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the identity nor the attempt: they may hold what is in no log.
        f.debug_struct("AuthenticatedRequest")
            .field("inner", &self.inner)
            .field("authenticated", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
