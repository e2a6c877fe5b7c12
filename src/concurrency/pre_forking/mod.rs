//! Processes that serve side by side.

mod member;
mod shards;
mod sheet;
mod staff;
mod work;
mod workers;

pub use workers::Workers;

use std::io;

use self::shards::Shards;
use self::staff::Staff;
use super::{Concurrency, ForkServer, Forking, Sync, ThreadPool, Threading};
use crate::drain::Closing;
use crate::handler::Handler;
use crate::session::Session;
use crate::transport::{ForkRole, IpTransport, Transport};

/// So many processes serve side by side, each as the strategy `C` does: a server that uses all
/// processors although its handler can't be shared by threads, and of which no crash ends more than a
/// part. Python's module has nothing like it.
///
/// They are forked by [`serve_forever`](crate::Server::serve_forever), and take requests from the one
/// socket that all share; the process that calls it takes none itself, and supervises them: whoever
/// dies is replaced, at once where it could serve, and with pauses that lengthen from 5 ms to a second
/// where it could not. While nobody serves, ten times in a row without success are an error of
/// `serve_forever`; the first of each such row is told to
/// [`get_request_failed`](Handler::get_request_failed). Where others serve, it is tried for ever.
///
/// The process needs to have one thread whenever it forks, as for [`Forking`], so call
/// `serve_forever` on that: with more, it returns [`ForkRefused`](crate::ForkRefused). Its
/// [`Workers`] are there to look at, to add and remove, and to be restarted one by one.
///
/// | strategy | good for |
/// | --- | --- |
/// | `PreForking<Sync>` | short exchanges, handlers that block a processor |
/// | `PreForking<Threading>` | connections that last, and handlers that meet in locks |
/// | `PreForking<ThreadPool>` | the same with a bound |
/// | `PreForking<Selecting<Sync>>` | many connections that mostly wait |
/// | `PreForking<Forking>` | isolation, started by several processes |
/// | `PreForking<ForkServer>` | the same where [`child_init`](Handler::child_init) starts threads |
///
/// It does not nest in itself: a worker is told by its supervisor when to end, and has nobody to tell.
/// What has a process for each request does nest, as it has children and no workers.
///
/// # What a worker is
///
/// A server process in its own right, and a copy of its supervisor as it was when it was forked. Its
/// handler's state is its own: what one worker changes in memory, no other sees.
///
/// * [`child_init`](Handler::child_init) is called once, before it serves. The strategy is
///   [prepared](Concurrency::prepare) in it after that. A worker that ends before, has not come up.
/// * [`event`](Handler::event) and [`service_actions`](Handler::service_actions) are called in the
///   worker that has the request. [`panicked`](Handler::panicked) is called in the supervisor, so that
///   [`StopAfterPanics`](crate::StopAfterPanics) counts the panics of all.
/// * [`Counters`](crate::Counters) are those of all processes together. What a worker had in hand when
///   it was killed has failed as [lost](crate::FailureKind::Lost), of which the supervisor's handler
///   hears by `event`.
/// * [`Limits`](crate::Limits) hold for each worker by itself: all together let in as many times more
///   as there are processes.
/// * A [stop](crate::StopHandle) from a handler in any of them is one of the whole server. Each worker
///   then ends as its strategy does, within the server's [`Drain`](crate::Drain);
///   [`close`](crate::Server::close) waits for all, kills what is still there when it is to be
///   abandoned, and returns a report of all. A worker lets go of the listening socket when it is told
///   to end; one of a transport from elsewhere, when it has ended serving, which under `Sync` is when
///   its last request has.
/// * Descriptors of the application are all there, and so are the listening sockets of other servers.
/// * SIGTERM tells a worker to finish what it has and end; it is then replaced. It belongs to the
///   supervisor, which sends it, so `child_init` has to leave it alone. On Linux, workers are sent one
///   when the supervisor has ended without a word, and finish then too.
/// * Other signals for which the process has handlers when it forks do nothing in a worker, so that a
///   ^C or a signal for the whole group reaches the supervisor alone. `child_init` may install others.
/// * A worker ends by `_exit(2)`, like a child of [`Forking`].
///
/// [`handle_request`](crate::Server::handle_request) needs no workers: `C` takes that request in the
/// process that calls it.
///
/// # Examples
///
/// Four processes, each with as many threads as it has connections:
///
/// ```
/// use std::io::Write;
/// use socketserver::{PreForking, Server, Tcp, Threading};
///
/// let strategy = PreForking::new(4, Threading::new())?.max_requests(100_000)?;
/// let tcp = Tcp::options().bind("127.0.0.1:0")?;
/// let mut server = Server::new_fn(tcp, strategy, |conn| {
///     writeln!(conn, "process {}", std::process::id())
/// })?;
/// # server.stop_handle().stop();
/// server.serve_forever()?;
/// server.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("prefork", "workers", "master"))]
pub struct PreForking<C> {
    strategy: C,
    staff: Staff,
    block_on_close: bool,
    /// Whether the strategy has been prepared for serving in this process.
    prepared: bool,
}

/// A strategy that can serve in one of several processes: a worker of [`PreForking`]. For one of your
/// own it takes no more than to say so.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't serve in a worker process of `PreForking`",
    label = "not a strategy for one process of several",
    note = "`PreForking` supervises its processes itself, so it does not nest: for more of them give it \
            a larger number, and for several requests at a time in each a strategy that has them, as in \
            `PreForking<Threading>`, `PreForking<ThreadPool>` or `PreForking<Selecting<Sync>>`",
    note = "it goes with `Sync`, `Threading`, `ThreadPool`, `Selecting`, `Forking` and `ForkServer`, and \
            with strategies that implement `InWorker`"
)]
pub trait InWorker {}

impl InWorker for Sync {}
impl InWorker for Threading {}
impl InWorker for ThreadPool {}
impl InWorker for Forking {}
impl InWorker for ForkServer {}

impl<C: InWorker> PreForking<C> {
    /// So many processes, each of which serves by `strategy`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 processes, and for more than 512; and where the system has no memory or
    /// descriptor for what they share.
    pub fn new(processes: usize, strategy: C) -> io::Result<Self> {
        let staff = Staff::new(Workers::new(processes)?);
        Ok(Self { strategy, staff, block_on_close: true, prepared: false })
    }
}

impl<C> PreForking<C> {
    /// How many requests a process takes before it is replaced, against what leaks; without limit by
    /// default. It is so many and up to a tenth more, by chance, so that processes that were started
    /// together do not end together. One goes on taking requests until whoever replaces it does.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn max_requests(mut self, most: u64) -> io::Result<Self> {
        if most == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "max_requests of 0 would replace processes that have done nothing; it has to be \
                 at least 1",
            ));
        }
        self.staff.max_requests = Some(most);
        Ok(self)
    }

    /// Gives each process a socket of its own: beside that of `transport`, which is then to be the
    /// server's (or inside it), others are opened at the same address, and the kernel divides
    /// connections and packets among them by their peers' addresses (`SO_REUSEPORT`). There are as
    /// many as there are processes now, and their number stays; of more processes, some share one.
    ///
    /// Try without first. Whatever waits in a shard waits for its own process, although others may be
    /// idle; and a process whose shard is empty sleeps, although there is something in the next. On two
    /// processors that others used too, a connection of one line took 1.04 to 1.10 times the processor
    /// time that it does from the one socket, where a request wakes one process anyway, and with 2 or 4
    /// processes and 16 clients these slept two to three times as often (medians of 11 paired rounds of
    /// 12,000 connections; 2, 4 and 8 processes, 16 and 64 clients; the rounds from 0.87 to 1.32). It is
    /// for machines with so many processors that the lock of one queue is what they wait for, and for
    /// packets, where each peer's go to the same process.
    ///
    /// All are open from here on, and until the server is closed: what waits in the shard of a process
    /// that dies, is restarted, or comes up late is served by whoever takes its place. They have the
    /// [backlog](crate::Options::request_queue_size) of the first, each for itself. What has been set
    /// on the first by other means than [`Options`](crate::Options) they do not have.
    ///
    /// [`handle_request`](crate::Server::handle_request) is an error with them, as it would look at
    /// one of several.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where the transport was bound without
    /// [`allow_reuse_port`](crate::Options::allow_reuse_port). `AddrInUse` where another user has bound
    /// it: the system lets only one share an address with itself, so call this before the process
    /// becomes somebody else. `Unsupported` on other systems than Linux, which don't divide like this.
    /// What socket(2) says, for want of descriptors. And [`Server::new`](crate::Server::new) says
    /// `InvalidInput` where the server's transport is another.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use socketserver::{PreForking, Server, Sync, Tcp};
    ///
    /// let tcp = Tcp::options().allow_reuse_port(true).bind("127.0.0.1:0")?;
    /// let strategy = PreForking::new(4, Sync)?.shards(&tcp)?;
    /// let server = Server::new_fn(tcp, strategy, |conn| conn.write_all(b"hi"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("SO_REUSEPORT", "reuse_port"))]
    pub fn shards<T: IpTransport>(mut self, transport: &T) -> io::Result<Self> {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system does not divide among the sockets at an address; Linux does",
            ));
        }
        let shards = Shards::new(transport, self.staff.workers.processes())?;
        self.staff.workers.set_shards(shards.count());
        self.staff.shards = Some(shards);
        Ok(self)
    }

    /// Whether closing the server waits for the processes; it does by default. Otherwise they finish
    /// what they have, and are zombies from their end to that of this process.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// The handle to look at the processes with, and to steer them.
    #[must_use]
    pub fn workers(&self) -> Workers {
        self.staff.workers.clone()
    }
}

impl<C> PreForking<C> {
    fn check_shards<T, H>(&self, session: &Session<T, H>) -> io::Result<()>
    where
        T: Transport,
        H: Handler<T::Request>,
    {
        let Some(shards) = &self.staff.shards else { return Ok(()) };
        shards.check(session.source())?;
        if session.is_for_one() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "handle_request looks at one socket, and this server has shards; use \
                 serve_forever, or PreForking without them",
            ));
        }
        Ok(())
    }
}

impl<T, H, C> Concurrency<T, H> for PreForking<C>
where
    T: Transport,
    H: Handler<T::Request>,
    C: Concurrency<T, H>,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.staff.disown();
        self.check_shards(session)?;
        if session.is_for_one() {
            // One request needs no other process.
            if !self.prepared {
                self.strategy.prepare(session)?;
                self.prepared = true;
            }
            return self.strategy.serve(session);
        }
        let served = self.staff.supervise(&mut self.strategy, session);
        self.staff.dismiss();
        served
    }

    fn prepare(&mut self, session: &Session<T, H>) -> io::Result<()> {
        session.transport().check_fork(ForkRole::Takes)?;
        self.check_shards(session)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.staff.disown();
        // Nobody can connect any more.
        self.staff.shards = None;
        let closed = if self.block_on_close {
            self.staff.close::<T::Request, H>(closing)
        } else {
            closing.report(0, 0, self.staff.in_hand());
            Ok(())
        };
        self.strategy.close(closing).and(closed)
    }
}
