//! A connection.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{self as unix, UnixStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::buffer::{ReadBuffer, WriteBuffer};
use super::connection::Connection;
use super::deadlines::Deadlines;
use super::hangup::{self, Hangup, Need};
use super::held::PIECE;
use super::socket::StreamSocket;
use super::watch::Watch;
use super::wire::Wire;
use super::{Credentials, Request};
use crate::failure::FailureKind;
use crate::in_flight::{Activity, Cutter};

/// A connection of [`Tcp`](crate::Tcp).
pub type TcpRequest = StreamRequest<TcpStream, SocketAddr>;

/// A connection of [`UnixStream`](crate::UnixStream). Its peer is the client's address, which is
/// unnamed unless the client has bound its socket.
pub type UnixStreamRequest = StreamRequest<UnixStream, unix::SocketAddr>;

/// What is set up for each connection of a stream transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamSettings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) rbufsize: usize,
    pub(crate) wbufsize: usize,
    pub(crate) nodelay: bool,
    pub(crate) urgent_in_line: bool,
    pub(crate) hangup: Hangup,
    pub(crate) spin: Option<Duration>,
}

/// A connection: [`BufRead`] and [`Write`], with the socket underneath to be had on request.
///
/// Python's `StreamRequestHandler` has `rfile` and `wfile`; this is both. Reading is buffered with
/// `rbufsize` bytes, which are allocated by the first read that needs them, and given back by one
/// that finds them empty and is long enough to go around them. Writing is not buffered unless the
/// transport was given a `wbufsize`: `write_all` hands its bytes to the kernel before it returns,
/// and `write!` makes a system call for each piece of its text: format it first, or have a
/// `wbufsize`. What a write buffer holds is sent by [`flush`](Write::flush), and after the handler; a
/// failed handler's too.
///
/// When the request is over, its sending side is shut down (`SHUT_WR`); where the peer may still
/// send what nobody reads, that is discarded for a while, so that nothing of the reply is lost; and
/// the socket is closed. See [`Hangup`].
///
/// A timeout that expires in a read or write is an error of the kind `WouldBlock` or `TimedOut`;
/// unlike Python's `rfile`, the request can still be read after it.
#[doc(alias("rfile", "wfile", "StreamRequestHandler"))]
pub struct StreamRequest<S, A> {
    pub(super) wire: Wire<S>,
    peer: A,
    pub(super) reader: ReadBuffer,
    pub(super) writer: WriteBuffer,
    pub(super) timeout: Option<Duration>,
    nodelay: bool,
    urgent_in_line: bool,
    pub(super) hangup: Hangup,
    /// It is in the worker, where its peer may be waited for.
    pub(super) established: bool,
    pub(super) detached: bool,
    /// It waits in a table, and is at its end.
    pub(super) leaving: bool,
}

impl<S: StreamSocket, A> StreamRequest<S, A> {
    #[inline]
    pub(crate) fn new(socket: S, peer: A, settings: StreamSettings) -> Self {
        let reader = ReadBuffer::new(settings.rbufsize);
        let writer = WriteBuffer::new(settings.wbufsize);
        let StreamSettings { timeout, nodelay, urgent_in_line, hangup, spin, .. } = settings;
        Self {
            wire: Wire::new(socket, spin),
            peer,
            reader,
            writer,
            timeout,
            nodelay,
            urgent_in_line,
            hangup,
            established: false,
            detached: false,
            leaving: false,
        }
    }

    /// Who is at the other end: Python's `client_address`. To write it to the peer itself, copy or
    /// clone it first (`let peer = *conn.peer();`): this borrows the request.
    #[doc(alias = "client_address")]
    pub fn peer(&self) -> &A {
        &self.peer
    }

    /// The socket, for what it can do beyond reading and writing: options, `peek`, `try_clone`.
    ///
    /// Bytes that wait in [`unread`](Self::unread) are not seen by whoever reads from it.
    /// [`Deadlines`] do not hold for what is done with it. Under
    /// [`Selecting`](crate::Selecting) what the peer has not taken yet of an exchange's earlier
    /// writes waits in the table, and what is written to the socket itself overtakes it: an exchange
    /// writes one way or the other.
    pub fn get_ref(&self) -> &S {
        self.wire.traffic.lend();
        &self.wire.socket
    }

    /// Gives up the connection: the socket, for the handler to keep, to hand to another thread, to
    /// speak another protocol over. The server flushes what was written and closes its own
    /// descriptor without shutting the connection down.
    ///
    /// What is [`unread`](Self::unread) belongs to whoever takes the connection.
    ///
    /// # Errors
    ///
    /// Where the descriptor can't be duplicated: `EMFILE`, dup(2). Under
    /// [`Selecting`](crate::Selecting), where what was written before can't be sent: its peer is
    /// waited for here.
    pub fn detach(&mut self) -> io::Result<S> {
        let socket = self.wire.socket.try_clone()?;
        self.wire.unselect()?;
        self.detached = true;
        Ok(socket)
    }

    /// Sends what `source` gives, to its end: the content of a file, say, of which only so much is in
    /// memory as is on its way. What is written later comes after it.
    ///
    /// Under [`Selecting`](crate::Selecting) the source is read as the peer takes what it gives, which
    /// may be after the exchange, and where the next one of the table runs; so it must not wait for
    /// anything. Elsewhere all of it has been sent when this returns.
    ///
    /// # Errors
    ///
    /// What writing says, and what the source says when it is read; under `Selecting` that fails the
    /// request as undelivered.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use socketserver::{TcpRequest, ThreadingTcpServer};
    ///
    /// let server = ThreadingTcpServer::bind_fn("127.0.0.1:0", |conn: &mut TcpRequest| {
    ///     conn.send_from(File::open("/etc/services")?)
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_from(&mut self, mut source: impl Read + Send + 'static) -> io::Result<()> {
        if self.wire.is_selected() {
            self.flush()?;
            self.wire.hold_source(Box::new(source));
            return Ok(());
        }
        let mut piece = vec![0; PIECE];
        loop {
            match source.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write_all(&piece[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes that have been received and not yet been read.
    pub fn unread(&self) -> &[u8] {
        self.reader.unread()
    }

    /// Sets the timeout of each single read and write, in place of the transport's; `None` waits
    /// for ever. It is no deadline: a peer that sends a byte in time each time is never timed out;
    /// [`Deadlines`] end that one, and where there are both, the shorter counts. To set one for
    /// reading or for writing alone, use [`get_ref`](Self::get_ref); it has no effect beside
    /// deadlines.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, and what setsockopt(2) says.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.wire.socket.set_timeouts(timeout)?;
        self.timeout = timeout;
        if let Some(watch) = self.wire.watch() {
            watch.set_timeout(timeout);
        } else if self.wire.is_selected() {
            self.watch_timeout();
        }
        Ok(())
    }

    /// Says that no more will come; how what the peer still sends is to be drained, where something
    /// could be lost otherwise.
    pub(super) fn hang_up(&mut self) -> Option<(Need, usize, Duration)> {
        // Where the peer has gone it can't be told, and has nothing to lose.
        let told = match self.hangup {
            _ if self.detached => false,
            Hangup::Reset => {
                self.reset_request();
                false
            }
            Hangup::Drain { .. } | Hangup::Shutdown => {
                self.wire.socket.shutdown(Shutdown::Write).is_ok()
            }
        };
        match self.hangup {
            // In the serve loop nobody is waited for.
            Hangup::Drain { bytes, time } if told && self.established => {
                let need = self.wire.traffic.need(!self.unread().is_empty());
                Some((need, bytes, time))
            }
            _ => None,
        }
    }
}

impl StreamRequest<TcpStream, SocketAddr> {
    /// Switches Nagle's algorithm off (`true`) or on, in place of the transport's choice.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_nodelay(&mut self, nodelay: bool) -> io::Result<()> {
        self.wire.socket.set_nodelay(nodelay)
    }
}

impl<A> StreamRequest<UnixStream, A> {
    /// Who connected: the process's effective ids when it called connect(2) (`SO_PEERCRED`). It is
    /// known from the beginning, in [`verify_request`](crate::Handler::verify_request) too.
    ///
    /// # Errors
    ///
    /// `Unsupported` on systems other than Linux.
    #[doc(alias("SO_PEERCRED", "getpeereid"))]
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use nix::sys::socket::{getsockopt, sockopt};
            let peer = getsockopt(&self.wire.socket, sockopt::PeerCredentials)?;
            Ok(Credentials::new(peer.pid(), peer.uid(), peer.gid()))
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl<S: StreamSocket, A> Request for StreamRequest<S, A> {
    #[inline]
    fn establish(&mut self) -> io::Result<()> {
        self.established = true;
        if self.nodelay {
            self.wire.socket.disable_nagle()?;
        }
        if let Some(socket) = self.wire.socket.descriptor().filter(|_| self.urgent_in_line) {
            SockRef::from(&socket).set_out_of_band_inline(true)?;
        }
        match self.timeout {
            None => Ok(()),
            timeout => self.wire.socket.set_timeouts(timeout),
        }
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn next_exchange(&mut self) -> io::Result<()> {
        // A table sends the answers to all that has come at once.
        if !self.wire.is_selected() {
            self.flush()?;
            self.settle();
        } else if let Some(minders) = &mut self.wire.minders {
            minders.answered = true;
        }
        Ok(())
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        let activity = self.wire.minders.as_ref().and_then(|minders| minders.activity.as_ref());
        if activity.is_some_and(Activity::is_cut) {
            return FailureKind::Cut;
        }
        FailureKind::of_connection(error)
    }

    fn watch(&mut self, activity: &Activity) {
        let minders = self.wire.minders.get_or_insert_default();
        minders.listed = activity.hold();
        minders.activity = Some(activity.clone());
    }

    fn connection(&self) -> Option<BorrowedFd<'_>> {
        // Whoever it has been given up to is not to be disturbed.
        if self.detached { None } else { self.wire.socket.descriptor() }
    }

    fn cutter(&self) -> Option<Cutter> {
        if self.detached { None } else { self.wire.socket.cutter() }
    }

    fn answer(&mut self, bytes: &[u8]) {
        // The send buffer of a connection that nothing has been written to has room.
        let sent = self.wire.socket.send_now(bytes);
        self.wire.traffic.sent(&sent);
    }

    fn reset_request(&mut self) {
        self.wire.socket.reset_on_close();
    }

    fn shutdown_request(&mut self) {
        // The request has failed already, or has been flushed; a peer that is gone can't be told,
        // and one that does not read is not waited for a second time.
        if !self.writer.has_failed() {
            let _ = self.flush();
        }
        if self.wire.is_selected() {
            self.leaving = true;
        } else if let Some((need, bytes, time)) = self.hang_up() {
            hangup::drain(&self.wire.socket, need, bytes, time);
        }
    }
}

impl<S: StreamSocket, A> Connection for StreamRequest<S, A> {
    fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        deadlines.check()?;
        let unread = !self.unread().is_empty();
        let (timeout, time) = (self.timeout, self.wire.socket.time());
        let watch = &mut self.wire.minders.get_or_insert_default().watch;
        *watch = Some(Watch::new(deadlines, timeout, unread, watch.as_ref(), time));
        Ok(())
    }

    fn set_hangup(&mut self, hangup: Hangup) -> io::Result<()> {
        hangup.check()?;
        self.hangup = hangup;
        self.wire.traffic.expect_more();
        Ok(())
    }

    fn set_stage_end(&mut self, end: Option<Instant>) {
        // In a table the timeout is the clock's, and there to stay.
        let timed = self.wire.is_selected() && self.timeout.is_some();
        match (end, &mut self.wire.minders) {
            (Some(end), minders) => {
                let watch = &mut minders.get_or_insert_default().watch;
                let time = self.wire.socket.time();
                let new = || Watch::new(Deadlines::new(), self.timeout, false, None, time);
                watch.get_or_insert_with(new).begin_stage(end);
            }
            (None, Some(minders)) => {
                minders.watch.take_if(|watch| !watch.end_stage() && !timed);
            }
            (None, None) => {}
        }
    }
}

impl<S: StreamSocket, A> Read for StreamRequest<S, A> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.reader.read(&mut self.wire, bytes)
    }
}

impl<S: StreamSocket, A> BufRead for StreamRequest<S, A> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill(&mut self.wire)
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

impl<S: StreamSocket, A> Write for StreamRequest<S, A> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(&mut self.wire, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush(&mut self.wire)
    }
}

impl<S: AsFd, A> AsFd for StreamRequest<S, A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.traffic.lend();
        self.wire.socket.as_fd()
    }
}

impl<S: fmt::Debug, A: fmt::Debug> fmt::Debug for StreamRequest<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRequest")
            .field("socket", &self.wire.socket)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
