//! Datagrams, one at a time, without waiting.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use nix::sys::socket::MsgFlags;
use socket2::{SockAddr, SockAddrStorage, SockRef};

use super::control::{self, Room, Told, Wanted};

const LONGEST_UNIX: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// Receives what has come over a connection, as much as there is room left in `bytes`: one
/// `recv(2)`. What it does not fill need not have been zeroed for it.
///
/// # Errors
///
/// What it says.
pub(crate) fn receive_more(
    socket: &impl AsFd,
    bytes: &mut Vec<u8>,
    flags: MsgFlags,
) -> io::Result<usize> {
    let room = bytes.spare_capacity_mut();
    let count = SockRef::from(socket).recv_with_flags(room, flags.bits())?;
    // SAFETY: so much of the room has been filled, and is a part of the capacity.
    unsafe { bytes.set_len(bytes.len() + count) };
    Ok(count)
}

/// A datagram, in a place that is used again for the next one.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) buffer: Box<[u8]>,
    /// How many bytes of the buffer it fills.
    pub(crate) length: usize,
    /// Whether bytes were cut off because the buffer was too short (`MSG_TRUNC`).
    pub(crate) truncated: bool,
    /// Where it came from; of length zero where the sender has no address.
    pub(crate) sender: SockAddr,
    /// What the kernel says of it, of what it has been asked for.
    pub(crate) told: Told,
}

impl Packet {
    /// Room for a datagram of up to so many bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            buffer: vec![0; size].into(),
            length: 0,
            truncated: false,
            sender: SocketAddr::from(([0, 0, 0, 0], 0)).into(),
            told: Told::Nothing,
        }
    }

    #[inline]
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Takes one datagram from `socket`'s queue: one `recvmsg(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the queue is empty, whether or not the socket itself is non-blocking.
    #[inline]
    pub(crate) fn receive(&mut self, socket: &impl AsFd, wanted: Wanted) -> io::Result<()> {
        let buffer = &mut self.buffer;
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut name = SockAddrStorage::zeroed();
        let mut room = Room::new();
        let room = &mut room.bytes()[..wanted.room()];
        // SAFETY: a msghdr is integers and pointers, and may be all zeros.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = (&raw mut name).cast();
        message.msg_namelen = name.size_of();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = room.as_mut_ptr().cast();
        message.msg_controllen = room.len() as _;
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: the four things that `message` points to (name, part, buffer, room) are borrowed
        // mutably or owned here until after the call, with the lengths they have.
        let length = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_DONTWAIT) };
        self.length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        self.truncated = message.msg_flags & libc::MSG_TRUNC != 0;
        // SAFETY: recvmsg(2) has made the name an address whose length it says, or of length zero.
        self.sender = unsafe { SockAddr::new(name, message.msg_namelen) };
        // A Unix path of the full 108 bytes has no room for its NUL, which the kernel counts all
        // the same: it would not take its own address back.
        if self.sender.is_unix() && self.sender.len() > LONGEST_UNIX {
            // SAFETY: shorter than before, so all of it has been written by recvmsg(2).
            unsafe { self.sender.set_length(LONGEST_UNIX) };
        }
        self.told = Told::Nothing;
        if let Some(messages @ [_, ..]) = room.get(..message.msg_controllen as usize) {
            self.told = control::told(messages);
        }
        Ok(())
    }
}
