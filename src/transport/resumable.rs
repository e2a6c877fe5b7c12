//! Requests that go to another process in the middle of being handled.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{Portable, Tcp, Udp, UnixDatagram, UnixStream};
use crate::packed::{Taking, put, take};
use crate::request::{TcpRequest, UdpRequest, UnixDatagramRequest, UnixStreamRequest};

/// A transport whose requests can be sent to another process when something has been read of them
/// already: what [`FinishInChild`](crate::FinishInChild) needs of it under
/// [`ForkServer`](crate::ForkServer).
///
/// The four transports of this crate are. One whose requests have a state that can't be taken apart,
/// as the keys of a connection over TLS, is [`Portable`] at most. A transport that wraps another says
/// how its requests are taken apart, and leaves the rest to the inner one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't send its requests to another process when something has been read of \
               them, as `FinishInChild<ForkServer>` does",
    label = "not a transport of requests that can be suspended and resumed",
    note = "`Tcp`, `Udp`, `UnixStream` and `UnixDatagram` can; for others, use \
            `FinishInChild<Forking>`, whose children have all memory"
)]
pub trait Resumable: Portable {
    /// Appends to `bytes` what the request is made of, and returns the descriptor that goes with it:
    /// as [`pack`](Portable::pack), but for a request that has been
    /// [established](crate::Request::establish), has perhaps been read from in part, and may hold
    /// back what was written to it. It is called in the serve loop, and must not wait.
    ///
    /// # Errors
    ///
    /// Where the request can't be taken apart; it has failed then.
    fn suspend<'r>(
        &self,
        request: &'r Self::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>>;

    /// Makes the request anew, in the process that goes on with it, of what
    /// [`suspend`](Self::suspend) gave. It is not established again.
    ///
    /// # Errors
    ///
    /// As [`unpack`](Portable::unpack).
    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<Self::Request>;
}

macro_rules! resumable {
    ($($transport:ty: $request:ty;)*) => {$(
        impl Resumable for $transport {
            fn suspend<'r>(
                &self,
                request: &'r $request,
                bytes: &mut Vec<u8>,
            ) -> io::Result<Option<BorrowedFd<'r>>> {
                let mut state = Vec::new();
                request.suspend(&mut state)?;
                put(&state, bytes)?;
                self.pack(request, bytes)
            }

            fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<$request> {
                let (state, packed) = take(bytes)?;
                let mut request = self.unpack(packed, descriptor)?;
                request.resume(Taking(state))?;
                Ok(request)
            }
        }
    )*};
}

resumable! {
    Tcp: TcpRequest;
    UnixStream: UnixStreamRequest;
    Udp: UdpRequest;
    UnixDatagram: UnixDatagramRequest;
}
