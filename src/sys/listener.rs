//! Listening sockets, and a list of those that this process has.

use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use super::fork::{ForkedChild, put};

/// No descriptor's number.
const NONE: RawFd = -1;

/// The listeners of all servers, so that a child of one lets go of those of the others too: the
/// helper of a [`ForkServer`](crate::ForkServer) is there for as long as its own server, and would
/// go on listening for another that has been closed. No lock, as children look at it.
static OPEN: [AtomicI32; 64] = [const { AtomicI32::new(NONE) }; 64];

/// A listening socket, listed while it is open, where there is room.
#[derive(Debug)]
pub(crate) struct Listener<L: AsFd> {
    socket: L,
    place: Option<usize>,
}

impl<L: AsFd> Listener<L> {
    pub(crate) fn new(socket: L) -> Self {
        let fd = socket.as_fd().as_raw_fd();
        let take = |place: &AtomicI32| place.compare_exchange(NONE, fd, SeqCst, SeqCst).is_ok();
        Self { place: OPEN.iter().position(take), socket }
    }

    /// Lets go of it in a child, where that has not been done by
    /// [`release_listeners`](ForkedChild::release_listeners).
    pub(crate) fn after_fork(&self, child: &ForkedChild<'_>) {
        if self.place.is_none() || !child.has_released().load(SeqCst) {
            child.release(&self.socket);
        }
    }
}

impl<L: AsFd> Drop for Listener<L> {
    fn drop(&mut self) {
        // Before the number can be another's.
        if let Some(place) = self.place {
            OPEN[place].store(NONE, SeqCst);
        }
    }
}

impl<L: AsFd> Deref for Listener<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.socket
    }
}

impl<L: AsFd> AsFd for Listener<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether it is the number of one of them.
pub(crate) fn is_listener(fd: RawFd) -> bool {
    OPEN.iter().any(|place| place.load(SeqCst) == fd)
}

impl ForkedChild<'_> {
    /// What lets go of listening sockets when it is called, in a signal handler too. It is the
    /// caller's to see that they are there for as long as the process is, and so is what stands in
    /// the place of those that are let go of.
    pub(crate) fn letting_go(
        &self,
        listeners: Vec<RawFd>,
    ) -> impl Fn() + Clone + Send + Sync + 'static {
        let blank = self.blank();
        move || {
            for listener in listeners.iter().filter(|fd| is_listener(**fd)) {
                put(blank, *listener);
            }
        }
    }

    /// Puts `other` in the place of the socket that a transport of this crate takes requests from,
    /// which goes on with that one. It is the caller's to see that both are there.
    pub(crate) fn exchange(&self, socket: RawFd, other: &impl AsFd) {
        put(other.as_fd().as_raw_fd(), socket);
    }

    /// Lets go of all that are listed, whichever server they are of.
    pub(crate) fn release_listeners(&self) {
        for place in &OPEN {
            let fd = place.load(SeqCst);
            if fd != NONE {
                // SAFETY: a listed descriptor is open: it is closed after it has left the list, and
                // by nobody but the thread that this process has.
                self.release(&unsafe { BorrowedFd::borrow_raw(fd) });
            }
        }
        self.has_released().store(true, SeqCst);
    }
}
