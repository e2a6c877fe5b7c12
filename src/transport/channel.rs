//! Jobs that come over a channel.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{SendError, TrySendError};

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::wakeup::Wakeup;
use super::{ForkRole, Transport};
use crate::Waiter;
use crate::request::ChannelRequest;

/// Requests that come from no socket: values that other threads of the process send, first in first
/// out, handled under any strategy that stays in the process, and under
/// [`Forking`](crate::Forking). Python's module has nothing like it; its users put a
/// `queue.Queue` beside the server.
///
/// The server ends by itself, without an error, when all [senders](Sender) are gone and the last job
/// has been taken. So a program that wants everything done drops its senders, and one that wants to
/// end now [stops](crate::StopHandle) the server.
///
/// # What becomes of a job
///
/// | | |
/// | --- | --- |
/// | it is handled | it is dropped afterwards |
/// | its handler fails or panics, or no thread or process can be had for it | [`handle_error`](crate::Handler::handle_error) has it still, and may send it again from there (by [`try_send`](Sender::try_send)); then it is dropped. By itself nothing comes back: a job that always fails would go round for ever |
/// | the server is stopped before it is taken | it stays in the channel, for the next time that the server serves |
/// | the server is closed before it is taken | it is dropped with the last clone of the channel, and whoever sends after that has the job given back. To lose none, keep a clone, close the server, drop the senders, and [take](Transport::get_request) what is left |
///
/// A channel may be cloned for another reason: several servers, of different strategies, take from the
/// one channel, and each job goes to one of them.
///
/// # Processes
///
/// What waits here is in the memory of one process. Under [`Forking`](crate::Forking) the child has a
/// copy of its job, and the parent drops its own; both run the destructor. A sender in a child gives
/// every job back, as nobody there would take it. [`PreForking`](crate::PreForking) would have a copy
/// of the channel in each worker, so [`Server::new`](crate::Server::new) refuses it;
/// [`ForkServer`](crate::ForkServer) and `Selecting` do not compile.
///
/// # Examples
///
/// ```
/// use std::io;
/// use socketserver::{Channel, Server, ThreadPool, Transport};
///
/// let (sender, channel) = Channel::bounded(1000)?;
/// let rest = channel.clone();
/// let server = Server::new_fn(channel, ThreadPool::new(4), |job: &mut _| {
///     let picture: &String = job;
///     println!("a smaller copy of {picture}");
///     Ok(())
/// })?;
/// let running = server.spawn()?;
/// for picture in ["a.png", "b.png", "c.png"] {
///     sender.send(picture.to_string()).map_err(io::Error::other)?;
/// }
/// drop(sender); // no more: the server ends when it has taken them all
/// running.join()?.close()?;
/// assert!(rest.get_request()?.is_none());
/// # Ok::<(), io::Error>(())
/// ```
#[doc(alias("queue", "mpsc", "crossbeam"))]
pub struct Channel<T> {
    jobs: Receiver<T>,
    wakeup: Arc<Wakeup>,
}

impl<T> Channel<T> {
    /// A channel in which so many jobs may wait, and its first sender. The memory for them is taken
    /// now.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0, and where the system has no descriptor for the wake-up.
    ///
    /// # Panics
    ///
    /// Where the room for so many would be larger than memory can be (`isize::MAX` bytes).
    pub fn bounded(capacity: usize) -> io::Result<(Sender<T>, Self)> {
        if capacity == 0 {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a channel of capacity 0 would have no room for a job to wait in; it has to be at \
                 least 1",
            ));
        }
        let wakeup = Arc::new(Wakeup::new()?);
        let (sender, jobs) = bounded(capacity);
        let line = Line { jobs: sender, end: End(Arc::clone(&wakeup)) };
        Ok((Sender(Arc::new(line)), Self { jobs, wakeup }))
    }
}

impl<T> Transport for Channel<T> {
    type Request = ChannelRequest<T>;

    fn get_request(&self) -> io::Result<Option<ChannelRequest<T>>> {
        if self.wakeup.is_elsewhere() {
            return Ok(None);
        }
        let found = self.wakeup.look(|| match self.jobs.try_recv() {
            Ok(job) => Some(Some(job)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(None),
        });
        Ok(found.ok_or(ErrorKind::WouldBlock)?.map(ChannelRequest::new))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.readable_as_ever(self.wakeup.bell())
    }

    /// A job that has been taken goes along into a child.
    fn check_fork(&self, role: ForkRole) -> io::Result<()> {
        match role {
            ForkRole::Handles => Ok(()),
            ForkRole::Takes => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "the jobs of a Channel wait in the memory of this process, of which PreForking would \
                 give each of its processes a copy; use Threading, ThreadPool or Sync",
            )),
        }
    }
}

/// Another way to the same jobs.
impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), wakeup: Arc::clone(&self.wakeup) }
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, capacity) = (self.jobs.len(), self.jobs.capacity());
        f.debug_struct("Channel")
            .field("waiting", &waiting)
            .field("capacity", &capacity)
            .finish_non_exhaustive()
    }
}

/// Readable while there is a job, or may be one, and when all senders are gone: for a selector of your
/// own.
impl<T> AsFd for Channel<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.bell().as_fd()
    }
}

/// Sends jobs to a [`Channel`]: from any number of threads, by clones or references.
///
/// A send wakes the server where that waits, by one `write(2)`; where it has not come to wait since
/// the last job, there is no system call.
pub struct Sender<T>(Arc<Line<T>>);

impl<T> Sender<T> {
    /// Sends a job; where the channel is full, waits until there is room. A handler of the server
    /// itself had better say [`try_send`](Self::try_send): those who would make room may all be
    /// waiting for it.
    ///
    /// # Errors
    ///
    /// The job comes back where nobody will take it: the channel is closed and all its clones are
    /// gone, or this is a process forked from that of the channel.
    pub fn send(&self, job: T) -> Result<(), SendError<T>> {
        let Line { jobs, end: End(wakeup) } = &*self.0;
        if wakeup.is_elsewhere() {
            return Err(SendError(job));
        }
        jobs.send(job).map_err(|unsent| SendError(unsent.into_inner()))?;
        wakeup.rouse();
        Ok(())
    }

    /// Sends a job if there is room for it.
    ///
    /// # Errors
    ///
    /// The job comes back: as `Full` where there is no room now, and as `Disconnected` as from
    /// [`send`](Self::send).
    pub fn try_send(&self, job: T) -> Result<(), TrySendError<T>> {
        use crossbeam_channel::TrySendError as Unsent;
        let Line { jobs, end: End(wakeup) } = &*self.0;
        if wakeup.is_elsewhere() {
            return Err(TrySendError::Disconnected(job));
        }
        jobs.try_send(job).map_err(|unsent| match unsent {
            Unsent::Full(job) => TrySendError::Full(job),
            Unsent::Disconnected(job) => TrySendError::Disconnected(job),
        })?;
        wakeup.rouse();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// What all senders share, in the order in which it has to be dropped.
struct Line<T> {
    jobs: crossbeam_channel::Sender<T>,
    end: End,
}

/// Wakes the server when the last sender is gone.
struct End(Arc<Wakeup>);

impl Drop for End {
    fn drop(&mut self) {
        if !self.0.is_elsewhere() {
            self.0.rouse();
        }
    }
}
