//! A transport whose peers have to show who they are.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::{Authenticate, AuthenticatedRequest};
use crate::request::Connection;
use crate::transport::forward::{forward_address, forward_portable, forward_transport};
use crate::transport::{Portable, Transport};

/// A transport of connections whose peers have to show who they are before the handler gets them,
/// by an [`Authenticate`].
///
/// It happens in the worker, under a deadline, and one silent peer holds up nobody; nothing is said
/// to the peer but what the authentication says. A peer that is not let in is a failure of the kind
/// [`Denied`](crate::FailureKind::Denied), and of the stage
/// [`Establish`](crate::Stage::Establish): its source can be kept away for a while by
/// [`Limits::penalty`](crate::Limits::penalty).
///
/// Transports stand in the order of the bytes on the wire, the last outermost:
/// `Authenticated<Proxied<Tcp>, SharedKeys>`.
///
/// # Examples
///
/// [`HasIdentity`](crate::HasIdentity) has one.
pub struct Authenticated<T, A> {
    inner: T,
    authentication: Arc<A>,
    time: Duration,
}

impl<T, A> Authenticated<T, A> {
    /// The transport `inner`, with an authentication of its peers, who may take 10 seconds for it.
    pub fn new(inner: T, authentication: A) -> Self {
        Self { inner, authentication: Arc::new(authentication), time: Duration::from_secs(10) }
    }

    /// How long a peer may take to show who it is, as a whole.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// The transport inside.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    fn wrap<R>(&self, request: R) -> AuthenticatedRequest<R, A>
    where
        A: Authenticate<R>,
    {
        AuthenticatedRequest::new(request, Arc::clone(&self.authentication), self.time)
    }
}

impl<T, A> Transport for Authenticated<T, A>
where
    T: Transport<Request: Connection>,
    A: Authenticate<T::Request>,
{
    type Request = AuthenticatedRequest<T::Request, A>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        Ok(self.inner.get_request()?.map(|request| self.wrap(request)))
    }

    forward_transport!();
}

impl<T, A> Portable for Authenticated<T, A>
where
    T: Portable + Transport<Request: Connection>,
    A: Authenticate<T::Request>,
{
    forward_portable!();

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request> {
        Ok(self.wrap(self.inner.unpack(bytes, descriptor)?))
    }
}

forward_address!(<T, A> Authenticated<T, A>);

#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
crate::transport::inherit_inner!(
    <T, A> Authenticated<T, A>,
    T: crate::Inheritable + Transport<Request: Connection>,
    A: Authenticate<T::Request>,
);

impl<T: fmt::Debug, A> fmt::Debug for Authenticated<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("inner", &self.inner)
            .field("within", &self.time)
            .finish_non_exhaustive()
    }
}
