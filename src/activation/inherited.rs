//! Sockets that another process has bound.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use crate::transport::{Inheritable, SocketFile};

/// Sockets that this process has got from another one: from the one that started it
/// ([`from_environment`](Self::from_environment)), or from the one that it follows
/// ([`HandOver::take`](crate::HandOver::take)). Each is taken once; those that are left are closed
/// when this is dropped.
#[derive(Default)]
pub struct Inherited {
    sockets: VecDeque<Passed>,
}

/// One of them.
pub(super) struct Passed {
    pub(super) name: String,
    pub(super) socket: OwnedFd,
    pub(super) file: Option<SocketFile>,
}

impl Inherited {
    /// The names of those that have not been taken, in their order. Several may have one name.
    ///
    /// They are those of `FileDescriptorName=` in a unit of systemd, where it says `unknown` of one
    /// without a name; of those that were handed over, they are their addresses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|passed| &*passed.name)
    }

    /// How many have not been taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether all have been taken, or there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Takes the first of this name, and has `make` make a transport of it:
    /// [`Tcp::from_socket`](crate::Tcp::from_socket), or a closure that has options, or puts
    /// transports around it.
    ///
    /// # Errors
    ///
    /// `NotFound` where none has the name. What `make` says, which checks the kind of the socket; the
    /// error names it, and it is closed then.
    pub fn take<T: Inheritable>(
        &mut self,
        name: &str,
        make: impl FnOnce(OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        let place = self.sockets.iter().position(|passed| passed.name == name);
        let Some(passed) = place.and_then(|place| self.sockets.remove(place)) else {
            let names: Vec<&str> = self.names().collect();
            return Err(io::Error::new(
                ErrorKind::NotFound,
                format!("no socket {name:?} was passed in; there are {names:?}"),
            ));
        };
        passed.make(make)
    }

    /// Takes the next one, whatever its name is; `None` where none is left.
    ///
    /// # Errors
    ///
    /// What `make` says, as in [`take`](Self::take).
    pub fn take_next<T: Inheritable>(
        &mut self,
        make: impl FnOnce(OwnedFd) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.sockets.pop_front().map(|passed| passed.make(make)).transpose()
    }
}

impl Passed {
    fn make<T: Inheritable>(self, make: impl FnOnce(OwnedFd) -> io::Result<T>) -> io::Result<T> {
        let Self { name, socket, file } = self;
        let mut transport = make(socket).map_err(|error| {
            io::Error::new(error.kind(), format!("the socket {name:?} that was passed in: {error}"))
        })?;
        if let Some(file) = file {
            transport.adopt(file);
        }
        Ok(transport)
    }
}

impl FromIterator<Passed> for Inherited {
    fn from_iter<I: IntoIterator<Item = Passed>>(sockets: I) -> Self {
        Self { sockets: sockets.into_iter().collect() }
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
