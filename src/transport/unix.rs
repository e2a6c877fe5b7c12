//! What the two Unix transports share: addresses, binding, and checks of sockets that the user
//! brings.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::socket_file::{self, SocketFile};
use super::{Options, claim};
use crate::sys;

/// The longest path a Unix socket can have, in bytes: `sun_path` less its final NUL (unix(7)).
const LONGEST_PATH: usize = size_of::<nix::libc::sockaddr_un>()
    - std::mem::offset_of!(nix::libc::sockaddr_un, sun_path)
    - 1;

/// What a Unix socket can be bound to: a path (as `&str`, `String`, [`Path`], [`PathBuf`],
/// [`OsStr`]), or a [`SocketAddr`] of [`std::os::unix::net`], which may be an abstract name
/// (`std::os::linux::net::SocketAddrExt::from_abstract_name`). A `&str` that begins with `\0` is
/// an abstract name too, as in Python.
#[diagnostic::on_unimplemented(
    message = "`UnixStream` and `UnixDatagram` can't be bound to an address of the type `{Self}`",
    label = "not the address of a Unix socket",
    note = "they take a path, or a `SocketAddr` of `std::os::unix::net` for an abstract name; for \
            an IP address use `Tcp` or `Udp`"
)]
pub trait ToUnixAddr {
    /// The address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is empty, too long, or has a NUL byte in it.
    fn to_unix_addr(&self) -> io::Result<SocketAddr>;
}

impl ToUnixAddr for SocketAddr {
    fn to_unix_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.clone())
    }
}

impl ToUnixAddr for Path {
    fn to_unix_addr(&self) -> io::Result<SocketAddr> {
        let bytes = self.as_os_str().as_bytes();
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = bytes.strip_prefix(b"\0") {
            use std::os::linux::net::SocketAddrExt;
            return SocketAddr::from_abstract_name(name);
        }
        let invalid = |what: String| Err(io::Error::new(ErrorKind::InvalidInput, what));
        if bytes.is_empty() {
            return invalid("the path to bind a Unix socket to is empty".into());
        }
        if bytes.len() > LONGEST_PATH {
            return invalid(format!(
                "the path {} has {} bytes, and a Unix socket's can have {LONGEST_PATH} at most; \
                 bind to a shorter one",
                self.display(),
                bytes.len(),
            ));
        }
        SocketAddr::from_pathname(self)
    }
}

macro_rules! path_like {
    ($($type:ty),*) => {$(
        impl ToUnixAddr for $type {
            fn to_unix_addr(&self) -> io::Result<SocketAddr> {
                Path::new(self).to_unix_addr()
            }
        }
    )*};
}

path_like!(str, String, OsStr, OsString, PathBuf);

impl<A: ToUnixAddr + ?Sized> ToUnixAddr for &A {
    fn to_unix_addr(&self) -> io::Result<SocketAddr> {
        (**self).to_unix_addr()
    }
}

/// Binds a socket of `kind`, and answers for the file that this made.
pub(super) fn bind<T>(
    kind: Type,
    address: &SocketAddr,
    options: &Options<T>,
) -> io::Result<(Socket, Option<SocketFile>)> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    // Before the first packet can come.
    sys::ask(&socket, options.packet.wanted)?;
    let file = match address.as_pathname() {
        Some(path) => bind_path(&socket, kind, path, options).map(Some),
        None if options.file_mode.is_some() => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "a name that is not a path has no mode, and is open to all: look at peer_credentials",
        )),
        None => to_sockaddr(address).and_then(|name| socket.bind(&name)).map(|()| None),
    };
    Ok((socket, file.map_err(|error| named(address, &error))?))
}

fn bind_path<T>(
    socket: &Socket,
    kind: Type,
    path: &Path,
    options: &Options<T>,
) -> io::Result<SocketFile> {
    if let Some(mode) = options.file_mode {
        socket_file::narrow(socket, kind, mode)?;
    }
    if options.claims {
        claim::bind(socket, path)?;
    } else {
        socket.bind(&SockAddr::unix(path)?).map_err(|error| hinted(&error))?;
    }
    let file = SocketFile::new(path)?;
    if let Some(mode) = options.file_mode {
        socket_file::widen(path, mode)?;
    }
    Ok(file)
}

pub(super) fn to_sockaddr(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::linux::net::SocketAddrExt;
        if let Some(name) = address.as_abstract_name() {
            return SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()));
        }
    }
    let _ = address;
    Err(io::Error::new(ErrorKind::InvalidInput, "a server can't be bound to an unnamed address"))
}

/// An address, where there is one that `std` can hold: a path of the full 108 bytes, which a client
/// may bind to, it can't.
pub(super) fn to_std(address: &SockAddr) -> Option<SocketAddr> {
    if let Some(path) = address.as_pathname() {
        return SocketAddr::from_pathname(path).ok();
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_namespace() {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name).ok();
    }
    None
}

pub(super) fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    to_std(&socket.local_addr()?).ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}

/// The same error with the address in its text.
fn named(address: &SocketAddr, error: &io::Error) -> io::Error {
    let text = match address.as_pathname() {
        Some(path) => format!("can't bind to {}: {error}", path.display()),
        None => format!("can't bind to {address:?}: {error}"),
    };
    io::Error::new(error.kind(), text)
}

/// The same error with a hint where a file is in the way.
fn hinted(error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        ErrorKind::AddrInUse => {
            "; a socket file that no server uses any more has to be removed first, which \
             claim_stale(true) does"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("{error}{hint}"))
}

/// Checks that a socket that the user brought is of this kind.
pub(super) fn check_kind(socket: &Socket, kind: Type) -> io::Result<()> {
    let (wanted, other) = match kind {
        Type::STREAM => ("stream", "a transport of packets"),
        _ => ("datagram", "a transport of connections"),
    };
    if socket.r#type()? == kind {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("this is not a {wanted} socket: it goes with {other}"),
    ))
}

/// Checks a Unix socket that the user brought.
pub(super) fn check(socket: &Socket, kind: Type) -> io::Result<()> {
    check_kind(socket, kind)?;
    let address = socket.local_addr()?;
    let wrong = |what| Err(io::Error::new(ErrorKind::InvalidInput, what));
    if !address.is_unix() {
        return wrong("this socket is not a Unix one: use Tcp or Udp");
    }
    if address.is_unnamed() {
        return wrong("this socket is not bound: call bind(2) on it first");
    }
    socket.set_cloexec(true)
}

/// Checks that a stream socket that the user brought listens.
pub(super) fn check_listening(socket: &Socket) -> io::Result<()> {
    // SO_ACCEPTCONN; not all systems have it, and there accept(2) has to say so.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if !socket.is_listener()? {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "this socket does not listen: call listen(2) on it first",
        ));
    }
    let _ = socket;
    Ok(())
}
