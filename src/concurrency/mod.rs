//! Where requests run.

mod children;
mod crew;
mod finish_in_child;
mod fork_server;
mod forking;
mod pool_size;
mod pre_forking;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod selecting;
mod sync;
mod thread_pool;
mod threading;

pub use crew::Shareable;
pub use finish_in_child::FinishInChild;
pub use fork_server::ForkServer;
pub use forking::Forking;
pub use pool_size::PoolSize;
pub use pre_forking::{InWorker, PreForking, Workers};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use selecting::{InProcess, Selecting};
pub use sync::Sync;
pub use thread_pool::ThreadPool;
pub use threading::Threading;

use std::io;

use crate::drain::Closing;
use crate::session::Session;

/// Where requests run: Python's mix-in classes, and their absence.
///
/// # Which should I pick?
///
/// Begin with [`Threading`], or with [`Sync`] for packets, and change the word when there is a reason:
/// the handler stays the same.
///
/// | strategy | each request runs | good for | Python |
/// | --- | --- | --- | --- |
/// | [`Sync`] | on the thread that serves, one after the other | packets, short exchanges, tests | no mix-in |
/// | [`Threading`] | on a thread of its own | connections that last, shared state | `ThreadingMixIn` |
/// | [`ThreadPool`] | on one of a limited number of threads | the same with a bound, short requests | `ThreadPoolExecutor` |
/// | [`Selecting`] | in a table while it waits, and then where the strategy inside runs it | thousands of connections that mostly wait | none; "use a selector" |
/// | [`Forking`] | in a process of its own | isolation: a crash, a leak, a privilege dropped | `ForkingMixIn` |
/// | [`ForkServer`] | in a process of its own, forked from a helper | the same in a process with threads or much memory | none |
/// | [`FinishInChild`] | on the thread that serves, and from where its handler wants it, in a process of its own | short requests among which some are long, or dangerous | none; "an explicit fork" |
/// | [`PreForking`] | in one of several processes that serve side by side, each by a strategy of its own | all processors for handlers that threads can't share; a crash that ends a part | none |
///
/// What it costs is measured in `docs/performance.md` of the repository; on the machine there, a
/// connection of one line took so much processor time, most of it the kernel's:
///
/// | strategy | TCP | Unix | a UDP packet | what it is spent on |
/// | --- | ---: | ---: | ---: | --- |
/// | `Sync` | 30 µs | 12 µs | 4.0 µs | nothing but the exchange |
/// | `Threading` | 35 µs | 15 µs | 4.4 µs | waking a thread; with [`fresh_threads`](Threading::fresh_threads), which start one, 48, 44 and 38 µs |
/// | `Forking` | 206 µs | 186 µs | 171 µs | fork(2), which copies page tables: beside 256 MB of memory it is 9.1 ms |
/// | `ForkServer` | 210 µs | | | fork(2) of a small helper: beside 256 MB too |
///
/// A connection that lasts and is idle costs `Threading` 18 kB, and `Selecting` some 300 bytes, beside
/// what the kernel has of it. `ThreadPool` takes requests as `Threading` does, and a worker of
/// `PreForking` as the strategy inside does alone.
///
/// # Strategies in strategies
///
/// Two of them have another inside. What makes no sense does not compile, and says why.
///
/// | composition | good for | not for |
/// | --- | --- | --- |
/// | `Selecting<Sync>` | very many connections, exchanges of microseconds: no thread is ever woken for one | handlers that compute, or wait for something else: all others wait too |
/// | `Selecting<ThreadPool>` | very many connections, exchanges that take their time, on a bounded number of threads | exchanges so short that waking a thread is most of them |
/// | `Selecting<Threading>` | the same where none may wait for another | handlers that can pile up without limit |
/// | `PreForking<Sync>` | short exchanges that want all processors, handlers that aren't `Sync` | slow peers: each holds a process |
/// | `PreForking<Threading>` | connections that last, with handlers that meet in locks or may crash | state that all requests share |
/// | `PreForking<ThreadPool>` | the same with a bound in each process | |
/// | `PreForking<Selecting<Sync>>` | very many connections, on all processors: how nginx works | as `Selecting<Sync>` |
/// | `PreForking<Selecting<ThreadPool>>` | the same with exchanges that take their time | |
/// | `PreForking<Forking>` | a process for each request, more of them per second than one process can start | all that does not need it |
///
/// # Implementing your own
///
/// A strategy pulls: `serve` calls [`Session::next_request`] until that says `None`, and has each
/// request finished, by [`Session::finish_request`] here or by a [`Worker`](crate::Worker)
/// elsewhere. That is Python's `process_request`; the loop around it is the session's. So a
/// strategy that wraps another delegates all three methods, and one that has several threads pull
/// gives each a [`Puller`](crate::Puller).
///
/// A strategy for all transports and handlers is generic over `T` and `H`, with the bounds it
/// needs; for one that runs requests on other threads these are
/// `T::Request: Send` and `H: Send + Sync + 'static`, and where these threads pull,
/// `T: Send + Sync + 'static`.
///
/// # Examples
///
/// A strategy that takes so many requests, one after the other, and then ends:
///
/// ```
/// use std::io;
/// use socketserver::{Concurrency, Handler, Server, Session, Transport, Udp};
///
/// struct Few(u32);
///
/// impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Few {
///     fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
///         for _ in 0..self.0 {
///             let Some(job) = session.next_request()? else { break };
///             session.finish_request(job);
///         }
///         Ok(())
///     }
/// }
///
/// let udp = Udp::options().bind("127.0.0.1:0")?;
/// let mut server = Server::new_fn(udp, Few(1), |packet| packet.reply(b"that was all"))?;
/// # std::net::UdpSocket::bind("127.0.0.1:0")?.send_to(b"?", server.local_addr()?)?;
/// server.serve_forever()?;
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run `{H}` on requests of `{T}`",
    label = "this strategy does not go with this transport and handler",
    note = "strategies are `Sync`, `Threading`, `ThreadPool`, `Forking`, `ForkServer`, \
            `FinishInChild` with one of the last two inside, `Selecting` and `PreForking` with one of \
            these inside, and types that implement `Concurrency<T, H>`; a strategy is the second \
            parameter of `Server<Transport, Concurrency, Handler>`",
    note = "the handler has to handle the transport's requests, and under `Threading` and `ThreadPool` \
            both have to be `Send + Sync + 'static`"
)]
#[doc(alias("ThreadingMixIn", "ForkingMixIn", "process_request"))]
pub trait Concurrency<T, H> {
    /// Serves until the session is over. Requests that run elsewhere by then go on.
    ///
    /// # Errors
    ///
    /// Where the session says one, or the strategy can't serve at all. What goes wrong with one
    /// request is no such error: see [`Session::refuse_request`].
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()>;

    /// Called once, when the server is made and nothing has been served: for what has to be there
    /// before the process has threads, or gives up its privileges. The session has the transport and
    /// the worker; there is nothing to pull from it. A strategy that wraps another passes it on.
    ///
    /// # Errors
    ///
    /// An error is what [`Server::new`](crate::Server::new) returns.
    fn prepare(&mut self, _session: &Session<T, H>) -> io::Result<()> {
        Ok(())
    }

    /// Called by [`Server::close`](crate::Server::close), when the transport has been closed: waits
    /// for what runs elsewhere if the strategy is configured to, cuts it off and abandons it when
    /// that is [due](Closing::due), and tells the [report](Closing::report). The strategy's part of
    /// Python's `server_close`. It is not called for a server that is dropped, where nothing is
    /// waited for.
    ///
    /// By default it waits for all requests that the server's books know of: [`Closing::drain`].
    ///
    /// # Errors
    ///
    /// Where it can't be waited for.
    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        closing.drain().map(drop)
    }
}

/// A strategy chosen while the program runs.
impl<T, H, C: Concurrency<T, H> + ?Sized> Concurrency<T, H> for Box<C> {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        (**self).serve(session)
    }

    fn prepare(&mut self, session: &Session<T, H>) -> io::Result<()> {
        (**self).prepare(session)
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        (**self).close(closing)
    }
}
