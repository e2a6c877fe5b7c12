//! Who is at the other end of a Unix socket.

/// The process at the other end of a Unix socket, as the kernel vouches for it: of a connection
/// [`peer_credentials`](crate::UnixStreamRequest::peer_credentials), of a packet
/// [`credentials`](crate::UnixDatagramRequest::credentials).
///
/// **Decide by `uid` and `gid` alone.** A process may have handed its socket on, or have ended, and
/// its number may be another's by now: `pid` is for logs. An id of 65534
/// (`/proc/sys/kernel/overflowuid`) stands for one that has no name in this process's user
/// namespace; it is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process; `None` where it can't be seen from this process's namespace.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: u32,
    /// Its group; supplementary ones are not told.
    pub gid: u32,
}

impl Credentials {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn new(pid: i32, uid: u32, gid: u32) -> Self {
        Self { pid: u32::try_from(pid).ok().filter(|pid| *pid != 0), uid, gid }
    }
}
