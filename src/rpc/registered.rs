//! A transport whose ports the port mapper tells of.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::{fmt, process};

use super::endpoint::{Endpoint, Endpoints};
use super::rpcbind::Rpcbind;
use crate::transport::forward::{forward_address, forward_portable, forward_transport};
use crate::transport::{Portable, Transport};

/// A transport that clients find by the number of a program: it is registered with the port mapper of
/// this machine, rpcbind(8), as long as it is open.
///
/// It is version 2 of the port mapper's protocol, which knows ports of IPv4. The registration goes
/// when the server is closed or dropped, by the process that made it, and before the transport goes;
/// and only where it is still what this one has made. What a process that was killed has left there
/// is replaced by the next one.
///
/// # Examples
///
/// ```no_run
/// use socketserver::rpc::{Program, RPCBIND, Registered, Rpc};
/// use socketserver::{Beside, Server, Tcp, Threading, Udp};
///
/// # fn serve(program: impl Program + Send + Sync + 'static) -> std::io::Result<()> {
/// let tcp = Tcp::options().bind("0.0.0.0:0")?;
/// let udp = Udp::options().bind("0.0.0.0:0")?;
/// let both = Registered::new(Beside::new(tcp, udp)?, RPCBIND, 0x2000_0539, 1..=1)?;
/// let mut server = Server::new(both, Threading::new(), Rpc::new(program))?;
/// server.serve_forever()?;
/// server.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Registered<T> {
    // It goes first, also where the value is dropped.
    registration: Registration,
    inner: T,
}

impl<T: Transport> Registered<T> {
    /// Registers the ports of `inner` for these versions of `program`, with the port mapper that
    /// listens at `rpcbind` over TCP.
    ///
    /// # Errors
    ///
    /// Where there is no port mapper, or it does not want to: the error says which of them.
    pub fn new(
        inner: T,
        rpcbind: SocketAddr,
        program: u32,
        versions: RangeInclusive<u32>,
    ) -> io::Result<Self>
    where
        T: Endpoints,
    {
        let endpoints = inner.endpoints()?;
        let owner = process::id();
        let mut registration = Registration { rpcbind, program, versions, endpoints, owner };
        if let Err(error) = registration.set() {
            // There is nothing to undo.
            registration.endpoints.clear();
            return Err(registration.named(&error));
        }
        Ok(Self { registration, inner })
    }
}

impl<T> Registered<T> {
    /// The transport inside.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }
}

/// What has been registered; it is undone once.
struct Registration {
    rpcbind: SocketAddr,
    program: u32,
    versions: RangeInclusive<u32>,
    endpoints: Vec<Endpoint>,
    /// The process that undoes it.
    owner: u32,
}

impl Registration {
    fn set(&self) -> io::Result<()> {
        let mut rpcbind = Rpcbind::connect(self.rpcbind)?;
        let set = self.versions.clone().try_for_each(|version| self.set_one(version, &mut rpcbind));
        if set.is_err() {
            // Not the half of it; where that fails, there is nobody to talk to.
            let unset = |version| rpcbind.unset(self.program, version).map(drop);
            let _ = self.versions.clone().try_for_each(unset);
        }
        set
    }

    fn set_one(&self, version: u32, rpcbind: &mut Rpcbind) -> io::Result<()> {
        // What another process has left there would be in the way: rpcgen's servers do so too.
        rpcbind.unset(self.program, version)?;
        for endpoint in &self.endpoints {
            if !rpcbind.set(self.program, version, *endpoint)? {
                return Err(io::Error::new(ErrorKind::PermissionDenied, "it does not want to"));
            }
        }
        Ok(())
    }

    fn undo(&mut self) -> io::Result<()> {
        let endpoints = std::mem::take(&mut self.endpoints);
        let Some(first) = endpoints.first().filter(|_| self.owner == process::id()) else {
            return Ok(());
        };
        let undone = self.unset(*first);
        undone.map_err(|error| self.named(&error))
    }

    fn unset(&self, endpoint: Endpoint) -> io::Result<()> {
        let mut rpcbind = Rpcbind::connect(self.rpcbind)?;
        for version in self.versions.clone() {
            // Another server may have taken the place of this one.
            if rpcbind.is_set(self.program, version, endpoint)? {
                rpcbind.unset(self.program, version)?;
            }
        }
        Ok(())
    }

    fn named(&self, error: &io::Error) -> io::Error {
        let Self { rpcbind, program, .. } = self;
        let what = format!("program {program} at the port mapper of {rpcbind}: {error}");
        io::Error::new(error.kind(), what)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            // There is nobody to return it to.
            crate::failure::complain(format_args!("still registered is {error}"));
        }
    }
}

impl<T: Transport> Transport for Registered<T> {
    type Request = T::Request;

    fn get_request(&self) -> io::Result<Option<T::Request>> {
        self.inner.get_request()
    }

    forward_transport!(but server_close);

    fn server_close(mut self) -> io::Result<()> {
        let undone = self.registration.undo();
        self.inner.server_close().and(undone)
    }
}

impl<T: Portable> Portable for Registered<T> {
    forward_portable!(requests as they are);
}

/// Those of the transport inside, which can so be registered for another program too.
impl<T: Endpoints> Endpoints for Registered<T> {
    fn endpoints(&self) -> io::Result<Vec<Endpoint>> {
        self.inner.endpoints()
    }
}

forward_address!(<T> Registered<T>);

impl<T: fmt::Debug> fmt::Debug for Registered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("program", &self.registration.program)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
