//! The side of the process that is followed.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};
use socket2::{SockAddr, SockRef};

use super::message::{Answer, READY, TAKE};
use crate::sys::{self, Bell, Interest, Listener, Selector};
use crate::transport::forward::forward_portable;
use crate::transport::{
    ForkRole, Inheritable, LocalAddr, Portable, Resumable, SocketFile, Transport, UnixDatagram,
    check_level,
};
use crate::{ForkedChild, StopHandle, Waiter};

const INNER: u64 = 0;
const OFFER: u64 = 1;
const OVER: u64 = 2;

/// A transport whose sockets are offered to a process that follows this one: made by
/// [`HandOver::offer`](crate::HandOver::offer).
///
/// Its requests are those of the transport inside. When the other process is ready, there will never
/// be another: [`serve_forever`](crate::Server::serve_forever) returns, and what remains is to
/// [`close`](crate::Server::close) the server, which waits for what is in flight. Where the end is to
/// be announced to those who are connected, see [`HandOver::with_stop`](crate::HandOver::with_stop).
///
/// Whoever follows is heard when a request is looked for. So a server that is busy with one request
/// after the other, as under [`Sync`](crate::Sync), makes it wait for the end of the one at hand.
///
/// It looks for a request with one system call of its own, as [`Beside`](crate::Beside) does, and
/// what is said there of [`PreForking`](crate::PreForking) holds here too.
pub struct Offered<T> {
    inner: T,
    offer: Offer,
    selector: Selector,
}

/// Where those who follow come.
pub(super) struct Offer {
    /// Its file when it is in its place; before the socket, see [`SocketFile`].
    pub(super) file: SocketFile,
    pub(super) socket: Listener<UnixDatagram>,
    /// Rings for good when somebody has taken over, in all processes that serve.
    pub(super) over: Bell,
    /// What is to be done then, in place of saying that there is no further request.
    pub(super) stop: Arc<OnceLock<StopHandle>>,
}

impl<T: Inheritable + AsFd> Offered<T> {
    pub(super) fn new(inner: T, offer: Offer) -> io::Result<Self> {
        check_level(&inner)?;
        let selector = Selector::new()?;
        selector.add(&inner, Interest::Readable, INNER)?;
        selector.add(&*offer.socket, Interest::Readable, OFFER)?;
        selector.add(&offer.over, Interest::Readable, OVER)?;
        Ok(Self { inner, offer, selector })
    }

    /// Hears what one who follows says. Nothing that it says, and nothing that goes wrong with it,
    /// ends the service.
    #[cold]
    fn hear(&self) {
        let mut message = [0; 64];
        let Ok(parcel) = sys::receive_parcel(&*self.offer.socket, &mut message, false) else {
            return;
        };
        let Some(way) = parcel.descriptor else { return };
        match &message[..parcel.length] {
            // Whoever is not told that it was all takes nothing over, and says why.
            TAKE => drop(self.give(&way)),
            READY => {
                // The files first: when `way` is closed, they are the other's.
                self.disown();
                self.offer.over.ring();
            }
            _ => {}
        }
    }

    /// Gives copies of all sockets.
    fn give(&self, way: &OwnedFd) -> io::Result<()> {
        // The serve loop waits for nobody: one that does not read has its queue, and no more.
        SockRef::from(way).set_nonblocking(true)?;
        self.inner.show_sockets(&mut |socket, file| {
            let file = file.filter(|file| file.is_owned()).map(SocketFile::path);
            let message = Answer::socket(&name(socket)?, file);
            sys::send_parcel(way, &message, Some(socket))
        })?;
        sys::send_parcel(way, &Answer::end(), None)
    }

    /// What is left to be said when another process has taken over.
    #[cold]
    fn end(&self) -> io::Result<Option<T::Request>> {
        // Another process may have heard of it.
        self.disown();
        let Some(stop) = self.offer.stop.get() else { return Ok(None) };
        // Nothing is told of the sockets any more, nor of this, while the end is announced.
        self.selector.remove(self.inner.as_fd().as_raw_fd());
        self.selector.remove(self.offer.over.as_fd().as_raw_fd());
        stop.ask();
        Err(ErrorKind::Interrupted.into())
    }

    /// All files are the other's: those of the sockets, and the one by which it has come.
    fn disown(&self) {
        let mut disown = |_: BorrowedFd<'_>, file: Option<&SocketFile>| {
            file.map(SocketFile::disown);
            Ok(())
        };
        self.offer.file.disown();
        // There is no error to be had.
        let _ = self.offer.socket.show_sockets(&mut disown);
        let _ = self.inner.show_sockets(&mut disown);
    }
}

impl<T> Offered<T> {
    /// The transport inside.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Whether another process has taken over.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        let mut over = [PollFd::new(self.offer.over.as_fd(), PollFlags::POLLIN)];
        let looked = sys::poll(&mut over, Some(Instant::now()));
        looked.is_ok() && over[0].any().unwrap_or(false)
    }
}

/// The address of a socket, which is what it is called.
fn name(socket: BorrowedFd<'_>) -> io::Result<String> {
    let address = SockRef::from(&socket).local_addr()?;
    Ok(text(&address).unwrap_or_else(|| "unknown".into()))
}

fn text(address: &SockAddr) -> Option<String> {
    if let Some(address) = address.as_socket() {
        return Some(address.to_string());
    }
    if let Some(path) = address.as_pathname() {
        return path.to_str().map(Into::into);
    }
    let name = address.as_abstract_namespace()?;
    Some(format!("@{}", String::from_utf8_lossy(name).replace('\0', "@")))
}

impl<T: Inheritable + AsFd> Transport for Offered<T> {
    type Request = T::Request;

    #[inline]
    fn get_request(&self) -> io::Result<Option<T::Request>> {
        match self.selector.next()? {
            Some(INNER) => self.inner.get_request(),
            Some(OFFER) => {
                self.hear();
                // As after a signal: whoever asks looks for a stop, and asks again.
                Err(ErrorKind::Interrupted.into())
            }
            Some(_) => self.end(),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        if waiter.notes() {
            self.inner.wait(waiter)?;
        }
        waiter.readable_of_several(&self.selector)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn server_close(self) -> io::Result<()> {
        if self.is_handed_over() {
            self.disown();
        }
        self.inner.server_close()
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.offer.socket.after_fork(child);
        self.inner.after_fork(child);
    }

    fn check_fork(&self, role: ForkRole) -> io::Result<()> {
        self.inner.check_fork(role)
    }
}

impl<T: Inheritable + Portable + AsFd> Portable for Offered<T> {
    forward_portable!(requests as they are);
}

impl<T: Inheritable + Resumable + AsFd> Resumable for Offered<T> {
    fn suspend<'r>(
        &self,
        request: &'r T::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.inner.suspend(request, bytes)
    }

    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<T::Request> {
        self.inner.resume(bytes, descriptor)
    }
}

crate::transport::inherit_inner!(<T> Offered<T>, T: Inheritable + AsFd);

impl<T: LocalAddr> LocalAddr for Offered<T> {
    type Addr = T::Addr;

    fn local_addr(&self) -> io::Result<T::Addr> {
        self.inner.local_addr()
    }
}

/// Readable while there is a request, or somebody wants to follow.
impl<T> AsFd for Offered<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.selector.as_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Offered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offered").field(&self.inner).finish()
    }
}
