//! Several transports of one kind as one, whose number may grow.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};
use std::{array, fmt};

use super::gate::Gate;
use super::{ForkRole, LocalAddr, Portable, Resumable, Transport};
use crate::{ForkedChild, Waiter};

/// So many there may be.
const MOST: usize = 64;

/// Several transports of one kind in one server: a list of addresses. They have their requests
/// admitted, counted, drained and reported together, and where several have one, they take turns.
///
/// While the server runs, its [`Listeners`] can be added to, suspended, and resumed.
///
/// For two kinds beside each other there is [`Beside`](crate::Beside), and what is said there of
/// system calls and of [`PreForking`](crate::PreForking) holds here too. Linux alone has it.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use socketserver::{Many, Server, Tcp, Threading};
///
/// let at = |address| Tcp::options().bind(address);
/// let many = Many::new([at("127.0.0.1:0")?, at("127.0.0.1:0")?])?;
/// let listeners = many.listeners();
/// let server = Server::new_fn(many, Threading::new(), |conn| writeln!(conn, "hello"))?;
/// let running = server.spawn()?;
///
/// let third = listeners.add(at("127.0.0.1:0")?)?;
/// assert_eq!(running.local_addr()?.len(), 3);
/// // Whoever connects to it waits.
/// listeners.suspend(third)?;
/// listeners.resume(third)?;
/// running.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Many<T> {
    members: Arc<Members<T>>,
}

struct Members<T> {
    /// Filled in their order and never emptied: whoever looks into them waits for nobody, which a
    /// forked child must not.
    places: Box<[OnceLock<T>; MOST]>,
    gate: Gate,
}

impl<T: Transport + AsFd> Many<T> {
    /// Puts them together; there may be none yet, and 64 at most.
    ///
    /// # Errors
    ///
    /// As [`Beside::new`](crate::Beside::new), and as [`Listeners::add`].
    pub fn new(transports: impl IntoIterator<Item = T>) -> io::Result<Self> {
        let places = Box::new(array::from_fn(|_| OnceLock::new()));
        let members = Members { places, gate: Gate::new()? };
        transports.into_iter().try_for_each(|one| members.add(one).map(drop))?;
        Ok(Self { members: Arc::new(members) })
    }

    /// The handle to change them with, while the server runs too.
    #[must_use]
    pub fn listeners(&self) -> Listeners<T> {
        Listeners(Arc::downgrade(&self.members))
    }
}

impl<T> Many<T> {
    /// All that there are, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.members.iter()
    }
}

impl<T> Members<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().map_while(OnceLock::get)
    }

    fn get(&self, number: usize) -> io::Result<&T> {
        self.places.get(number).and_then(OnceLock::get).ok_or_else(|| {
            io::Error::new(ErrorKind::NotFound, format!("there is no listener {number}"))
        })
    }
}

impl<T: Transport + AsFd> Members<T> {
    fn add(&self, mut transport: T) -> io::Result<usize> {
        for (number, place) in self.places.iter().enumerate() {
            match place.set(transport) {
                // It is found by whoever hears of it.
                Ok(()) => return self.gate.add(self.get(number)?, number as u64).map(|()| number),
                Err(back) => transport = back,
            }
        }
        Err(io::Error::new(
            ErrorKind::QuotaExceeded,
            format!("there are {MOST} listeners, and no more can be added"),
        ))
    }
}

/// The handle to change the transports of a [`Many`] with: [`Many::listeners`]. It does not keep
/// them open.
///
/// In a server of several processes ([`PreForking`](crate::PreForking)) what is suspended in one of
/// them, or resumed, is so in all. One is to be added by the process that supervises them, and is had
/// by those that it forks afterwards: [`Workers::restart`](crate::Workers::restart). Under
/// [`ForkServer`](crate::ForkServer), connections have the options of the first listener, and packets
/// can be taken from those alone that were there when the server was made.
pub struct Listeners<T>(Weak<Members<T>>);

impl<T: Transport + AsFd> Listeners<T> {
    /// Has the server take requests from this one too, from now on. Returns its number, by which it
    /// is known here: they count from 0, those that [`Many::new`] was given first.
    ///
    /// # Errors
    ///
    /// `QuotaExceeded` where there are 64, `NotConnected` where the server is closed; and as
    /// [`Many::new`].
    pub fn add(&self, transport: T) -> io::Result<usize> {
        self.members()?.add(transport)
    }

    /// Takes no further request from this one. It keeps its address, and goes on listening: whoever
    /// connects waits until it is resumed, in the queue that
    /// [`request_queue_size`](crate::Options::request_queue_size) bounds. What has been taken is not
    /// touched; a request that is being taken at this moment may still be.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none of this number, `NotConnected` where the server is closed.
    pub fn suspend(&self, number: usize) -> io::Result<()> {
        let members = self.members()?;
        members.gate.suspend(members.get(number)?);
        Ok(())
    }

    /// Takes requests from it again.
    ///
    /// # Errors
    ///
    /// As [`suspend`](Self::suspend), and where the system has no memory.
    pub fn resume(&self, number: usize) -> io::Result<()> {
        let members = self.members()?;
        members.gate.resume(members.get(number)?, number as u64)
    }

    fn members(&self) -> io::Result<Arc<Members<T>>> {
        self.0.upgrade().ok_or_else(|| {
            io::Error::new(ErrorKind::NotConnected, "the server of these listeners is closed")
        })
    }
}

impl<T: Transport + AsFd> Transport for Many<T> {
    type Request = T::Request;

    #[inline]
    fn get_request(&self) -> io::Result<Option<T::Request>> {
        let members = &*self.members;
        members.gate.ask(|number| {
            match members.places.get(number as usize).and_then(OnceLock::get) {
                Some(member) => (member.as_fd(), member.get_request()),
                // Another process has added it.
                None => (members.gate.as_fd(), Err(ErrorKind::WouldBlock.into())),
            }
        })
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        if waiter.notes() {
            self.iter().try_for_each(|member| member.wait(waiter))?;
        }
        self.members.gate.wait(waiter)
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn server_close(self) -> io::Result<()> {
        // Whoever else has them is about to change them, and closes them then.
        let Some(Members { places, .. }) = Arc::into_inner(self.members) else { return Ok(()) };
        let members = places.into_iter().filter_map(OnceLock::into_inner);
        members.map(T::server_close).fold(Ok(()), io::Result::and)
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.iter().for_each(|member| member.after_fork(child));
    }

    fn check_fork(&self, role: ForkRole) -> io::Result<()> {
        self.iter().try_for_each(|member| member.check_fork(role))
    }
}

/// The number of the listener whose request it is, and what that one says.
impl<T: Portable + AsFd> Portable for Many<T> {
    fn pack<'r>(
        &self,
        request: &'r T::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.put_member(request, bytes)?.pack(request, bytes)
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<T::Request> {
        let (member, bytes) = self.take_member(bytes)?;
        member.unpack(bytes, descriptor)
    }

    fn is_from(&self, request: &T::Request) -> bool {
        self.iter().any(|member| member.is_from(request))
    }
}

/// The same number before it.
impl<T: Resumable + AsFd> Resumable for Many<T> {
    fn suspend<'r>(
        &self,
        request: &'r T::Request,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.put_member(request, bytes)?.suspend(request, bytes)
    }

    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<T::Request> {
        let (member, bytes) = self.take_member(bytes)?;
        member.resume(bytes, descriptor)
    }
}

impl<T: Portable + AsFd> Many<T> {
    /// Puts the number of the listener whose request it is.
    fn put_member(&self, request: &T::Request, bytes: &mut Vec<u8>) -> io::Result<&T> {
        let mut members = (0..).zip(self.iter());
        let (number, member) =
            members.find(|(_, member)| member.is_from(request)).ok_or(ErrorKind::NotFound)?;
        bytes.push(number);
        Ok(member)
    }

    /// The listener whose number comes first, and the rest.
    fn take_member<'b>(&self, bytes: &'b [u8]) -> io::Result<(&T, &'b [u8])> {
        let (number, bytes) = bytes.split_first().ok_or(ErrorKind::InvalidData)?;
        Ok((self.members.get(usize::from(*number))?, bytes))
    }
}

impl<T: LocalAddr> LocalAddr for Many<T> {
    /// Those of all, in the order in which they were added.
    type Addr = Vec<T::Addr>;

    fn local_addr(&self) -> io::Result<Vec<T::Addr>> {
        self.iter().map(T::local_addr).collect()
    }
}

/// Readable while one has a request.
impl<T> AsFd for Many<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.members.gate.as_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Many<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> Clone for Listeners<T> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<T> fmt::Debug for Listeners<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.upgrade().map(|members| members.iter().count());
        f.debug_tuple("Listeners").field(&count).finish()
    }
}
