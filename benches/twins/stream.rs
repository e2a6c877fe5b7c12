//! Connections: one line is echoed, then the sending side is shut down and the socket closed.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{self as unix, UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use nix::sys::signal::{Signal, kill};

use super::fork::Children;
use super::{Hooks, Looks, PROCESSES, Running, Stop, crew, passes, pool};

/// The two listeners of `std`, which have no trait in common.
pub trait Listener: AsFd {
    type Stream: Read + Write + AsFd + Send + 'static;
    type Peer: Send + 'static;

    fn accept(&self) -> io::Result<(Self::Stream, Self::Peer)>;
    fn shutdown(stream: &Self::Stream) -> io::Result<()>;
    fn set_nonblocking(&self) -> io::Result<()>;
}

macro_rules! listener {
    ($($listener:ty, $stream:ty, $peer:ty;)*) => {$(
        impl Listener for $listener {
            type Stream = $stream;
            type Peer = $peer;

            fn accept(&self) -> io::Result<($stream, $peer)> {
                self.accept()
            }

            fn shutdown(stream: &$stream) -> io::Result<()> {
                stream.shutdown(Shutdown::Write)
            }

            fn set_nonblocking(&self) -> io::Result<()> {
                self.set_nonblocking(true)
            }
        }
    )*};
}

listener! {
    TcpListener, TcpStream, SocketAddr;
    UnixListener, UnixStream, unix::SocketAddr;
}

/// No line is longer.
pub const LONGEST: usize = 8192;

thread_local! {
    /// Not zeroed for each line, which would cost more than all else that is not the kernel's.
    static BUFFER: RefCell<[u8; LONGEST]> = const { RefCell::new([0; LONGEST]) };
}

/// Echoes what comes up to the first newline; returns whether there was one.
pub fn echo_line(stream: &mut (impl Read + Write)) -> io::Result<bool> {
    BUFFER.with_borrow_mut(|buffer| echo_line_in(buffer, stream))
}

fn echo_line_in(buffer: &mut [u8], stream: &mut (impl Read + Write)) -> io::Result<bool> {
    let mut filled = 0;
    loop {
        let count = match stream.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        let newline = buffer[filled..filled + count].contains(&b'\n');
        filled += count;
        if newline || count == 0 || filled == buffer.len() {
            stream.write_all(&buffer[..filled])?;
            return Ok(newline);
        }
    }
}

fn handle<L: Listener>(mut stream: L::Stream, _peer: L::Peer, hooks: &impl Hooks) {
    while echo_line(&mut stream).is_ok_and(|more| more) {
        hooks.handled();
        if !hooks.again() {
            break;
        }
    }
    let _ = L::shutdown(&stream);
}

pub fn sync<L: Listener>(listener: &L, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    listener.set_nonblocking()?;
    let mut looks = Looks::default();
    while !stop.asked() {
        if looks.wait_first() {
            stop.wait(listener)?;
        }
        match listener.accept() {
            Ok((stream, peer)) => {
                looks.found();
                handle::<L>(stream, peer, hooks);
                hooks.served();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => looks.in_vain(),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Service<L, K> {
    listener: L,
    hooks: K,
}

impl<L: Listener + Send + Sync + 'static, K: Hooks> crew::Service for Service<L, K> {
    type Socket = L;
    type Request = (L::Stream, L::Peer);

    fn socket(&self) -> &L {
        &self.listener
    }

    fn take(&self) -> io::Result<(L::Stream, L::Peer)> {
        self.listener.accept()
    }

    fn handle(&self, (stream, peer): (L::Stream, L::Peer)) {
        handle::<L>(stream, peer, &self.hooks);
        self.hooks.served();
    }
}

pub fn threading<L: Listener + Send + Sync + 'static>(
    listener: L,
    stop: &Arc<Stop>,
    hooks: &impl Hooks,
) -> io::Result<()> {
    listener.set_nonblocking()?;
    crew::serve(Service { listener, hooks: hooks.clone() }, stop)
}

pub fn thread_pool<L: Listener + Send + Sync + 'static>(
    listener: L,
    stop: &Stop,
    hooks: &impl Hooks,
) -> io::Result<()> {
    pool::serve(&Service { listener, hooks: hooks.clone() }, stop)
}

pub fn fresh<L: Listener>(listener: &L, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    listener.set_nonblocking()?;
    let running = Running::default();
    let mut looks = Looks::default();
    while !stop.asked() {
        if looks.wait_first() {
            stop.wait(listener)?;
        }
        match listener.accept() {
            Ok((stream, peer)) => {
                looks.found();
                running.begin();
                let (running, in_worker) = (running.clone(), hooks.clone());
                thread::Builder::new().spawn(move || {
                    handle::<L>(stream, peer, &in_worker);
                    running.end();
                })?;
                hooks.served();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => looks.in_vain(),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    running.wait();
    Ok(())
}

pub fn forking<L: Listener>(listener: L, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    listener.set_nonblocking()?;
    let mut listener = Some(listener);
    let mut children = Children::default();
    while !stop.asked() {
        let Some(listening) = &listener else { break };
        match listening.accept() {
            Ok((stream, peer)) => {
                let mut connection = Some((stream, peer));
                children.start(hooks.handled_signal(), || {
                    drop(listener.take());
                    if let Some((stream, peer)) = connection.take() {
                        handle::<L>(stream, peer, hooks);
                    }
                })?;
                drop(connection);
                children.reap();
                hooks.served();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => stop.wait(listening)?,
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    children.wait();
    Ok(())
}

/// So many processes that wait in accept(2), and one that waits for its end, and then for theirs.
pub fn pre_forking<L: Listener>(listener: &L, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    let mut children = Children::default();
    let mut workers = Vec::new();
    for _ in 0..PROCESSES {
        workers.push(children.start(None, || {
            while let Ok((stream, peer)) = listener.accept() {
                handle::<L>(stream, peer, hooks);
            }
        })?);
    }
    while !stop.asked() {
        stop.wait(&stop.wake)?;
    }
    for worker in workers {
        kill(worker, Signal::SIGKILL)?;
    }
    children.wait();
    Ok(())
}

/// One connection, and a line for each line, to its end.
pub fn ping_pong<L: Listener>(listener: &L, hooks: &impl Hooks) -> io::Result<()> {
    let (mut stream, _peer) = listener.accept()?;
    while echo_line(&mut stream)? {
        hooks.handled();
    }
    L::shutdown(&stream)
}
