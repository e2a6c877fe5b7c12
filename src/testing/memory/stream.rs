//! Either end of a connection in memory.

use std::collections::vec_deque::Drain;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;

use super::link::Link;
use super::network;
use super::pipe::{Pipe, Side};
use crate::Cutter;
use crate::request::{Raw, StreamSocket, Time, Way};

/// One end of a connection in memory: what [`TcpStream`](std::net::TcpStream) is over TCP. A client
/// has one by [`connect`](Self::connect); a handler finds the other end in its
/// [`MemoryRequest`](super::MemoryRequest).
///
/// Each side may send 1 MiB before the other has read any of it. What was sent can be read although
/// the sender has gone, until one side [resets](Self::reset) the connection; writing to a side that
/// has gone is a `BrokenPipe`, at once. Dropping the last clone of an end closes it.
pub struct MemoryStream(Arc<End>);

struct End {
    pipe: Arc<Pipe>,
    side: Side,
    own: SocketAddr,
    peer: SocketAddr,
    resets: AtomicBool,
}

/// The client's end; the server's waits to be taken.
pub(super) fn connect(
    own: Option<SocketAddr>,
    server: SocketAddr,
    link: Link,
) -> io::Result<MemoryStream> {
    let door = network::STREAMS.find(server)?;
    let own = own.unwrap_or_else(|| network::address_beside(server));
    let pipe = Arc::new(Pipe::new(door.clock.clone(), link));
    door.clock.wakes(&pipe);
    let end = |side, own, peer| {
        let pipe = Arc::clone(&pipe);
        MemoryStream(Arc::new(End { pipe, side, own, peer, resets: AtomicBool::new(false) }))
    };
    let client = end(Side::Client, own, server);
    door.queue.push(end(Side::Server, server, own))?;
    Ok(client)
}

impl MemoryStream {
    /// Connects to the server at this address; [`Link`] has more to choose.
    ///
    /// # Errors
    ///
    /// As [`Link::connect`].
    pub fn connect(server: impl ToSocketAddrs) -> io::Result<Self> {
        Link::new().connect(server)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// None; it is what `TcpStream` has.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.own)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// None; it is what `TcpStream` has.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.peer)
    }

    /// Ends the sending side, the receiving side, or both, as shutdown(2) does. A peer that writes to
    /// a receiving side that was shut down has a `BrokenPipe`, as over Unix sockets.
    ///
    /// # Errors
    ///
    /// `NotConnected` where the connection has been reset.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.pipe.shutdown(self.0.side, how)
    }

    /// How long a read waits; `None`, the default, for ever. Of the client's end this is the
    /// system's time, and the test's patience; of the server's it is the [`Clock`](super::Clock)'s.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_patience(Way::Read, timeout)
    }

    /// The same for a write, where the other side does not read what has been sent.
    ///
    /// # Errors
    ///
    /// As [`set_read_timeout`](Self::set_read_timeout).
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_patience(Way::Write, timeout)
    }

    /// The same end once more.
    ///
    /// # Errors
    ///
    /// None; it is what `TcpStream` has.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    /// Ends the connection with a reset: what has been sent and not been read is lost, and the other
    /// side's reads and writes are errors of the kind `ConnectionReset`.
    pub fn reset(&self) {
        self.0.pipe.reset();
    }

    /// Ends, in each direction, the first [`Stall::UntilReleased`](super::Stall::UntilReleased) that
    /// is left.
    pub fn release(&self) {
        self.0.pipe.release();
    }

    /// Waits until the handler has read all that has come, and waits for this client: to say more, or
    /// to take what was written. From then on its deadlines count. No longer than the client's read
    /// timeout.
    ///
    /// # Errors
    ///
    /// `NotConnected` where the server has ended the connection instead; `WouldBlock` after the
    /// timeout.
    pub fn until_waited_for(&self) -> io::Result<()> {
        self.0.pipe.until_waited_for()
    }

    fn set_patience(&self, way: Way, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|time| time.is_zero()) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a timeout of zero leaves no time for anything; it has to be longer",
            ));
        }
        self.0.pipe.set_patience(self.0.side, way, timeout);
        Ok(())
    }

    fn take(&self, room: usize, waits: bool, put: impl FnOnce(Drain<'_, u8>)) -> io::Result<usize> {
        self.0.pipe.receive(self.0.side, room, waits, put)
    }

    fn take_into(&self, bytes: &mut [u8], waits: bool) -> io::Result<usize> {
        self.take(bytes.len(), waits, |taken| {
            taken.zip(bytes).for_each(|(byte, place)| *place = byte);
        })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.resets.load(SeqCst) {
            self.pipe.reset();
        }
        // One that has been reset has no sides to shut down.
        let _ = self.pipe.shutdown(self.side, Shutdown::Both);
    }
}

impl StreamSocket for MemoryStream {}

impl Raw for MemoryStream {
    fn receive(&self, bytes: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        self.take_into(bytes, waits(flags))
    }

    fn receive_more(&self, bytes: &mut Vec<u8>, flags: MsgFlags) -> io::Result<usize> {
        self.take(bytes.capacity() - bytes.len(), waits(flags), |taken| bytes.extend(taken))
    }

    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.pipe.send(self.0.side, bytes, false)
    }

    fn wait(&self, way: Way, until: Option<Instant>) -> io::Result<()> {
        self.0.pipe.wait(way, until);
        Ok(())
    }

    fn time(&self) -> Time {
        Time::Test(self.0.pipe.clock.clone())
    }

    fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }

    fn disable_nagle(&self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn reset_on_close(&self) {
        self.0.resets.store(true, SeqCst);
    }

    fn try_clone(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn cutter(&self) -> Option<Cutter> {
        let (pipe, side) = (Arc::downgrade(&self.0.pipe), self.0.side);
        Some(Cutter::new(move || {
            if let Some(pipe) = pipe.upgrade() {
                // One that is gone already is as good as cut off.
                let _ = pipe.shutdown(side, Shutdown::Both);
            }
        }))
    }
}

fn waits(flags: MsgFlags) -> bool {
    !flags.contains(MsgFlags::MSG_DONTWAIT)
}

impl Read for &MemoryStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.take_into(bytes, true)
    }
}

impl Write for &MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.pipe.send(self.0.side, bytes, true)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for MemoryStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self).read(bytes)
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let End { own, peer, .. } = &*self.0;
        f.debug_struct("MemoryStream").field("addr", own).field("peer", peer).finish()
    }
}
