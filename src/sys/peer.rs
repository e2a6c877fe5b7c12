//! Who is at the other end of a connection that somebody else has.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

use nix::sys::socket::{SockaddrStorage, getpeername};

/// The address of the peer, in words: of one without a name, over a Unix socket, its user and
/// process. `None` where there is none, or none any more.
///
/// The caller sees to it that `connection` is the open descriptor that is meant.
pub(crate) fn peer_name(connection: RawFd) -> Option<String> {
    let name: SockaddrStorage = getpeername(connection).ok()?;
    if let Some(v4) = name.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).to_string());
    }
    if let Some(v6) = name.as_sockaddr_in6() {
        let mut address = SocketAddr::from(SocketAddrV6::from(*v6));
        // An IPv4 peer, through a dual-stack socket.
        address.set_ip(address.ip().to_canonical());
        return Some(address.to_string());
    }
    let path = name.as_unix_addr().and_then(|unix| unix.path());
    path.map(|path| path.display().to_string()).or_else(|| credentials(connection))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn credentials(connection: RawFd) -> Option<String> {
    use std::os::fd::BorrowedFd;

    use nix::sys::socket::{getsockopt, sockopt};

    // SAFETY: the caller's descriptor is open, and is borrowed for this call alone.
    let connection = unsafe { BorrowedFd::borrow_raw(connection) };
    let peer = getsockopt(&connection, sockopt::PeerCredentials).ok()?;
    Some(format!("user {}, process {}", peer.uid(), peer.pid()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn credentials(_connection: RawFd) -> Option<String> {
    None
}
