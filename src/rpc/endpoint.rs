//! Where a program is to be found.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use socket2::SockRef;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::transport::Beside;
use crate::transport::{LocalAddr, Tcp, Udp};

/// What calls come over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Packets.
    Udp,
}

/// An address of this machine that calls come in at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// By which protocol.
    pub protocol: Protocol,
    /// Where, or at which port of all addresses of its family.
    pub address: SocketAddr,
}

impl Endpoint {
    /// Its kind, as rpcbind(8) calls it: `tcp`, `udp`, and `tcp6`, `udp6` over IPv6 (RFC 5665, section
    /// 5).
    #[must_use]
    pub fn netid(&self) -> &'static str {
        match (self.protocol, self.address.is_ipv4()) {
            (Protocol::Tcp, true) => "tcp",
            (Protocol::Tcp, false) => "tcp6",
            (Protocol::Udp, true) => "udp",
            (Protocol::Udp, false) => "udp6",
        }
    }

    /// The address as rpcbind(8) writes it, with the port's two bytes as two more numbers:
    /// `127.0.0.1.0.111`, `::1.0.111` (RFC 5665, section 5.2.3).
    #[must_use]
    pub fn universal_address(&self) -> String {
        let [high, low] = self.address.port().to_be_bytes();
        format!("{}.{high}.{low}", self.address.ip())
    }
}

/// A transport that can be registered: one that has ports.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no ports that a port mapper could tell of",
    label = "not to be found by its program's number",
    note = "`Tcp` and `Udp` have one, two of them `Beside` each other have two; a transport that \
            wraps another passes it on"
)]
pub trait Endpoints {
    /// The addresses, each with its protocol; two of a socket that serves IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// What getsockname(2) and getsockopt(2) say.
    fn endpoints(&self) -> io::Result<Vec<Endpoint>>;
}

fn of_socket(
    protocol: Protocol,
    socket: &impl AsFd,
    address: SocketAddr,
) -> io::Result<Vec<Endpoint>> {
    // What is bound to an address of IPv4 as IPv6 writes it is found by IPv4.
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let mut endpoints = vec![Endpoint { protocol, address }];
    let any = address.is_ipv6() && address.ip().is_unspecified();
    if any && !SockRef::from(socket).only_v6()? {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        endpoints.push(Endpoint { protocol, address });
    }
    Ok(endpoints)
}

impl Endpoints for Tcp {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        of_socket(Protocol::Tcp, self, self.local_addr()?)
    }
}

impl Endpoints for Udp {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        of_socket(Protocol::Udp, self, self.local_addr()?)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl<A: Endpoints, B: Endpoints> Endpoints for Beside<A, B> {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        Ok([self.first().endpoints()?, self.second().endpoints()?].concat())
    }
}
