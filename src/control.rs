//! Stop as a message: the state of a server's sessions, the handle that posts the message, and the
//! wait that hears it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use parking_lot::Mutex;

use crate::sys::{self, Bell, SharedWord};

/// The message has been posted and not yet been taken.
const STOP: u64 = 1;
/// The session has begun; it stays so between two calls of `handle_request`.
const RUNNING: u64 = 2;
/// Above the flags stands the number of the session: how many have ended before it.
const NUMBER: u32 = 2;

/// What the loop, its handles and its workers share.
pub(crate) struct Control {
    first: Place,
    /// This process is a child that the server's strategy has forked.
    is_child: AtomicBool,
    /// The process that has posted a stop before it had a place of its own.
    early: AtomicU32,
    wakers: Mutex<Vec<Waker>>,
}

/// The state of a server in the process that serves, and in the children that its strategy forks:
/// one word in memory that they share, so that a stop from a handler in a child reaches the loop.
///
/// An application may fork too, and serve in its child, or in both: the process that begins a
/// session where the place is another's gets one of its own.
struct Place {
    state: SharedWord,
    bell: Bell,
    owner: u32,
    next: OnceLock<Box<Self>>,
}

impl Place {
    fn new(number: u64) -> io::Result<Self> {
        let (state, bell) = (SharedWord::new()?, Bell::new()?);
        state.store(number << NUMBER, SeqCst);
        Ok(Self { state, bell, owner: process::id(), next: OnceLock::new() })
    }

    fn is_ours(&self) -> bool {
        self.owner == process::id()
    }
}

impl Control {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            first: Place::new(0)?,
            is_child: AtomicBool::new(false),
            early: AtomicU32::new(0),
            wakers: Mutex::default(),
        })
    }

    fn place(&self) -> &Place {
        let mut place = &self.first;
        while let Some(next) = place.next.get() {
            place = next;
        }
        place
    }

    /// Somebody serves: begins a session, or goes on with it. Returns its number.
    pub(crate) fn begin(&self) -> io::Result<u64> {
        let mut place = self.place();
        if !place.is_ours() {
            let own = Place::new(place.state.load(SeqCst) >> NUMBER)?;
            place = place.next.get_or_init(|| Box::new(own));
            if self.early.load(SeqCst) == process::id() {
                place.state.fetch_or(STOP, SeqCst);
                place.bell.ring();
            }
        }
        Ok(place.state.fetch_or(RUNNING, SeqCst) >> NUMBER)
    }

    /// The session is over; a stop that was meant for it is taken.
    pub(crate) fn end(&self, number: u64) {
        let place = self.place();
        // A copy in a child that the application has forked ends nothing.
        if !place.is_ours() {
            return;
        }
        place.state.store((number + 1) << NUMBER, SeqCst);
        place.bell.drain();
        // A stop for the next session may have rung in between, and must still be heard.
        if self.is_stopping(number + 1) {
            place.bell.ring();
        }
    }

    /// Nobody will serve any more: the session that has begun, if one has, is over.
    pub(crate) fn close(&self) {
        self.end(self.place().state.load(SeqCst) >> NUMBER);
    }

    /// The wake-up.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.place().bell.as_fd()
    }

    /// Whether session `number` has been asked to stop, or is over.
    pub(crate) fn is_stopping(&self, number: u64) -> bool {
        let state = self.place().state.load(SeqCst);
        state & STOP != 0 || state >> NUMBER != number
    }

    /// Called in a child that the strategy has forked: its stops are those of its parent.
    pub(crate) fn share(&self) {
        self.is_child.store(true, SeqCst);
    }

    pub(crate) fn stop(&self, born: u64) {
        let place = self.place();
        if !self.is_child.load(SeqCst) && !place.is_ours() {
            // A child of the application, which may serve later, must not stop its parent.
            self.early.store(process::id(), SeqCst);
            return;
        }
        let mut state = place.state.load(SeqCst);
        loop {
            if state & RUNNING == 0 && state >> NUMBER != born {
                return;
            }
            // Rings again: whoever set the flag may have been killed before it rang.
            if state & STOP != 0 {
                break;
            }
            match place.state.compare_exchange_weak(state, state | STOP, SeqCst, SeqCst) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        place.bell.ring();
        self.wake();
    }

    /// Calls every waker. Without waiting for the lock, as a signal handler must not: whoever holds
    /// it looks for a stop after letting it go.
    fn wake(&self) {
        if let Some(wakers) = self.wakers.try_lock() {
            wakers.iter().for_each(|wake| wake());
        }
    }

    fn with_wakers(&self, number: u64, change: impl FnOnce(&mut Vec<Waker>)) {
        change(&mut self.wakers.lock());
        if self.is_stopping(number) {
            self.wake();
        }
    }

    /// Silences the bell where it rang for a session that is over.
    pub(crate) fn hush(&self, number: u64) {
        let bell = &self.place().bell;
        if !self.is_stopping(number) {
            bell.drain();
            // Others may be about to poll for the stop whose ring has just been taken from them.
            if self.is_stopping(number) {
                bell.ring();
            }
        }
    }
}

type Waker = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("state", &self.place().state.load(SeqCst))
            .finish_non_exhaustive()
    }
}

/// Asks a server to stop serving; Python's `shutdown`, which this differs from in every way that
/// its users suffer from.
///
/// A stop is a message. [`stop`](Self::stop) posts it and returns; it does not wait for the loop
/// to end, so a handler may call it, and so may a signal handler. Whoever wants to wait has the
/// return of [`serve_forever`](crate::Server::serve_forever) or
/// [`Running::join`](crate::Running::join) to wait for. The loop is woken by a descriptor and
/// sees the message at once, not at the end of a polling interval.
///
/// Handles are cheap to clone and outlive the server. A stop is never sticky: two for the same
/// session are one, and one that comes after its session has ended does nothing. A session is
/// what one [`serve_forever`](crate::Server::serve_forever) or any number of
/// [`handle_request`](crate::Server::handle_request) calls serve until they are stopped.
///
/// | the stop comes | what it does |
/// | --- | --- |
/// | while the server serves | ends this session, whenever the handle was made |
/// | before a session that the handle was made for (the handle is younger than the end of the one before) | the session ends as soon as it begins |
/// | after the session has ended, from a handle made before | nothing |
///
/// So a program that serves, stops and serves again, and may be stopped in between too, makes a
/// handle for each session, or keeps a flag of its own beside the handle.
///
/// # Examples
///
/// ```
/// use socketserver::TcpServer;
///
/// let mut server = TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?;
/// let stop = server.stop_handle();
/// stop.stop();
/// server.serve_forever()?; // returns at once: it has been stopped already
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "shutdown")]
pub struct StopHandle {
    control: Arc<Control>,
    born: u64,
}

impl StopHandle {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        let born = control.place().state.load(SeqCst) >> NUMBER;
        Self { control, born }
    }

    /// Asks the server to take no further request and to return from serving. What is in flight
    /// goes on; [`Server::close`](crate::Server::close) waits for it.
    ///
    /// May be called from anywhere: another thread, a handler (in a forked child too), before,
    /// during and after serving, any number of times. It is async-signal-safe where the transport
    /// waits on a descriptor, as the four of this crate do: one compare-and-swap, one `write(2)`
    /// (signal-safety(7)) with `errno` left alone, and a lock that is tried and not waited for. For
    /// a transport without one, what its waker does decides (see [`Waiter::interruptible`]).
    pub fn stop(&self) {
        self.control.stop(self.born);
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").finish_non_exhaustive()
    }
}

/// What a transport's [`wait`](crate::Transport::wait) waits for beside its own requests: the
/// wake-up of a stop, descriptors that the strategy watches, and a point in time.
#[derive(Debug)]
pub struct Waiter<'a> {
    control: &'a Control,
    number: u64,
    watch: &'a [BorrowedFd<'a>],
    deadline: Option<Instant>,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(
        control: &'a Control,
        number: u64,
        watch: &'a [BorrowedFd<'a>],
        deadline: Option<Instant>,
    ) -> Self {
        Self { control, number, watch, deadline }
    }

    /// Waits until `source` is readable, or for one of the other reasons. Spurious returns are
    /// allowed, and a signal causes one.
    ///
    /// # Errors
    ///
    /// What poll(2) says, `EINTR` excepted.
    pub fn readable(&self, source: &impl AsFd) -> io::Result<()> {
        self.poll(Some(source.as_fd()))
    }

    /// Waits for the other reasons alone.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn pause(&self) -> io::Result<()> {
        self.poll(None)
    }

    /// For a source without a descriptor: runs `wait`, which blocks until there may be a request
    /// or [`deadline`](Self::deadline) has passed, and sees to it that a stop calls `wake`, which
    /// has to make `wait` return. Where the stop is there already, `wake` is called before.
    ///
    /// `wake` runs on the thread that stops the server, or on this one, and must not block. Several
    /// threads that wait at a time need one each. A server whose transport waits like this is not
    /// to be stopped in a signal handler. Neither a stop from a forked child nor the descriptors
    /// that a strategy watches reach a source without a descriptor: the child's stop is seen at the
    /// next return of `wait`.
    pub fn interruptible<V>(
        &self,
        wake: impl Fn() + Send + Sync + 'static,
        wait: impl FnOnce() -> V,
    ) -> V {
        let wake: Waker = Arc::new(wake);
        self.control.with_wakers(self.number, |wakers| wakers.push(Arc::clone(&wake)));
        let _registered = Registered { waiter: self, wake };
        wait()
    }

    /// When the wait has to end, where it has to.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn poll(&self, source: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // The usual wait has two descriptors and needs no heap.
        let mut two = [entry(self.as_fd()), entry(source.unwrap_or(self.as_fd()))];
        let mut many;
        let fds = if self.watch.is_empty() {
            two.as_mut_slice()
        } else {
            many = Vec::from(two);
            many.extend(self.watch.iter().copied().map(entry));
            &mut many
        };
        match sys::poll(fds, self.deadline) {
            // More descriptors than the process may have, or no memory for so many: without those
            // that are watched, for as long as one may go on without looking at them.
            Err(_) if fds.len() > 2 => {
                let soon = Instant::now() + Duration::from_millis(10);
                let until = self.deadline.map_or(soon, |deadline| deadline.min(soon));
                sys::poll(&mut fds[..2], Some(until))?;
            }
            polled => polled?,
        }
        if fds[0].any().unwrap_or(true) {
            self.control.hush(self.number);
        }
        Ok(())
    }
}

/// A waker in the list, until the wait is over, by a panic too.
struct Registered<'a> {
    waiter: &'a Waiter<'a>,
    wake: Waker,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let Waiter { control, number, .. } = self.waiter;
        control.with_wakers(*number, |wakers| {
            wakers.retain(|other| !Arc::ptr_eq(other, &self.wake));
        });
    }
}

/// The wake-up descriptor: readable when the wait should end, for those who poll on their own.
impl AsFd for Waiter<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.bell()
    }
}
