//! Connections in a table by hand: one thread, which waits for all of them at once.
//!
//! What has come of a line is kept until the rest is there, and the line is answered at once. Whoever
//! does not take the answer then is let go.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send};

use super::stream::{LONGEST, Listener};
use super::{Hooks, Stop, passes};

/// As the composed server: from so many connections in a row on, the next is looked for at once.
const BUSY: u32 = 8;

const STOP: u64 = u64::MAX;
const LISTENER: u64 = STOP - 1;

struct Conn<S> {
    stream: S,
    /// A line that has no end yet.
    input: Vec<u8>,
}

struct Table<'a, L: Listener, K> {
    listener: &'a L,
    stop: &'a Stop,
    hooks: &'a K,
    epoll: Epoll,
    /// Those that wait, in the places of their descriptors.
    waiting: Vec<Option<Conn<L::Stream>>>,
    buffer: Vec<u8>,
    in_a_row: u32,
}

/// Serves until it is stopped; those who wait then are let go.
pub fn serve<L: Listener>(listener: &L, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    listener.set_nonblocking()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    epoll.add(&stop.wake, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
    let (waiting, buffer) = (Vec::new(), vec![0; 2 * LONGEST]);
    Table { listener, stop, hooks, epoll, waiting, buffer, in_a_row: 0 }.serve()
}

impl<L: Listener, K: Hooks> Table<'_, L, K> {
    fn serve(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 128];
        while !self.stop.asked() {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => 0,
                count => count?,
            };
            for event in &events[..count] {
                match event.data() {
                    STOP => {}
                    LISTENER => self.accept()?,
                    place => self.go_on(place as usize)?,
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.in_a_row = self.in_a_row.saturating_add(1);
                    self.begin(Conn { stream, input: Vec::new() })?;
                    self.hooks.served();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.in_a_row = 0;
                    return Ok(());
                }
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
            if self.in_a_row < BUSY || self.stop.asked() {
                return Ok(());
            }
        }
    }

    /// Looks first, and waits only where there is nothing.
    fn begin(&mut self, mut conn: Conn<L::Stream>) -> io::Result<()> {
        if !self.exchange(&mut conn) {
            return Ok(());
        }
        let place = conn.stream.as_fd().as_raw_fd() as usize;
        let coming = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(&conn.stream, EpollEvent::new(coming, place as u64))?;
        if self.waiting.len() <= place {
            self.waiting.resize_with(place + 1, || None);
        }
        self.waiting[place] = Some(conn);
        Ok(())
    }

    fn go_on(&mut self, place: usize) -> io::Result<()> {
        if let Some(mut conn) = self.waiting[place].take() {
            if self.exchange(&mut conn) {
                self.waiting[place] = Some(conn);
            }
        }
        Ok(())
    }

    /// Answers what has come; whether the connection lives on.
    fn exchange(&mut self, conn: &mut Conn<L::Stream>) -> bool {
        let fd = conn.stream.as_fd().as_raw_fd();
        let lives = loop {
            let count = match recv(fd, &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break true,
                Err(_) => break false,
                Ok(count) => count,
            };
            let newline = self.buffer[..count].contains(&b'\n');
            let more = !newline && count > 0 && conn.input.len() + count < LONGEST;
            if more || !conn.input.is_empty() {
                conn.input.extend_from_slice(&self.buffer[..count]);
            }
            if !more {
                let line = if conn.input.is_empty() { &self.buffer[..count] } else { &conn.input };
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                if !newline || send(fd, line, flags) != Ok(line.len()) {
                    break false;
                }
                conn.input.clear();
                self.hooks.handled();
                if !self.hooks.again() {
                    break false;
                }
            }
            if count < self.buffer.len() {
                break true;
            }
        };
        if !lives {
            let _ = L::shutdown(&conn.stream);
        }
        lives
    }
}
