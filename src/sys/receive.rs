//! Datagrams, one at a time, without waiting.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::libc;
use nix::sys::socket::MsgFlags;
use socket2::{SockAddr, SockAddrStorage, SockRef};

use super::control::{self, Room, Told, Wanted};

const LONGEST_UNIX: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// Whether recvfrom(2) with `MSG_TRUNC` says how long a datagram is, however short the buffer.
const SAYS_LENGTH: bool = cfg!(any(target_os = "linux", target_os = "android"));

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
pub struct Packet {
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

    /// Takes one datagram from `socket`'s queue: one `recvfrom(2)` or `recvmsg(2)`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the queue is empty, whether or not the socket itself is non-blocking.
    #[inline]
    pub(crate) fn receive(&mut self, socket: &impl AsFd, wanted: Wanted) -> io::Result<()> {
        let socket = socket.as_fd().as_raw_fd();
        if SAYS_LENGTH && wanted == Wanted::Nothing {
            self.receive_alone(socket)?;
        } else {
            self.receive_with(socket, wanted)?;
        }
        // A Unix path of the full 108 bytes has no room for its NUL, which the kernel counts all
        // the same: it would not take its own address back.
        if self.sender.is_unix() && self.sender.len() > LONGEST_UNIX {
            // SAFETY: shorter than before, so all of it has been written by the kernel.
            unsafe { self.sender.set_length(LONGEST_UNIX) };
        }
        Ok(())
    }

    /// Without messages, which cost the kernel a sixth of a call even where there are none.
    #[inline]
    fn receive_alone(&mut self, socket: RawFd) -> io::Result<()> {
        let buffer = &mut self.buffer;
        let mut name = SockAddrStorage::zeroed();
        let mut name_length = name.size_of();
        // SAFETY: buffer and name are borrowed mutably until after the call, with the lengths they
        // have.
        let length = unsafe {
            libc::recvfrom(
                socket,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                (&raw mut name).cast(),
                &raw mut name_length,
            )
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        self.length = length.min(self.buffer.len());
        self.truncated = length > self.buffer.len();
        // SAFETY: recvfrom(2) has made the name an address whose length it says, or of length zero.
        self.sender = unsafe { SockAddr::new(name, name_length) };
        self.told = Told::Nothing;
        Ok(())
    }

    /// With what is wanted.
    fn receive_with(&mut self, socket: RawFd, wanted: Wanted) -> io::Result<()> {
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
        // SAFETY: the four things that `message` points to (name, part, buffer, room) are borrowed
        // mutably or owned here until after the call, with the lengths they have.
        let length = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_DONTWAIT) };
        self.length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        self.truncated = message.msg_flags & libc::MSG_TRUNC != 0;
        // SAFETY: recvmsg(2) has made the name an address whose length it says, or of length zero.
        self.sender = unsafe { SockAddr::new(name, message.msg_namelen) };
        self.told = control::told(room.get(..message.msg_controllen as usize).unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_packet_is_the_same_with_messages_and_without() -> io::Result<()> {
        for wanted in [Wanted::Nothing, Wanted::Arrival] {
            let own = UdpSocket::bind("127.0.0.1:0")?;
            let peer = UdpSocket::bind("127.0.0.1:0")?;
            control::ask(&own, wanted)?;
            let mut packet = Packet::new(4);
            for sent in [&b"four"[..], b"", b"and five"] {
                peer.send_to(sent, own.local_addr()?)?;
                packet.receive(&own, wanted)?;
                assert_eq!(packet.data(), &sent[..sent.len().min(4)], "{wanted:?}");
                assert_eq!(packet.truncated, sent.len() > 4, "{wanted:?}");
                assert_eq!(packet.sender.as_socket(), Some(peer.local_addr()?), "{wanted:?}");
                assert_eq!(packet.told == Told::Nothing, wanted == Wanted::Nothing);
            }
            let nothing = packet.receive(&own, wanted).map_err(|error| error.kind());
            assert_eq!(nothing, Err(io::ErrorKind::WouldBlock), "{wanted:?}");
        }
        Ok(())
    }
}
