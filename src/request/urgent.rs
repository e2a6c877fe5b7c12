//! Urgent data: what the peer of a connection says out of its turn.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv};

use super::socket::StreamSocket;
use super::stream::StreamRequest;
use super::wire::Wire;
use crate::sys;

impl<S: StreamSocket, A> StreamRequest<S, A> {
    /// Whether the peer has sent urgent data which has not been [taken](Self::recv_urgent) or read
    /// past: for a handler to ask while it does something long. One `poll(2)` for `POLLPRI`, without
    /// waiting and without reading.
    ///
    /// This is what Python's module leaves open: "what to do with out-of-band data?" It answers the
    /// one need for it, an interrupt that is not to wait behind what was sent before it: a handler
    /// that computes asks now and then, stops, and reads on.
    ///
    /// # What urgent data is
    ///
    /// There is no second channel. The peer marks a place in the stream (`MSG_OOB`), and the mark
    /// gets ahead of what it has sent before, as far as the receiving system; a read ends before the
    /// mark, and the next one begins behind it ([`is_at_mark`](Self::is_at_mark)). There is one mark
    /// at a time: one that comes later takes the place of the one before. By default the system takes
    /// the last marked byte out of the stream, for [`recv_urgent`](Self::recv_urgent); with
    /// [`Options::out_of_band_inline`](crate::Options::out_of_band_inline) it stays.
    ///
    /// [RFC 6093](https://www.rfc-editor.org/rfc/rfc6093) says of it that new applications *should
    /// not* use it (section 5): systems disagree which byte the urgent pointer points to (3.2), and
    /// firewalls clear it on the way, so that the byte arrives as any other (3.4). Those that do use
    /// it *must* have the data in line, and have to work where no mark ever comes (6). So: as a hint
    /// that saves time, for a protocol that has it already, and never over TLS, which knows nothing of
    /// it.
    ///
    /// # What a telnet-like interrupt needs
    ///
    /// The SYNCH of [RFC 854](https://www.rfc-editor.org/rfc/rfc854) is such a hint: the user's
    /// "interrupt process" stands in the stream, behind what was typed before and perhaps not read
    /// for long, and the data mark (`IAC DM`) after it is marked. The server has the data in line;
    /// once it finds urgent data, it skips all but commands up to the data mark, which it knows by
    /// its bytes. A new protocol has a second connection for its interrupts, or frames that say what
    /// they are, and reads them on a thread of their own.
    ///
    /// # Under `Selecting`
    ///
    /// The table takes in what comes, past the mark too; an urgent byte that is not in line is kept
    /// for `recv_urgent`, and counts here. Of the mark itself nothing is known then.
    ///
    /// # Errors
    ///
    /// What poll(2) says. Over Unix sockets there is urgent data on Linux since 5.15; where there is
    /// none, as in memory, none ever comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Write};
    /// use socketserver::{TcpRequest, ThreadingTcpServer};
    ///
    /// fn count(conn: &mut TcpRequest) -> io::Result<()> {
    ///     for number in 0..1_000_000_u64 {
    ///         if number % 1000 == 0 && conn.is_urgent()? {
    ///             let byte = conn.recv_urgent()?; // None, where it is in line
    ///             return writeln!(conn, "interrupted at {number} by {byte:?}");
    ///         }
    ///     }
    ///     conn.write_all(b"done\n")
    /// }
    ///
    /// let server = ThreadingTcpServer::bind_fn("127.0.0.1:0", count)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[doc(alias("out_of_band", "POLLPRI", "MSG_OOB"))]
    pub fn is_urgent(&self) -> io::Result<bool> {
        if self.wire.urgent().is_some() {
            return Ok(true);
        }
        let Some(socket) = self.wire.socket.descriptor() else { return Ok(false) };
        let mut told = [PollFd::new(socket, PollFlags::POLLPRI)];
        sys::poll(&mut told, Some(Instant::now()))?;
        let told = told[0].revents().unwrap_or(PollFlags::empty());
        Ok(told.contains(PollFlags::POLLPRI))
    }

    /// Takes the urgent byte, without waiting and whatever comes before it; none where none has come,
    /// where it has been taken or read past, and where it is
    /// [in line](crate::Options::out_of_band_inline).
    ///
    /// # Errors
    ///
    /// `Unsupported` over Unix sockets on systems without it, and what recv(2) says.
    #[doc(alias("recv_oob", "MSG_OOB"))]
    pub fn recv_urgent(&mut self) -> io::Result<Option<u8>> {
        let kept = self.wire.minders.as_mut().and_then(|minders| minders.urgent.take());
        if kept.is_some() {
            return Ok(kept);
        }
        self.wire.recv_urgent()
    }

    /// Whether all that the peer sent before its urgent data has been read, and nothing behind it:
    /// sockatmark(3). With the data in line, the next byte is the urgent one.
    ///
    /// # Errors
    ///
    /// What sockatmark(3) says: `ENOTTY` or `EINVAL`, over Unix sockets on systems without it.
    #[doc(alias("sockatmark", "SIOCATMARK"))]
    pub fn is_at_mark(&self) -> io::Result<bool> {
        let Some(socket) = self.wire.socket.descriptor() else { return Ok(false) };
        Ok(self.unread().is_empty() && sys::is_at_mark(&socket)?)
    }
}

impl<S: StreamSocket> Wire<S> {
    /// The urgent byte that a table has come upon, and nobody has taken.
    fn urgent(&self) -> Option<u8> {
        self.minders.as_ref().and_then(|minders| minders.urgent)
    }

    fn recv_urgent(&mut self) -> io::Result<Option<u8>> {
        let Some(socket) = self.socket.descriptor() else { return Ok(None) };
        let flags = MsgFlags::MSG_OOB | MsgFlags::MSG_DONTWAIT;
        let mut byte = [0];
        match recv(socket.as_raw_fd(), &mut byte, flags) {
            Ok(0) => Ok(None),
            Ok(_) => {
                self.traffic.may_wait();
                Ok(Some(byte[0]))
            }
            // There is none, or it is in line; or its mark has come alone (tcp(7)).
            Err(Errno::EINVAL | Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// In a table, before what comes is taken in past the mark: keeps the urgent byte, which would
    /// be lost.
    #[cold]
    pub(super) fn keep_urgent(&mut self) {
        // Where it can't be had, there is nobody to tell, and the stream is what it is.
        if let Ok(Some(byte)) = self.recv_urgent() {
            self.minders.get_or_insert_default().urgent = Some(byte);
        }
    }
}
