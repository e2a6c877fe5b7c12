//! Sockets over IPv4, IPv6, or both.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{IpTransport, Options};

/// Which IP addresses a socket serves; by default, those of the family of the address it is bound
/// to.
///
/// `V6ONLY` is always set, one way or the other, so the system's default does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressFamily {
    /// IPv4 alone (`AF_INET`).
    V4,
    /// IPv6 alone (`AF_INET6` with `IPV6_V6ONLY`).
    V6,
    /// Both, through one IPv6 socket (`AF_INET6` without `IPV6_V6ONLY`), bound to an IPv6 address:
    /// usually `[::]`. IPv4 peers are shown with their IPv4 addresses, not with mapped ones.
    Dual,
}

/// What `Tcp` and `Udp` can be bound to: whatever has [`ToSocketAddrs`].
///
/// Of several addresses (a host name's) the first that can be bound is taken. Names are looked up
/// here and nowhere else; a literal address asks no resolver.
#[diagnostic::on_unimplemented(
    message = "`Tcp` and `Udp` can't be bound to an address of the type `{Self}`",
    label = "not an IP address",
    note = "they take what `std::net` takes: \"127.0.0.1:0\", (\"::1\", 8000), a `SocketAddr`; for a \
            path use `UnixStream` or `UnixDatagram`"
)]
pub trait ToIpAddrs: ToSocketAddrs {}

#[diagnostic::do_not_recommend]
impl<A: ToSocketAddrs> ToIpAddrs for A {}

/// Binds a socket to the first of `address`'s addresses that allows it.
pub(super) fn bind<T: IpTransport>(
    kind: Type,
    address: impl ToIpAddrs,
    options: &Options<T>,
    reuse_by_default: impl Fn(&SocketAddr) -> bool,
) -> io::Result<Socket> {
    let mut last = None;
    for address in address.to_socket_addrs().map_err(|error| no_address(&error))? {
        let reuse = options.reuse_address.unwrap_or_else(|| reuse_by_default(&address));
        match bind_one(kind, address, options, reuse) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(named(address, &error)),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(ErrorKind::InvalidInput, "the name to bind to has no address")
    }))
}

fn bind_one<T: IpTransport>(
    kind: Type,
    address: SocketAddr,
    options: &Options<T>,
    reuse_address: bool,
) -> io::Result<Socket> {
    let only_v6 = family_of(&address, options.family)? == AddressFamily::V6;
    Before { only_v6, reuse_address, reuse_port: options.reuse_port }.bind(kind, address)
}

/// Another socket at the address of `first`, where that allows it. It does not listen.
pub(super) fn another(first: &impl AsFd) -> io::Result<Socket> {
    let first = SockRef::from(first);
    if !first.reuse_port()? {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "this socket has its address for itself; shards are of one that has been bound with \
             allow_reuse_port(true)",
        ));
    }
    let address = first.local_addr()?.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
    let before = Before {
        only_v6: address.is_ipv6() && first.only_v6()?,
        reuse_address: first.reuse_address()?,
        reuse_port: true,
    };
    before.bind(first.r#type()?, address).map_err(|error| named(address, &error))
}

/// What has to be said of a socket before it is bound.
struct Before {
    only_v6: bool,
    reuse_address: bool,
    reuse_port: bool,
}

impl Before {
    fn bind(self, kind: Type, address: SocketAddr) -> io::Result<Socket> {
        let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if address.is_ipv6() {
            socket.set_only_v6(self.only_v6)?;
        }
        if self.reuse_address {
            socket.set_reuse_address(true)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    }
}

fn family_of(address: &SocketAddr, wanted: Option<AddressFamily>) -> io::Result<AddressFamily> {
    let own = if address.is_ipv4() { AddressFamily::V4 } else { AddressFamily::V6 };
    let refused = |what| Err(io::Error::new(ErrorKind::InvalidInput, what));
    match (own, wanted) {
        (own, None) => Ok(own),
        (AddressFamily::V6, Some(AddressFamily::V4)) => {
            refused("this is an IPv6 address, and the address_family is V4; choose V6 or Dual")
        }
        (AddressFamily::V4, Some(AddressFamily::V6)) => {
            refused("this is an IPv4 address, and the address_family is V6; choose V4")
        }
        (AddressFamily::V4, Some(AddressFamily::Dual)) => refused(
            "this is an IPv4 address, and the address_family is Dual, which is served through an \
             IPv6 one; bind to [::]",
        ),
        (_, Some(wanted)) => Ok(wanted),
    }
}

/// The same error with what would be right: `std` says "invalid socket address", and no more.
fn no_address(error: &io::Error) -> io::Error {
    let right = "an address is a host and a port, as in 127.0.0.1:8000 or [::1]:8000";
    io::Error::new(error.kind(), format!("there is no such address to bind to: {error}; {right}"))
}

/// The same error with the address in its text: the errno alone does not say which was wrong.
fn named(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("can't bind to {address}: {error}"))
}

/// An IPv4 address that a dual-stack socket shows as `::ffff:a.b.c.d`, as itself.
#[inline]
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) if address.is_ipv6() => SocketAddr::from((ip, address.port())),
        _ => address,
    }
}

/// Checks a socket that the user brought: its kind, and that it is a bound internet one. It is not
/// passed on to programs that are executed, as none of ours is.
pub(super) fn check(socket: &Socket, kind: Type) -> io::Result<()> {
    super::unix::check_kind(socket, kind)?;
    match socket.local_addr()?.as_socket() {
        Some(address) if address.port() == 0 => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "this socket is not bound: call bind(2) on it first",
        )),
        Some(_) => socket.set_cloexec(true),
        None => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "this socket is not an internet one: use UnixStream or UnixDatagram",
        )),
    }
}
