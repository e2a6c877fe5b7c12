//! A transport whose ports the port mapper tells of.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::{fmt, process};

use super::endpoint::{Endpoint, Endpoints};
use super::rpcbind::{Mapping, Rpcbind};
use crate::transport::forward::{forward_address, forward_portable, forward_transport};
use crate::transport::{Portable, Transport};

/// A transport that clients find by the number of a program: it is registered with the port mapper of
/// this machine, rpcbind(8), as long as it is open.
///
/// Each of the transport's [`Endpoints`] is registered, over IPv4 and IPv6, in version 4 of rpcbind's
/// protocol (RFC 1833); clients that know the port mapper's version 2 alone find those over IPv4 there.
/// The registration goes when the server is closed or dropped, by the process that made it, and before
/// the transport goes; and only what is still as this one has made it. What a process that was killed
/// has left there is replaced by the next one over the same protocol.
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
    /// Registers the addresses of `inner` for these versions of `program`, with the port mapper that
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
        let at_all = |version| endpoints.iter().map(move |at| Mapping::new(program, version, *at));
        let mappings = versions.flat_map(at_all).collect();
        let mut registration = Registration { rpcbind, program, mappings, owner: process::id() };
        if let Err(error) = registration.set() {
            // There is nothing to undo.
            registration.mappings.clear();
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
    mappings: Vec<Mapping>,
    /// The process that undoes it.
    owner: u32,
}

impl Registration {
    fn set(&self) -> io::Result<()> {
        let mut rpcbind = Rpcbind::connect(self.rpcbind)?;
        let set = self.mappings.iter().try_for_each(|mapping| set_one(mapping, &mut rpcbind));
        if set.is_err() {
            // Not the half of it; where that fails, there is nobody to talk to.
            let _ = unset(&self.mappings, &mut rpcbind);
        }
        set
    }

    fn undo(&mut self) -> io::Result<()> {
        let mappings = std::mem::take(&mut self.mappings);
        if mappings.is_empty() || self.owner != process::id() {
            return Ok(());
        }
        let undone = Rpcbind::connect(self.rpcbind).and_then(|mut to| unset(&mappings, &mut to));
        undone.map_err(|error| self.named(&error))
    }

    fn named(&self, error: &io::Error) -> io::Error {
        let Self { rpcbind, program, .. } = self;
        let what = format!("program {program} at the port mapper of {rpcbind}: {error}");
        io::Error::new(error.kind(), what)
    }
}

fn set_one(mapping: &Mapping, rpcbind: &mut Rpcbind) -> io::Result<()> {
    // What another process has left there would be in the way: rpcgen's servers do so too.
    rpcbind.unset(mapping)?;
    if rpcbind.set(mapping)? {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::PermissionDenied, "it does not want to"))
}

/// Undoes what is still there: another server may have taken the place of this one.
fn unset(mappings: &[Mapping], rpcbind: &mut Rpcbind) -> io::Result<()> {
    let there = rpcbind.dump()?.0;
    let mut ours = mappings.iter().filter(|mapping| there.contains(mapping));
    ours.try_for_each(|mapping| rpcbind.unset(mapping).map(drop))
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
