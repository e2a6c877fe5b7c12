//! Connections in memory.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use super::clock::Clock;
use super::link::first_of;
use super::network;
use super::queue::{Failures, Queue};
use super::stream::MemoryStream;
use crate::request::{StreamRequest, StreamSettings};
use crate::transport::{StreamTransport, sealed};
use crate::{Bind, ForkRole, Hangup, LocalAddr, Options, Transport, Waiter};

/// A connection of [`Memory`]: the same type as that of [`Tcp`](crate::Tcp), over another socket.
pub type MemoryRequest = StreamRequest<MemoryStream, SocketAddr>;

/// Connections in memory, for tests: no socket, no descriptor. See the
/// [module](crate::testing) for what it is good for.
///
/// Its addresses are those of this process alone, and names rather than places: nothing has to be
/// configured for one, and none stands for others. Whoever wants one that no other test has binds to
/// port 0. Clients connect with [`MemoryStream::connect`] and [`Link`](super::Link).
///
/// It is served under [`Sync`](crate::Sync), [`Threading`](crate::Threading) and
/// [`ThreadPool`](crate::ThreadPool). [`Selecting`](crate::Selecting) and
/// [`ForkServer`](crate::ForkServer) need descriptors, and do not compile;
/// [`Forking`](crate::Forking), [`FinishInChild`](crate::FinishInChild) of it and
/// [`PreForking`](crate::PreForking) are refused when the server is made, as a child has a copy of the
/// memory and not the memory.
///
/// The end of a connection is [`Hangup::Shutdown`] by default, as nothing is lost in memory that
/// would have to be drained first.
#[derive(Debug)]
pub struct Memory {
    door: Arc<Door>,
    address: SocketAddr,
    settings: StreamSettings,
}

/// Where clients knock.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) queue: Arc<Queue<MemoryStream>>,
    pub(super) clock: Clock,
}

/// What a test has asked of a transport in memory.
#[derive(Debug, Default)]
pub(crate) struct Script {
    time: Option<Clock>,
    pub(super) failures: Failures,
}

/// A transport in memory. Sealed: [`Memory`] and [`MemoryDatagrams`](super::MemoryDatagrams).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not in memory, and has no such option",
    label = "an option of `Memory` and `MemoryDatagrams` alone"
)]
pub trait InMemory: sealed::Sealed {}

impl InMemory for Memory {}
impl sealed::Sealed for Memory {}
impl StreamTransport for Memory {}

impl Memory {
    /// Options to bind with.
    pub fn options() -> Options<Self> {
        Options::new().hangup(Hangup::Shutdown)
    }
}

impl Options<Memory> {
    /// The clock that connections are held to, in place of one that nobody moves.
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.memory.time = Some(clock.clone());
        self
    }

    /// Has clients connect to this address.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where another transport in memory has it, and for options that are wrong.
    pub fn bind(self, address: impl ToSocketAddrs) -> io::Result<Memory> {
        self.check()?;
        let Script { time, failures } = self.memory;
        let queue = Arc::new(Queue::new(self.backlog as usize, failures));
        let door = Arc::new(Door { queue, clock: time.unwrap_or_default() });
        let address = network::STREAMS.enter(first_of(address)?, &door)?;
        Ok(Memory { door, address, settings: self.stream })
    }
}

/// Options of transports in memory.
impl<T: InMemory> Options<T> {
    /// Has the loop's `number`th look that would have found a request, counted from 1, fail with
    /// `error`: `io::Error::from_raw_os_error(libc::EMFILE)`, say. Looks that find nothing don't
    /// count. An error of the kind `ConnectionAborted` takes the request along, as accept(2) does; any
    /// other leaves it for the next look.
    ///
    /// What the loop does about it is what it does about any transport's error:
    /// [`Transport::get_request`]. Its pauses are of the system's time.
    pub fn fail_get_request(mut self, number: u64, error: io::Error) -> Self {
        self.memory.failures.insert(number, error);
        self
    }
}

impl Transport for Memory {
    type Request = MemoryRequest;

    fn get_request(&self) -> io::Result<Option<MemoryRequest>> {
        let stream = self.door.queue.take()?;
        let peer = stream.peer_addr()?;
        Ok(Some(StreamRequest::new(stream, peer, self.settings)))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.door.queue.wait(waiter);
        Ok(())
    }

    fn is_level_triggered(&self) -> bool {
        true
    }

    fn check_fork(&self, _role: ForkRole) -> io::Result<()> {
        Err(not_shared())
    }
}

pub(super) fn not_shared() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "what is in memory is of this process alone, and can't be served in a forked one: use Sync, \
         Threading or ThreadPool",
    )
}

/// Whoever waits to be taken is reset, as a listening socket does that is closed.
impl Drop for Memory {
    fn drop(&mut self) {
        network::STREAMS.leave(self.address);
        self.door.queue.close().iter().for_each(MemoryStream::reset);
    }
}

#[diagnostic::do_not_recommend]
impl<A: ToSocketAddrs> Bind<A> for Memory {
    fn bind(address: A) -> io::Result<Self> {
        Self::options().bind(address)
    }
}

impl LocalAddr for Memory {
    type Addr = SocketAddr;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
