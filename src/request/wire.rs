//! The socket of a connection as its buffers see it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv, send};

use super::hangup::{Lingering, Traffic};
use super::selectable::ReplyTooLong;
use super::spin::spin;
use super::stream::StreamSocket;
use super::watch::{Watch, Way};
use crate::in_flight::{Activity, Listed};
use crate::sys;

/// A socket, what has gone over it, and who minds it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    /// There where anybody minds it; dropped before the socket is.
    pub(super) minders: Option<Box<Minders>>,
    pub(super) socket: S,
    pub(super) traffic: Traffic,
    /// How many bytes are held back at most where the peer does not take them, of a connection that
    /// waits in a table.
    replies: Option<NonZeroUsize>,
    /// How it is read: while a connection in a table is being established, without waiting.
    flags: MsgFlags,
}

/// Those who mind a connection.
#[derive(Debug, Default)]
pub(super) struct Minders {
    /// Among those that a drain may cut.
    pub(super) listed: Listed,
    /// Where to say that something has come, to a server that wants to know.
    pub(super) activity: Option<Activity>,
    /// There where the connection is held to deadlines.
    pub(super) watch: Option<Watch>,
    /// How long a read looks for something before it waits.
    spin: Option<Duration>,
    /// What the peer of a connection in a table has not taken yet.
    held: VecDeque<u8>,
    /// What the next read says.
    failed: Option<io::Error>,
    /// The end of a connection in a table.
    pub(super) lingering: Option<Lingering>,
}

impl Minders {
    #[cold]
    fn spinning(time: Duration) -> Box<Self> {
        Box::new(Self { spin: Some(time), ..Self::default() })
    }

    /// The peer has said so much.
    fn came(&mut self, count: usize) {
        if let Some(watch) = &mut self.watch {
            watch.came(count);
        }
        if let (Some(activity), 1..) = (&self.activity, count) {
            activity.busy();
        }
    }

    /// The peer has taken something.
    fn went(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.went();
        }
    }
}

impl<S> Wire<S> {
    #[inline]
    pub(super) fn new(socket: S, spin: Option<Duration>) -> Self {
        let minders = spin.map(Minders::spinning);
        let flags = MsgFlags::empty();
        Self { minders, socket, traffic: Traffic::default(), replies: None, flags }
    }

    /// From now on it waits in a table, where so many bytes may be held back.
    pub(super) fn select(&mut self, replies: usize) {
        self.replies = NonZeroUsize::new(replies).or(Some(NonZeroUsize::MIN));
    }

    /// Whether reads wait for the peer, of a connection in a table.
    pub(super) fn set_waiting(&mut self, waits: bool) {
        self.flags.set(MsgFlags::MSG_DONTWAIT, !waits);
    }

    /// Whether it waits in a table.
    #[inline]
    pub(super) fn is_selected(&self) -> bool {
        self.replies.is_some()
    }

    /// Whether something is held back.
    pub(super) fn holds(&self) -> bool {
        self.minders.as_ref().is_some_and(|minders| !minders.held.is_empty())
    }

    /// Keeps an error of the input for the next read.
    pub(super) fn keep(&mut self, error: io::Error) {
        self.minders.get_or_insert_default().failed = Some(error);
    }

    /// When a wait in the table has to end, which begins now if it has not yet.
    pub(super) fn until(&mut self) -> Option<Instant> {
        let way = if self.holds() { Way::Write } else { Way::Read };
        let minders = self.minders.as_mut()?;
        match &minders.lingering {
            Some(lingering) => lingering.until,
            None => minders.watch.as_mut()?.park(way),
        }
    }

    pub(super) fn watch(&mut self) -> Option<&mut Watch> {
        self.minders.as_mut()?.watch.as_mut()
    }
}

impl<S: StreamSocket> Wire<S> {
    /// Reads once, into the room that `bytes` have left.
    pub(super) fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let room = bytes.capacity() - bytes.len();
        self.receive(room, |socket, flags| sys::receive_more(socket, bytes, flags))
    }

    /// Takes in what has come without waiting, into the room that `bytes` have left; none where
    /// nothing has.
    ///
    /// # Errors
    ///
    /// Where the peer is gone, or late.
    pub(super) fn take_in(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let room = bytes.capacity() - bytes.len();
        if let Some(watch) = self.watch() {
            watch.check()?;
        }
        let received = sys::receive_more(&self.socket, bytes, MsgFlags::MSG_DONTWAIT);
        self.traffic.received(room, &received);
        match received {
            Ok(count) => {
                if let Some(minders) = &mut self.minders {
                    minders.came(count);
                }
                Ok(Some(count))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.watch().map_or(Ok(()), Watch::late).map(|()| None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what is held back, without waiting; whether nothing is left.
    ///
    /// # Errors
    ///
    /// Where the peer is gone, or late; nothing is held back any more.
    pub(super) fn send_held(&mut self) -> io::Result<bool> {
        let Some(minders) = &mut self.minders else { return Ok(true) };
        while !minders.held.is_empty() {
            match send_now(&self.socket, minders.held.as_slices().0) {
                Ok(sent) => {
                    minders.held.drain(..sent);
                    minders.went();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let failed = if error.kind() == ErrorKind::WouldBlock {
                        match minders.watch.as_mut().map_or(Ok(()), Watch::late) {
                            Ok(()) => return Ok(false),
                            Err(late) => late,
                        }
                    } else {
                        error
                    };
                    minders.held = VecDeque::new();
                    self.traffic.failed(&failed);
                    return Err(failed);
                }
            }
        }
        minders.held = VecDeque::new();
        Ok(true)
    }

    /// Writes as a connection in a table does: what the peer does not take is held back.
    #[inline(never)]
    fn write_without_waiting(&mut self, max: usize, bytes: &[u8]) -> io::Result<usize> {
        if !self.holds() {
            match send_now(&self.socket, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                sent => {
                    if let Some(minders) = &mut self.minders {
                        minders.went();
                    }
                    self.traffic.sent(&sent);
                    return sent;
                }
            }
        }
        let held = &mut self.minders.get_or_insert_default().held;
        let room = max.saturating_sub(held.len());
        if room == 0 && !bytes.is_empty() {
            return Err(ReplyTooLong { max }.into());
        }
        let part = &bytes[..bytes.len().min(room)];
        held.extend(part);
        self.traffic.sent(&Ok(part.len()));
        Ok(part.len())
    }

    /// Receives into so much room by `call`, a recv(2) with these flags.
    #[inline]
    fn receive(
        &mut self,
        room: usize,
        mut call: impl FnMut(&S, MsgFlags) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let received = match &mut self.minders {
            None => call(&self.socket, self.flags),
            Some(minders) => minded_read(minders, &self.socket, self.flags, call),
        };
        self.traffic.received(room, &received);
        received
    }
}

impl<S: StreamSocket> Read for Wire<S> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.receive(bytes.len(), |socket, flags| Ok(recv(socket.as_raw_fd(), bytes, flags)?))
    }
}

impl<S: StreamSocket> Write for Wire<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = match (&mut self.minders, self.replies) {
            (_, Some(max)) => return self.write_without_waiting(max.get(), bytes),
            (None, None) => self.socket.write(bytes),
            (Some(minders), None) => minded_write(minders, &mut self.socket, bytes),
        };
        self.traffic.sent(&sent);
        sent
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[inline(never)]
fn minded_read<S: StreamSocket>(
    minders: &mut Minders,
    socket: &S,
    flags: MsgFlags,
    mut call: impl FnMut(&S, MsgFlags) -> io::Result<usize>,
) -> io::Result<usize> {
    if let Some(error) = mem::take(&mut minders.failed) {
        return Err(error);
    }
    let mut once = minders.spin;
    let mut call = |socket: &S, flags| {
        let seen = once.take().map(|time| spin(time, || call(socket, MsgFlags::MSG_DONTWAIT)));
        match seen {
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => call(socket, flags),
            Some(done) => done,
            None => call(socket, flags),
        }
    };
    let received = match &mut minders.watch {
        None => call(socket, flags),
        Some(watch) => watched_read(watch, socket, flags, call),
    };
    if let (Some(activity), Ok(1..)) = (&minders.activity, &received) {
        activity.busy();
    }
    received
}

/// One call where the peer has spoken; otherwise it is waited for as long as the clocks allow, if it
/// may be waited for here.
fn watched_read<S: StreamSocket>(
    watch: &mut Watch,
    socket: &S,
    flags: MsgFlags,
    mut call: impl FnMut(&S, MsgFlags) -> io::Result<usize>,
) -> io::Result<usize> {
    watch.check()?;
    let mut since = None;
    loop {
        match call(socket, MsgFlags::MSG_DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if flags.contains(MsgFlags::MSG_DONTWAIT) {
                    return Err(watch.late().map_or_else(timed_out, |()| error));
                }
                watch.wait(Way::Read, &mut since, socket)?;
            }
            Ok(count) => {
                watch.came(count);
                return Ok(count);
            }
            failed => return failed,
        }
    }
}

/// A timeout of a wait in a table, which must not look as if there were nothing yet.
fn timed_out(late: io::Error) -> io::Error {
    if late.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { late }
}

#[inline(never)]
fn minded_write<S: StreamSocket>(
    minders: &mut Minders,
    socket: &mut S,
    bytes: &[u8],
) -> io::Result<usize> {
    match &mut minders.watch {
        None => socket.write(bytes),
        Some(watch) => watched_write(watch, socket, bytes),
    }
}

/// One call where the peer takes what is sent. What it takes at once is sent even after a deadline
/// has passed: the last word of a handler to a peer that was late.
fn watched_write<S: StreamSocket>(
    watch: &mut Watch,
    socket: &S,
    bytes: &[u8],
) -> io::Result<usize> {
    let mut since = None;
    loop {
        match send_now(socket, bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                watch.wait(Way::Write, &mut since, socket)?;
            }
            done => {
                watch.went();
                return done;
            }
        }
    }
}

/// Receives without waiting: one `recv(2)`.
pub(super) fn recv_now(socket: &impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT)?)
}

/// Sends without waiting: one `send(2)`.
pub(super) fn send_now(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    // Apple's systems have a socket option instead, which std sets.
    #[cfg(target_vendor = "apple")]
    let quiet = MsgFlags::empty();
    #[cfg(not(target_vendor = "apple"))]
    let quiet = MsgFlags::MSG_NOSIGNAL;
    Ok(send(socket.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | quiet)?)
}
