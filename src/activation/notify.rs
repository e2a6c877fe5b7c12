//! Telling whoever supervises this process how it is.

use std::env;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the supervisor of this process that it is so: `READY=1` when it can serve, `STOPPING=1` when
/// it begins to end, `STATUS=` and a text, several of them with a line end between; all that
/// `sd_notify(3)` lists. Returns whether there is a supervisor that wants to hear it, which the
/// environment says (`NOTIFY_SOCKET`).
///
/// A process that has taken over from another (see [`HandOver`](crate::HandOver)) says
/// `MAINPID=` and its number too, or systemd takes the end of the other for its own. The unit needs
/// `NotifyAccess=all` for that.
///
/// # Errors
///
/// Where it can't be told: nobody receives there, or the address is of a kind that this crate does
/// not know (`vsock:`).
///
/// # Examples
///
/// ```
/// use socketserver::notify;
///
/// let heard = notify("READY=1\nSTATUS=serving")?;
/// # assert!(!heard, "nobody supervises the documentation's tests");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias("sd_notify", "NOTIFY_SOCKET", "READY=1"))]
pub fn notify(state: &str) -> io::Result<bool> {
    let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(false);
    };
    let told = to_address(name.as_bytes()).and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        // Whoever does not read it must not hold the process for ever.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    match told {
        Ok(_) => Ok(true),
        Err(error) => {
            let what = format!("NOTIFY_SOCKET is {name:?}, and can't be told: {error}");
            Err(io::Error::new(error.kind(), what))
        }
    }
}

/// A path, or an abstract name with `@` in place of its zero byte.
fn to_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    match name.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        Some((b'/', _)) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is neither a path nor an abstract name",
        )),
    }
}
