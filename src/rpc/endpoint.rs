//! Where a program is to be found.

use std::io;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::transport::Beside;
use crate::transport::{LocalAddr, Tcp, Udp};

/// What calls come over, by its number in the header of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Connections.
    Tcp = 6,
    /// Packets.
    Udp = 17,
}

/// A port of this machine that calls come in at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// By which protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// A transport that can be registered: one that has ports.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no ports that a port mapper could tell of",
    label = "not to be found by its program's number",
    note = "`Tcp` and `Udp` have one, two of them `Beside` each other have two; a transport that \
            wraps another passes it on"
)]
pub trait Endpoints {
    /// The ports, each with its protocol.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    fn endpoints(&self) -> io::Result<Vec<Endpoint>>;
}

impl Endpoints for Tcp {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        Ok(vec![Endpoint { protocol: Protocol::Tcp, port: self.local_addr()?.port() }])
    }
}

impl Endpoints for Udp {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        Ok(vec![Endpoint { protocol: Protocol::Udp, port: self.local_addr()?.port() }])
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl<A: Endpoints, B: Endpoints> Endpoints for Beside<A, B> {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        Ok([self.first().endpoints()?, self.second().endpoints()?].concat())
    }
}
