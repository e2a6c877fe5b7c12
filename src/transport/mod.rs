//! Where requests come from.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod beside;
mod channel;
mod claim;
pub(crate) mod forward;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod gate;
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
mod inheritable;
mod ip;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod many;
mod options;
mod portable;
#[cfg(feature = "proxy")]
mod proxied;
mod resumable;
mod socket_file;
mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod udp;
mod unix;
mod unix_datagram;
mod unix_stream;
mod wakeup;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use beside::Beside;
pub use channel::{Channel, Sender};
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub(crate) use gate::check_level;
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub(crate) use inheritable::inherit_inner;
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub use inheritable::{Inheritable, Show};
pub use ip::{AddressFamily, ToIpAddrs};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use many::{Listeners, Many};
#[cfg(feature = "testing")]
pub(crate) use options::sealed;
pub use options::{Bound, DatagramTransport, IpTransport, Options, StreamTransport, UnixTransport};
pub use portable::Portable;
#[cfg(feature = "proxy")]
pub use proxied::Proxied;
pub use resumable::Resumable;
#[cfg(all(feature = "activation", any(target_os = "linux", target_os = "android")))]
pub use socket_file::SocketFile;
pub use tcp::Tcp;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsConfig};
pub use udp::Udp;
pub use unix::ToUnixAddr;
pub use unix_datagram::UnixDatagram;
pub use unix_stream::UnixStream;

use std::io;

use crate::request::Request;
use crate::{ForkedChild, Waiter};

/// Where requests come from: what the serve loop asks for the next one.
///
/// # Choosing one
///
/// | transport | a request is | Python |
/// | --- | --- | --- |
/// | [`Tcp`] | a connection, [`TcpRequest`](crate::TcpRequest) | `TCPServer` |
/// | [`Udp`] | a packet, [`UdpRequest`](crate::UdpRequest) | `UDPServer` |
/// | [`UnixStream`] | a connection, [`UnixStreamRequest`](crate::UnixStreamRequest) | `UnixStreamServer` |
/// | [`UnixDatagram`] | a packet, [`UnixDatagramRequest`](crate::UnixDatagramRequest) | `UnixDatagramServer` |
/// | [`Channel<T>`](Channel) | a value that was sent, [`ChannelRequest<T>`](crate::ChannelRequest) | none |
/// | [`Beside<A, B>`](Beside) | one of the first or one of the second, [`Either`](crate::Either) | none |
/// | [`Many<T>`](Many) | that of `T` | none |
///
/// # Implementing your own
///
/// Two methods are required, and a type for the requests. Nothing has to be a socket: a queue of
/// jobs is a transport whose `get_request` takes a job without waiting. The loop calls
/// `get_request` until it says `WouldBlock`, and only then `wait` (unless the transport
/// [allows more](Transport::is_level_triggered)); under a strategy that pulls with
/// several threads or processes it calls both from each of them, so neither may assume that what
/// one call saw is still there for the next.
///
/// # Examples
///
/// The tasks that a list holds, each a request, handled under any strategy:
///
/// ```
/// use std::io;
/// use std::sync::Mutex;
/// use socketserver::{Request, Server, Threading, Transport, Waiter};
///
/// struct Task(u32);
///
/// impl Request for Task {}
///
/// struct Tasks(Mutex<Vec<Task>>);
///
/// impl Transport for Tasks {
///     type Request = Task;
///
///     fn get_request(&self) -> io::Result<Option<Task>> {
///         let mut tasks = self.0.lock().map_err(|_| io::Error::other("a task panicked"))?;
///         Ok(tasks.pop()) // `None`: there will never be another
///     }
///
///     fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
///         waiter.pause() // never called: this transport does not say `WouldBlock`
///     }
/// }
///
/// let tasks = Tasks(Mutex::new((1..=3).map(Task).collect()));
/// let mut server = Server::new_fn(tasks, Threading::new(), |task| {
///     println!("task {}", task.0);
///     Ok(())
/// })?;
/// server.serve_forever()?; // returns when the list is empty
/// server.close()?;
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport",
    label = "no requests come from `{Self}`",
    note = "transports are `Tcp`, `Udp`, `UnixStream`, `UnixDatagram`, and types that implement \
            `Transport`; it is the first parameter of `Server<Transport, Concurrency, Handler>`"
)]
pub trait Transport: Sized {
    /// What comes in.
    type Request: Request;

    /// Takes the next request without waiting for one, and without reading from its peer: Python's
    /// `get_request`. `None` says that there will never be another, and ends serving without an
    /// error; sockets never say so.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where there is none for now. The loop asks again at once after an error that
    /// belongs to one request alone (a connection that was aborted while it waited), asks again
    /// after a pause where the system has run out of something (descriptors, memory) or the error
    /// is unknown, and ends where the transport itself is broken (`EBADF`, `EINVAL`, `ENOTSOCK`).
    #[doc(alias = "accept")]
    fn get_request(&self) -> io::Result<Option<Self::Request>>;

    /// Waits until there may be a request, or `waiter` has a reason to end the wait. It may return
    /// early. A transport with a descriptor says `waiter.readable(&self.socket)`; one without has
    /// [`Waiter::interruptible`].
    ///
    /// # Errors
    ///
    /// An error is treated as one of [`get_request`](Self::get_request).
    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()>;

    /// Whether `wait` returns at once whenever `get_request` would have a request, also where that
    /// has not said `WouldBlock` before: level-triggered, in the words of epoll(7). Then the loop may
    /// wait first, which saves a look that finds nothing where requests come one at a time.
    ///
    /// It is so where all requests wait in one socket, and `wait` says
    /// [`waiter.readable`](Waiter::readable) of that. Not so, and the default is `false`, where the
    /// transport has taken some ahead, or is woken by what is not there any more when it begins to
    /// wait. A transport that wraps another and keeps nothing back passes this on.
    fn is_level_triggered(&self) -> bool {
        false
    }

    /// Closes the transport: Python's `server_close`, without the part of the strategy. Dropping a
    /// transport has to do the same, with nobody to return the error to.
    ///
    /// # Errors
    ///
    /// Whatever could not be put back as it was, such as a socket file that could not be removed.
    fn server_close(self) -> io::Result<()> {
        Ok(())
    }

    /// Called in a forked child before it handles its request, and in one that has served
    /// ([`PreForking`](crate::PreForking)) when it takes no further request: lets go of what only the
    /// parent may hold, a listening socket above all, which would go on taking connections that nobody
    /// serves after the parent has closed it. The child never uses the transport afterwards, and never
    /// drops it. A transport that wraps another passes this on; one with a listening socket of its own
    /// holds it as a `Mutex<Option<_>>`, and takes it out here.
    fn after_fork(&self, _child: &ForkedChild<'_>) {}

    /// Whether a process that is forked from this one may do this with requests: asked by the
    /// strategies that fork, when the server is made. It may where what requests are made of, and what
    /// they wait in, is the same in both processes, as what a descriptor stands for is; that is the
    /// default. Of memory, each process has a copy. A transport that wraps another passes this on.
    ///
    /// # Errors
    ///
    /// Why it may not: what [`Server::new`](crate::Server::new) returns.
    fn check_fork(&self, _role: ForkRole) -> io::Result<()> {
        Ok(())
    }
}

/// What forked processes are to do: see [`Transport::check_fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForkRole {
    /// Each handles a request that the server has taken, as under [`Forking`](crate::Forking).
    Handles,
    /// They take requests themselves, as under [`PreForking`](crate::PreForking).
    Takes,
}

/// A transport that can be made from an address alone; what
/// [`Server::bind`](crate::Server::bind) needs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be bound to an address of the type `{A}`",
    label = "not an address of `{Self}`",
    note = "`Tcp` and `Udp` take what `std::net` takes (\"127.0.0.1:0\", (\"::1\", 8000), a \
            `SocketAddr`); `UnixStream` and `UnixDatagram` take a path, or a `SocketAddr` of \
            `std::os::unix::net` for an abstract name"
)]
pub trait Bind<A>: Transport {
    /// Makes the transport with default options, ready to have requests taken from it.
    ///
    /// # Errors
    ///
    /// Where the address is not one, is not of this machine, or is in use.
    fn bind(address: A) -> io::Result<Self>;
}

/// A transport that has an address; true from the moment it is bound, port 0 included.
#[doc(alias("server_address", "getsockname"))]
pub trait LocalAddr {
    /// The type of the address.
    type Addr;

    /// Where the server is to be reached: Python's `server_address`.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}
