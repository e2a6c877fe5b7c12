//! A transport of somebody else's, and what can be wrong with it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socketserver::testing::{Law, Reach, transport};
use socketserver::{Request, Transport, Waiter};

use crate::{Outcome, breaks, keeps};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    LosesEveryThird,
    Spins,
    Breaks,
    TakesNothingMore,
    IsDeaf,
    LeavesADescriptor,
    LeavesConnectionsOpen,
}

/// Connections over TCP, and one thing wrong.
#[derive(Debug)]
struct Connections {
    listener: TcpListener,
    wrong: Wrong,
    taken: AtomicUsize,
}

#[derive(Debug)]
struct Connection {
    stream: BufReader<TcpStream>,
    wrong: Wrong,
}

impl Transport for Connections {
    type Request = Connection;

    fn get_request(&self) -> io::Result<Option<Connection>> {
        match (self.wrong, self.taken.load(SeqCst)) {
            (Wrong::Breaks, 3) => return Err(Errno::EBADF.into()),
            (Wrong::TakesNothingMore, 3) => return Err(ErrorKind::WouldBlock.into()),
            _ => {}
        }
        let mut stream = self.listener.accept()?.0;
        if self.taken.fetch_add(1, SeqCst) % 3 == 2 && self.wrong == Wrong::LosesEveryThird {
            stream = self.listener.accept()?.0;
        }
        stream.set_nonblocking(false)?;
        if self.wrong == Wrong::LeavesADescriptor {
            mem::forget(File::open("/dev/null")?);
        }
        Ok(Some(Connection { stream: BufReader::new(stream), wrong: self.wrong }))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        match self.wrong {
            Wrong::Spins => Ok(()),
            // It should say `waiter.readable`.
            Wrong::IsDeaf => {
                let listener = PollFd::new(self.listener.as_fd(), PollFlags::POLLIN);
                poll(&mut [listener], PollTimeout::NONE)?;
                Ok(())
            }
            Wrong::TakesNothingMore => waiter.pause(),
            _ => waiter.readable(&self.listener),
        }
    }
}

impl Request for Connection {
    fn shutdown_request(&mut self) {
        if self.wrong == Wrong::LeavesConnectionsOpen {
            let _ = self.stream.get_ref().try_clone().map(mem::forget);
            return;
        }
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

impl BufRead for Connection {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.stream.consume(amount);
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reach for Wrong {
    type Transport = Connections;
    type Address = SocketAddr;
    type Client = TcpStream;

    fn open(&self) -> io::Result<(Connections, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((Connections { listener, wrong: *self, taken: AtomicUsize::new(0) }, address))
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to)
    }
}

pub(crate) fn nothing_wrong() -> Outcome {
    keeps(transport(Wrong::Nothing))
}

pub(crate) fn loses_requests() -> Outcome {
    // Whoever has been lost is not answered either.
    breaks(&[Law::Conservation, Law::OnceEach], transport(Wrong::LosesEveryThird))
}

pub(crate) fn spins() -> Outcome {
    breaks(&[Law::LoopLives], transport(Wrong::Spins))
}

pub(crate) fn breaks_for_good() -> Outcome {
    breaks(&[Law::LoopLives], transport(Wrong::Breaks))
}

pub(crate) fn takes_nothing_more() -> Outcome {
    breaks(&[Law::LoopLives], transport(Wrong::TakesNothingMore))
}

pub(crate) fn is_deaf() -> Outcome {
    breaks(&[Law::StopIsSeen], transport(Wrong::IsDeaf))
}

pub(crate) fn leaves_a_descriptor() -> Outcome {
    breaks(&[Law::NothingRemains], transport(Wrong::LeavesADescriptor))
}

pub(crate) fn leaves_connections_open() -> Outcome {
    breaks(&[Law::OnceEach, Law::NothingRemains], transport(Wrong::LeavesConnectionsOpen))
}
