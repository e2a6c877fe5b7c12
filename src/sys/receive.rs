//! Datagrams, one at a time, without waiting.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use nix::libc;
use socket2::{MaybeUninitSlice, SockAddr, SockRef};

const LONGEST_UNIX: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// One datagram that was received.
pub(crate) struct Received {
    /// How many bytes of the buffer it fills.
    pub(crate) length: usize,
    /// Whether bytes were cut off because the buffer was too short (`MSG_TRUNC`).
    pub(crate) truncated: bool,
    /// Where it came from; of length zero where the sender has no address.
    pub(crate) sender: SockAddr,
}

/// Takes one datagram from `socket`'s queue: one `recvmsg(2)`.
///
/// # Errors
///
/// `WouldBlock` where the queue is empty, whether or not the socket itself is non-blocking.
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let bytes: *mut [u8] = buffer;
    // SAFETY: `u8` and `MaybeUninit<u8>` have the same layout, the borrow of `buffer` is unique and
    // outlives `bytes`, and recvmsg(2) writes only bytes, so the buffer stays initialized.
    let bytes = unsafe { &mut *(bytes as *mut [MaybeUninit<u8>]) };
    let (length, flags, sender) = SockRef::from(socket)
        .recv_from_vectored_with_flags(&mut [MaybeUninitSlice::new(bytes)], libc::MSG_DONTWAIT)?;
    let mut sender = sender;
    // A Unix path of the full 108 bytes has no room for its NUL, which the kernel counts all the
    // same: it would not take its own address back.
    if sender.is_unix() && sender.len() > LONGEST_UNIX {
        // SAFETY: shorter than before, so all of it has been written by recvmsg(2).
        unsafe { sender.set_length(LONGEST_UNIX) };
    }
    Ok(Received { length, truncated: flags.is_truncated(), sender })
}
