//! Messages between two processes of ours, each with a descriptor if need be.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

/// A message that has come.
pub(crate) struct Parcel {
    /// How many bytes of the buffer it fills; none at the end of the messages.
    pub(crate) length: usize,
    pub(crate) descriptor: Option<OwnedFd>,
    /// It had a descriptor, for which this process had no room (`MSG_CTRUNC`, unix(7)).
    pub(crate) lost: bool,
}

/// Two ends that messages go between, whole and in order.
pub(crate) fn parcel_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Sends a message, and a copy of `descriptor` with it.
///
/// # Errors
///
/// `EPIPE` where the other end is gone, `EMSGSIZE` for more than its queue holds, and what
/// sendmsg(2) says.
pub(crate) fn send_parcel(
    socket: &impl AsFd,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let socket = socket.as_fd().as_raw_fd();
    let descriptors = descriptor.map(|fd| [fd.as_raw_fd()]);
    let rights = descriptors.as_ref().map(|fds| [ControlMessage::ScmRights(fds)]);
    let rights: &[_] = rights.as_ref().map_or(&[], |rights| rights);
    let bytes = [IoSlice::new(bytes)];
    loop {
        match sendmsg::<()>(socket, &bytes, rights, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Takes the next message into `buffer`; where it does not `wait`, only if it is there.
///
/// # Errors
///
/// `WouldBlock` where there is none, `InvalidData` for one that is longer than `buffer`, and what
/// recvmsg(2) says: `ECONNRESET` where the other end went with messages unread.
pub(crate) fn receive_parcel(
    socket: &impl AsFd,
    buffer: &mut [u8],
    wait: bool,
) -> io::Result<Parcel> {
    let socket = socket.as_fd().as_raw_fd();
    let mut space = Space { bytes: [0; SPACE], alignment: [] };
    let mut flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    flags |= CLOSED_AT_EXEC;
    loop {
        let mut bytes = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<()>(socket, &mut bytes, Some(&mut space.bytes), flags) {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let lost = message.flags.contains(MsgFlags::MSG_CTRUNC);
        // Said only of one whose descriptor is lost.
        let descriptor = message.cmsgs().ok().and_then(|mut rights| rights.find_map(owned));
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        return Ok(Parcel { length: message.bytes, descriptor, lost });
    }
}

fn owned(rights: ControlMessageOwned) -> Option<OwnedFd> {
    let ControlMessageOwned::ScmRights(descriptors) = rights else { return None };
    // The alignment leaves room for two. The other end sends no more than one, unless it is a
    // stranger; then what is too much is closed.
    // SAFETY: recvmsg(2) has just made these descriptors for us, and nobody else knows of them.
    let owned = descriptors.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    // All of them, before the first is returned.
    owned.collect::<Vec<_>>().into_iter().next()
}

/// Room for the control message of one descriptor, aligned as it has to be: nix makes a reference to
/// the header that is in it.
#[repr(C)]
struct Space {
    bytes: [u8; SPACE],
    alignment: [libc::cmsghdr; 0],
}

// SAFETY: CMSG_SPACE only computes.
const SPACE: usize = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as libc::c_uint) } as usize;

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOSED_AT_EXEC: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOSED_AT_EXEC: MsgFlags = MsgFlags::empty();
