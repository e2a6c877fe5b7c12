//! The socket of a connection as its buffers see it.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;

use super::hangup::{Lingering, Traffic};
use super::held::{Held, PIECE};
use super::selectable::ReplyTooLong;
use super::socket::{StreamSocket, Way};
use super::spin::spin;
use super::watch::Watch;
use crate::in_flight::{Activity, Listed};

/// How much may be written after a reply that is too long, by
/// [`handle_error`](crate::Handler::handle_error).
const LAST_WORD: usize = 1024;

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
    held: Held,
    /// More than may wait has been written: there is room for a last word.
    overflowed: bool,
    /// An exchange in a table is over when the peer has taken the answer.
    pub(super) answered: bool,
    /// What the next read says.
    failed: Option<io::Error>,
    /// The urgent byte that a table has come upon.
    pub(super) urgent: Option<u8>,
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
        if let Some(activity) = &self.activity {
            activity.came(count);
        }
    }

    /// The peer has taken so much.
    fn went(&mut self, count: usize) {
        if let Some(watch) = &mut self.watch {
            watch.went();
        }
        if let Some(activity) = &self.activity {
            activity.went(count);
        }
    }

    /// Sends what is held back, as far as the peer takes it at once; whether nothing is left.
    fn send_held(&mut self, socket: &impl StreamSocket) -> io::Result<bool> {
        loop {
            let next = self.held.next()?;
            if next.is_empty() {
                break;
            }
            match socket.send_now(next) {
                Ok(sent) => {
                    self.held.sent(sent);
                    self.went(sent);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.held = Held::default();
        self.overflowed = false;
        Ok(true)
    }

    /// Sends all of it, however long the peer takes, as a write outside of a table does.
    #[cold]
    fn send_all_held(&mut self, socket: &impl StreamSocket) -> io::Result<()> {
        let mut sent = self.send_held(socket);
        while let Ok(false) = sent {
            let waited = match &mut self.watch {
                Some(watch) => watch.wait(Way::Write, &mut None, socket),
                None => socket.wait(Way::Write, None),
            };
            sent = waited.and_then(|()| self.send_held(socket));
        }
        if sent.is_err() {
            self.held = Held::default();
        }
        sent.map(drop)
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

    /// It waits in no table any more.
    ///
    /// # Errors
    ///
    /// Where what is held back can't be sent.
    pub(super) fn unselect(&mut self) -> io::Result<()>
    where
        S: StreamSocket,
    {
        self.replies = None;
        match &mut self.minders {
            Some(minders) if !minders.held.is_empty() => minders.send_all_held(&self.socket),
            _ => Ok(()),
        }
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
    #[inline]
    pub(super) fn until(&mut self) -> Option<Instant> {
        let minders = self.minders.as_mut()?;
        let way = if minders.held.is_empty() { Way::Read } else { Way::Write };
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
        self.receive(room, |socket, flags| socket.receive_more(bytes, flags))
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
        let received = self.socket.receive_more(bytes, MsgFlags::MSG_DONTWAIT);
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
        let sent = match minders.send_held(&self.socket) {
            Ok(false) => minders.watch.as_mut().map_or(Ok(()), Watch::late).map(|()| false),
            sent => sent,
        };
        if let Err(error) = &sent {
            minders.held = Held::default();
            self.traffic.failed(error);
        }
        sent
    }

    /// Writes as a connection in a table does: what the peer does not take is held back.
    #[inline(never)]
    fn write_without_waiting(&mut self, max: usize, bytes: &[u8]) -> io::Result<usize> {
        if !self.holds() {
            match self.socket.send_now(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                sent => {
                    if let Some(minders) = &mut self.minders {
                        minders.went(*sent.as_ref().unwrap_or(&0));
                    }
                    self.traffic.sent(&sent);
                    return sent;
                }
            }
        }
        let Minders { held, overflowed, .. } = &mut **self.minders.get_or_insert_default();
        let last_word = if *overflowed { LAST_WORD } else { 0 };
        let kept = held.push(bytes, max.saturating_add(last_word));
        *overflowed |= kept.is_none();
        let kept = kept.ok_or(ReplyTooLong { max })?;
        self.traffic.sent(&Ok(kept));
        Ok(kept)
    }

    /// Sends what `source` gives, as the peer of a connection in a table takes it.
    pub(super) fn hold_source(&mut self, source: Box<dyn Read + Send>) {
        self.minders.get_or_insert_default().held.push_source(source);
        // Nobody knows how much it is.
        self.traffic.sent(&Ok(PIECE));
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
        self.receive(bytes.len(), |socket, flags| socket.receive(bytes, flags))
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
        let in_opening = flags.contains(MsgFlags::MSG_DONTWAIT);
        return Err(if in_opening { timed_out(error) } else { error });
    }
    // The peer may wait for what the handler has written before it reads.
    if !minders.held.is_empty() && !flags.contains(MsgFlags::MSG_DONTWAIT) {
        minders.send_all_held(socket)?;
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
    if let (Some(activity), Ok(count)) = (&minders.activity, &received) {
        activity.came(*count);
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
    let sent = match &mut minders.watch {
        None => socket.write(bytes),
        Some(watch) => watched_write(watch, socket, bytes),
    };
    if let (Some(activity), Ok(count)) = (&minders.activity, &sent) {
        activity.went(*count);
    }
    sent
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
        match socket.send_now(bytes) {
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
