//! What a connection needs of its socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::SockRef;

use super::time::Time;
use crate::in_flight::Cutter;
use crate::sys;

/// What a [`StreamRequest`](crate::StreamRequest) needs of its socket. Sealed: implemented by
/// [`TcpStream`] and [`std::os::unix::net::UnixStream`], and with the feature `testing` by
/// `testing::MemoryStream`.
pub trait StreamSocket: Raw + fmt::Debug {}

/// A socket with a descriptor, which a selector can watch. Sealed: [`TcpStream`] and
/// [`std::os::unix::net::UnixStream`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no descriptor, and can't wait in a table, as connections do under \
               `Selecting`",
    label = "not a socket that a selector can watch",
    note = "connections in memory are served under `Sync`, `Threading` and `ThreadPool`"
)]
pub trait Watchable: StreamSocket + AsFd {}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Read,
    Write,
}

/// The calls that a connection is made of.
pub trait Raw: Sized + Read + Write {
    /// One `recv(2)` with these flags.
    fn receive(&self, bytes: &mut [u8], flags: MsgFlags) -> io::Result<usize>;
    /// The same into the room that `bytes` have left.
    fn receive_more(&self, bytes: &mut Vec<u8>, flags: MsgFlags) -> io::Result<usize>;
    /// Sends without waiting: one `send(2)`.
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Waits until it may be tried again, until that time of its [`time`](Self::time) at most.
    fn wait(&self, way: Way, until: Option<Instant>) -> io::Result<()>;
    fn time(&self) -> Time;
    fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn disable_nagle(&self) -> io::Result<()>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    /// Its last close is to be a reset.
    fn reset_on_close(&self);
    fn try_clone(&self) -> io::Result<Self>;
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
    /// What ends it from outside, where it has no descriptor.
    fn cutter(&self) -> Option<Cutter>;
}

macro_rules! stream_socket {
    ($($socket:ty, $disable_nagle:expr;)*) => {$(
        impl StreamSocket for $socket {}

        impl Watchable for $socket {}

        impl Raw for $socket {
            #[inline]
            fn receive(&self, bytes: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
                Ok(recv(self.as_raw_fd(), bytes, flags)?)
            }

            #[inline]
            fn receive_more(&self, bytes: &mut Vec<u8>, flags: MsgFlags) -> io::Result<usize> {
                sys::receive_more(self, bytes, flags)
            }

            #[inline]
            fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
                Ok(send(self.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | QUIET)?)
            }

            fn wait(&self, way: Way, until: Option<Instant>) -> io::Result<()> {
                let flags = match way {
                    Way::Read => PollFlags::POLLIN,
                    Way::Write => PollFlags::POLLOUT,
                };
                sys::poll(&mut [PollFd::new(self.as_fd(), flags)], until)
            }

            #[inline]
            fn time(&self) -> Time {
                Time::System
            }

            fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.set_read_timeout(timeout)?;
                self.set_write_timeout(timeout)
            }

            fn disable_nagle(&self) -> io::Result<()> {
                $disable_nagle(self)
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }

            fn reset_on_close(&self) {
                // A Unix socket has no such thing, and takes it.
                let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
            }

            fn try_clone(&self) -> io::Result<Self> {
                self.try_clone()
            }

            #[inline]
            fn descriptor(&self) -> Option<BorrowedFd<'_>> {
                Some(self.as_fd())
            }

            #[inline]
            fn cutter(&self) -> Option<Cutter> {
                None
            }
        }
    )*};
}

stream_socket! {
    TcpStream, |socket: &Self| socket.set_nodelay(true);
    UnixStream, |_| Ok(());
}

/// No SIGPIPE. Apple's systems have a socket option instead, which std sets.
#[cfg(target_vendor = "apple")]
const QUIET: MsgFlags = MsgFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const QUIET: MsgFlags = MsgFlags::MSG_NOSIGNAL;
