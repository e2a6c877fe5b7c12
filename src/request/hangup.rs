//! How a connection ends: the policy, and what has to be known of its traffic for it.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;

use super::socket::{StreamSocket, Way};
use crate::packed::{Taking, put_number};

/// So much leaves at once, whatever the peer does: it is less than the ten segments of a
/// connection's first flight (RFC 6928), unless the segments are very small.
const LEAVES_AT_ONCE: u64 = 8192;

/// How a connection is closed by the server: an option of its transport,
/// [`Options::hangup`](crate::Options::hangup).
///
/// A socket that is closed while input waits in it, or comes later, answers with a reset; and a
/// reset throws away what has not arrived of the reply: RFC 1122, 4.2.2.13; RFC 9112, 9.6. Python
/// shuts its sending side down first, which makes the end clean and does not help the reply.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Hangup, Server, Sync, Tcp};
///
/// let brief = Hangup::Drain { bytes: 16 * 1024, time: Duration::from_millis(200) };
/// let tcp = Tcp::options().hangup(brief).bind("127.0.0.1:0")?;
/// let server = Server::new_fn(tcp, Sync, |_conn| Ok(()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hangup {
    /// Shuts the sending side down, reads and discards what the peer still sends until it ends its
    /// side, and closes. The default, with 1 MiB and 2 s.
    ///
    /// It drains only where something can be lost, and costs no system call where nothing can:
    ///
    /// * where nothing was sent, where the peer has ended its side, or is gone;
    /// * where all that had come when the connection was last read has been read, and no more than
    ///   8 KiB were sent in all: that has left before a reset could.
    ///
    /// Otherwise it looks whether there is unread input; and it waits for the peer to end its side
    /// where there is, or more than 8 KiB were sent. What a handler does with the socket itself,
    /// through [`get_ref`](crate::StreamRequest::get_ref), is not seen: a connection that was used
    /// in no other way is drained. One that knows that more will come says so with
    /// [`set_hangup`](crate::Connection::set_hangup).
    ///
    /// A drain takes place where the request was handled, and belongs to it: its thread, its
    /// process, its place among those that may run at a time. Under [`Sync`](crate::Sync) all
    /// others wait meanwhile. A request that was rejected or refused in the serve loop is not
    /// waited for.
    Drain {
        /// How many bytes are discarded at most, whatever else the peer has to say.
        bytes: usize,
        /// How long it takes at most, however diligently the peer sends.
        time: Duration,
    },
    /// Shuts the sending side down, and closes: Python's way. The end of a reply may be lost where
    /// the peer sends what nobody reads.
    Shutdown,
    /// Resets the connection (over TCP: `SO_LINGER` of zero): neither side keeps anything of it,
    /// and what the peer has not yet read of the reply may be lost. Over Unix sockets it is a close
    /// without a word.
    Reset,
}

impl Default for Hangup {
    fn default() -> Self {
        Self::Drain { bytes: 1024 * 1024, time: Duration::from_secs(2) }
    }
}

impl Hangup {
    pub(crate) fn check(self) -> io::Result<()> {
        match self {
            Self::Drain { bytes, time } if bytes == 0 || time.is_zero() => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a drain of no bytes or no time drains nothing; that is Hangup::Shutdown",
            )),
            _ => Ok(()),
        }
    }
}

/// What has gone over a connection, as far as its end depends on it.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: u64,
    input: Input,
    /// The peer is gone, or takes nothing: there is nothing left to save.
    broken: bool,
    /// Somebody has had the socket itself.
    lent: AtomicBool,
    /// The handler says that more will come.
    more_to_come: bool,
}

/// What is known of the kernel's queue of what the peer has sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// There was more than was asked for, or exactly as much.
    Waiting,
    /// It was empty after the last look.
    Empty,
    /// The peer has ended its side.
    Ended,
}

impl Traffic {
    /// Notes what a receive into `room` bytes said.
    #[inline]
    pub(super) fn received(&mut self, room: usize, result: &io::Result<usize>) {
        self.input = match result {
            // It was asked for nothing, and is no end.
            _ if room == 0 => return,
            Ok(0) => Input::Ended,
            Ok(count) if *count < room => Input::Empty,
            Ok(_) => Input::Waiting,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Input::Empty,
            // A deadline: there may be something.
            Err(error) if error.kind() == ErrorKind::TimedOut => Input::Waiting,
            Err(error) => return self.failed(error),
        };
    }

    /// Notes what a send said.
    #[inline]
    pub(super) fn sent(&mut self, result: &io::Result<usize>) {
        match result {
            Ok(count) => self.sent += *count as u64,
            Err(error) => self.failed(error),
        }
    }

    #[cold]
    pub(super) fn failed(&mut self, error: &io::Error) {
        self.broken |= !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
    }

    /// Notes that there may be more than the last look has found: a read ends before urgent data.
    pub(super) fn may_wait(&mut self) {
        if self.input == Input::Empty {
            self.input = Input::Waiting;
        }
    }

    /// Puts what is known, for another process that goes on with the connection.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        let Self { sent, input, broken, lent, more_to_come } = self;
        let lent = lent.load(Ordering::Relaxed);
        put_number(*sent, bytes);
        for known in [*input as u8, (*broken).into(), lent.into(), (*more_to_come).into()] {
            put_number(known.into(), bytes);
        }
    }

    /// Knows what the process knew that has put it.
    pub(super) fn take(&mut self, known: &mut Taking<'_>) -> io::Result<()> {
        self.sent = known.number()?;
        self.input = match known.number()? {
            0 => Input::Unknown,
            1 => Input::Waiting,
            2 => Input::Empty,
            _ => Input::Ended,
        };
        self.broken = known.number()? != 0;
        *self.lent.get_mut() = known.number()? != 0;
        self.more_to_come = known.number()? != 0;
        Ok(())
    }

    /// Notes that somebody has the socket, and may do with it what is not seen here.
    pub(super) fn lend(&self) {
        self.lent.store(true, Ordering::Relaxed);
    }

    pub(super) fn expect_more(&mut self) {
        self.more_to_come = true;
    }

    /// How the connection is to be drained; `unread` where input was received that nobody wanted.
    #[inline]
    pub(super) fn need(&self, unread: bool) -> Need {
        let none = self.sent == 0 && self.input == Input::Unknown;
        let unseen = none && self.lent.load(Ordering::Relaxed);
        match self.input {
            _ if self.broken => Need::Nothing,
            Input::Ended => Need::Nothing,
            _ if self.more_to_come || unseen => Need::Drain,
            _ if self.sent == 0 => Need::Nothing,
            _ if unread || self.sent > LEAVES_AT_ONCE => Need::Drain,
            Input::Empty => Need::Nothing,
            Input::Unknown | Input::Waiting => Need::Look,
        }
    }
}

/// What a connection needs before it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// A look, and a drain if anything is unread.
    Look,
    Drain,
}

/// Discards input until the peer ends its side, or one of the bounds is reached. An error ends it:
/// there is nothing left to save.
#[inline]
pub(super) fn drain(socket: &impl StreamSocket, need: Need, bytes: usize, time: Duration) {
    if need != Need::Nothing {
        discard(socket, need, bytes, time);
    }
}

#[cold]
fn discard(socket: &impl StreamSocket, need: Need, bytes: usize, time: Duration) {
    let mut lingering = Lingering::new(socket, need, bytes, time);
    while !lingering.is_over(socket) {
        if socket.wait(Way::Read, lingering.until).is_err() {
            return;
        }
    }
}

/// A drain that is left and come back to.
#[derive(Debug)]
pub(super) struct Lingering {
    /// The peer is waited for, and not only looked at.
    waits: bool,
    /// How many bytes are still discarded at most.
    left: usize,
    pub(super) until: Option<Instant>,
}

impl Lingering {
    pub(super) fn new(
        socket: &impl StreamSocket,
        need: Need,
        bytes: usize,
        time: Duration,
    ) -> Self {
        let until = socket.time().now().checked_add(time);
        Self { waits: need == Need::Drain, left: bytes, until }
    }

    /// Discards what has come; whether there is nothing left to wait for.
    pub(super) fn is_over(&mut self, socket: &impl StreamSocket) -> bool {
        let (mut discarded, time) = ([0; 16 * 1024], socket.time());
        while self.left > 0 && self.until.is_none_or(|until| time.now() < until) {
            let room = self.left.min(discarded.len());
            match socket.receive(&mut discarded[..room], MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return true,
                Ok(count) => self.left -= count,
                Err(error) => return !self.waits || error.kind() != ErrorKind::WouldBlock,
            }
            self.waits = true;
        }
        true
    }
}
