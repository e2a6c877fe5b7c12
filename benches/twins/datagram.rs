//! Packets: each is sent back.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{self as unix, UnixDatagram};
use std::sync::Arc;
use std::thread;

use super::fork::Children;
use super::{Hooks, Looks, Running, Stop, crew, passes, pool};

/// The longest packet, as the composed server has it by default.
const LONGEST: usize = 65_535;

/// The two datagram sockets of `std`, which have no trait in common.
pub trait Socket: AsFd + Send + Sync + 'static {
    type Peer: Send + 'static;

    fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::Peer)>;
    fn send_to(&self, bytes: &[u8], peer: &Self::Peer) -> io::Result<usize>;
    fn set_nonblocking(&self) -> io::Result<()>;
}

impl Socket for UdpSocket {
    type Peer = SocketAddr;

    fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer)
    }

    fn send_to(&self, bytes: &[u8], peer: &SocketAddr) -> io::Result<usize> {
        self.send_to(bytes, peer)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl Socket for UnixDatagram {
    type Peer = unix::SocketAddr;

    fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, unix::SocketAddr)> {
        self.recv_from(buffer)
    }

    fn send_to(&self, bytes: &[u8], peer: &unix::SocketAddr) -> io::Result<usize> {
        self.send_to_addr(bytes, peer)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

fn handle<S: Socket>(socket: &S, packet: &[u8], peer: &S::Peer, hooks: &impl Hooks) {
    if socket.send_to(packet, peer).is_ok() {
        hooks.handled();
    }
}

pub fn sync<S: Socket>(socket: &S, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    socket.set_nonblocking()?;
    let mut buffer = vec![0; LONGEST];
    let mut looks = Looks::default();
    while !stop.asked() {
        if looks.wait_first() {
            stop.wait(socket)?;
        }
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                looks.found();
                handle(socket, &buffer[..length], &peer, hooks);
                hooks.served();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => looks.in_vain(),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

struct Service<S, K> {
    socket: S,
    hooks: K,
}

impl<S: Socket, K: Hooks> crew::Service for Service<S, K> {
    type Socket = S;
    /// What there is of it in the thread's buffer, and whose it is.
    type Request = (usize, S::Peer);

    fn socket(&self) -> &S {
        &self.socket
    }

    fn take(&self) -> io::Result<(usize, S::Peer)> {
        BUFFER.with_borrow_mut(|buffer| self.socket.recv_from(buffer))
    }

    fn handle(&self, (length, peer): (usize, S::Peer)) {
        BUFFER.with_borrow(|buffer| handle(&self.socket, &buffer[..length], &peer, &self.hooks));
        self.hooks.served();
    }
}

pub fn threading<S: Socket>(socket: S, stop: &Arc<Stop>, hooks: &impl Hooks) -> io::Result<()> {
    socket.set_nonblocking()?;
    crew::serve(Service { socket, hooks: hooks.clone() }, stop)
}

pub fn thread_pool<S: Socket>(socket: S, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    pool::serve(&Service { socket, hooks: hooks.clone() }, stop)
}

pub fn fresh<S: Socket>(socket: S, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    socket.set_nonblocking()?;
    let socket = Arc::new(socket);
    let running = Running::default();
    let mut buffer = vec![0; LONGEST];
    let mut looks = Looks::default();
    while !stop.asked() {
        if looks.wait_first() {
            stop.wait(&*socket)?;
        }
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                looks.found();
                running.begin();
                let packet = buffer[..length].to_vec();
                let (socket, running) = (Arc::clone(&socket), running.clone());
                let in_worker = hooks.clone();
                thread::Builder::new().spawn(move || {
                    handle(&*socket, &packet, &peer, &in_worker);
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

pub fn forking<S: Socket>(socket: &S, stop: &Stop, hooks: &impl Hooks) -> io::Result<()> {
    socket.set_nonblocking()?;
    let mut children = Children::default();
    let mut buffer = vec![0; LONGEST];
    while !stop.asked() {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                children.start(hooks.handled_signal(), || {
                    handle(socket, &buffer[..length], &peer, hooks);
                })?;
                children.reap();
                hooks.served();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => stop.wait(socket)?,
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    children.wait();
    Ok(())
}
