//! Replies to datagrams.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;

use nix::libc;
use socket2::{MsgHdr, SockAddr, SockRef};

use super::control::{Local, Room};

/// Sends one datagram, from `local` where that is not left to the system: one `sendto(2)`, or
/// `sendmsg(2)`, and again where a signal interrupts it.
///
/// # Errors
///
/// What they say. The datagram has not been sent then.
#[inline]
pub(crate) fn send(
    socket: &impl AsFd,
    bytes: &[u8],
    to: &SockAddr,
    local: Option<Local>,
    flags: libc::c_int,
) -> io::Result<()> {
    let socket = SockRef::from(socket);
    loop {
        let sent = match local {
            None => socket.send_to_with_flags(bytes, to, flags),
            Some(local) => {
                let (mut room, part) = (Room::new(), [IoSlice::new(bytes)]);
                let control = room.leave_from(local);
                let message = MsgHdr::new().with_addr(to).with_buffers(&part);
                socket.sendmsg(&message.with_control(control), flags)
            }
        };
        match sent {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            sent => return sent.map(drop),
        }
    }
}
