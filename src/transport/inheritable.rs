//! Sockets that go over to another process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::{Beside, Many, SocketFile, Tcp, Transport, Udp, UnixDatagram, UnixStream};

/// Takes a socket, and the file that the transport answers for, if it does for one.
pub type Show<'a> = &'a mut dyn FnMut(BorrowedFd<'_>, Option<&SocketFile>) -> io::Result<()>;

/// A transport whose sockets another process can take over: what [`HandOver`](crate::HandOver) and
/// [`Inherited`](crate::Inherited) need.
///
/// The transports of this crate are. One that wraps another passes both methods on.
///
/// # Examples
///
/// ```
/// # use socketserver::{ForkedChild, Tcp, TcpRequest, Transport, Waiter};
/// use std::io;
/// use socketserver::{Inheritable, Show, SocketFile};
///
/// /// Does something else with its requests.
/// struct Other<T>(T);
/// # impl<T: Transport> Transport for Other<T> {
/// #   type Request = T::Request;
/// #   fn get_request(&self) -> io::Result<Option<T::Request>> { self.0.get_request() }
/// #   fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> { self.0.wait(waiter) }
/// # }
///
/// impl<T: Inheritable> Inheritable for Other<T> {
///     fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
///         self.0.show_sockets(show)
///     }
///
///     fn adopt(&mut self, file: SocketFile) {
///         self.0.adopt(file);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't hand its sockets over to another process, or take them from one",
    label = "not a transport whose sockets can be inherited",
    note = "those of this crate can; for a transport of your own, implement `Inheritable`"
)]
pub trait Inheritable: Transport {
    /// Shows each of its sockets, always in the same order.
    ///
    /// # Errors
    ///
    /// What `show` says, which ends it.
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()>;

    /// Answers for the file of its socket, which another process has bound, from now on. By default
    /// it is nobody's, and left when the server closes.
    fn adopt(&mut self, _file: SocketFile) {}
}

impl Inheritable for Tcp {
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
        show(self.as_fd(), None)
    }
}

impl Inheritable for Udp {
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
        show(self.as_fd(), None)
    }
}

impl Inheritable for UnixStream {
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
        show(self.as_fd(), self.file.as_ref())
    }

    fn adopt(&mut self, file: SocketFile) {
        self.file = Some(file);
    }
}

impl Inheritable for UnixDatagram {
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
        show(self.as_fd(), self.file.as_ref())
    }

    fn adopt(&mut self, file: SocketFile) {
        self.file = Some(file);
    }
}

/// Those of the first, then those of the second.
impl<A: Inheritable + AsFd, B: Inheritable + AsFd> Inheritable for Beside<A, B> {
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
        self.first().show_sockets(show)?;
        self.second().show_sockets(show)
    }
}

/// Those of all, in the order in which they were added.
impl<T: Inheritable + AsFd> Inheritable for Many<T> {
    fn show_sockets(&self, show: Show<'_>) -> io::Result<()> {
        self.iter().try_for_each(|member| member.show_sockets(show))
    }
}

/// The impl of a transport that wraps another one, which is its field `inner`.
macro_rules! inherit_inner {
    (<$($parameter:ident),+> $type:ty, $($bounds:tt)+) => {
        impl<$($parameter),+> $crate::Inheritable for $type
        where
            $($bounds)+
        {
            fn show_sockets(&self, show: $crate::Show<'_>) -> ::std::io::Result<()> {
                self.inner.show_sockets(show)
            }

            fn adopt(&mut self, file: $crate::SocketFile) {
                self.inner.adopt(file);
            }
        }
    };
}

pub(crate) use inherit_inner;
