//! The socket of a connection as its buffers see it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};

use super::hangup::Traffic;
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
}

impl Minders {
    #[cold]
    fn spinning(time: Duration) -> Box<Self> {
        Box::new(Self { spin: Some(time), ..Self::default() })
    }
}

impl<S> Wire<S> {
    #[inline]
    pub(super) fn new(socket: S, spin: Option<Duration>) -> Self {
        let minders = spin.map(Minders::spinning);
        Self { minders, socket, traffic: Traffic::default() }
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

    /// Receives into so much room by `call`, a recv(2) with these flags.
    #[inline]
    fn receive(
        &mut self,
        room: usize,
        mut call: impl FnMut(&S, MsgFlags) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let received = match &mut self.minders {
            None => call(&self.socket, MsgFlags::empty()),
            Some(minders) => minded_read(minders, &self.socket, call),
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
        let sent = match &mut self.minders {
            None => self.socket.write(bytes),
            Some(minders) => minded_write(minders, &mut self.socket, bytes),
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
    mut call: impl FnMut(&S, MsgFlags) -> io::Result<usize>,
) -> io::Result<usize> {
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
        None => call(socket, MsgFlags::empty()),
        Some(watch) => watched_read(watch, socket, call),
    };
    if let (Some(activity), Ok(1..)) = (&minders.activity, &received) {
        activity.busy();
    }
    received
}

/// One call where the peer has spoken; otherwise it is waited for as long as the clocks allow.
fn watched_read<S: StreamSocket>(
    watch: &mut Watch,
    socket: &S,
    mut call: impl FnMut(&S, MsgFlags) -> io::Result<usize>,
) -> io::Result<usize> {
    watch.check()?;
    let mut since = None;
    loop {
        match call(socket, MsgFlags::MSG_DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
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
