//! Datagrams, one at a time, without waiting.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use socket2::SockAddr;

use super::control::{self, Room, Told, Wanted};

const LONGEST_UNIX: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// One datagram that was received.
pub(crate) struct Received {
    /// How many bytes of the buffer it fills.
    pub(crate) length: usize,
    /// Whether bytes were cut off because the buffer was too short (`MSG_TRUNC`).
    pub(crate) truncated: bool,
    /// Where it came from; of length zero where the sender has no address.
    pub(crate) sender: SockAddr,
    /// What the kernel says of it, of what it has been asked for.
    pub(crate) told: Told,
}

/// Takes one datagram from `socket`'s queue: one `recvmsg(2)`.
///
/// # Errors
///
/// `WouldBlock` where the queue is empty, whether or not the socket itself is non-blocking.
#[inline]
pub(crate) fn receive(
    socket: &impl AsFd,
    buffer: &mut [u8],
    wanted: Wanted,
) -> io::Result<Received> {
    let socket = socket.as_fd().as_raw_fd();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut room = Room::new();
    let room = &mut room.bytes()[..wanted.room()];
    // SAFETY: a msghdr is integers and pointers, and may be all zeros.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = room.len() as _;
    // SAFETY: the four things that `message` points to (name, part, buffer, room) are borrowed
    // mutably or owned here until after the call, with the lengths they have; and recvmsg(2) makes
    // the name an address whose length it says.
    let (length, mut sender) = unsafe {
        SockAddr::try_init(|name, name_length| {
            message.msg_name = name.cast();
            message.msg_namelen = *name_length;
            let length = libc::recvmsg(socket, &raw mut message, libc::MSG_DONTWAIT);
            *name_length = message.msg_namelen;
            usize::try_from(length).map_err(|_| io::Error::last_os_error())
        })
    }?;
    // A Unix path of the full 108 bytes has no room for its NUL, which the kernel counts all the
    // same: it would not take its own address back.
    if sender.is_unix() && sender.len() > LONGEST_UNIX {
        // SAFETY: shorter than before, so all of it has been written by recvmsg(2).
        unsafe { sender.set_length(LONGEST_UNIX) };
    }
    let told = control::told(room.get(..message.msg_controllen as usize).unwrap_or_default());
    Ok(Received { length, truncated: message.msg_flags & libc::MSG_TRUNC != 0, sender, told })
}
