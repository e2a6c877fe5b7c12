//! A bounded number of threads.

use std::io;
use std::thread;
use std::time::Duration;

use super::crew::{Bounds, Crew, Roster, Shareable, Size};
use super::{Concurrency, PoolSize, Sync};
use crate::drain::Closing;
use crate::handler::Handler;
use crate::session::Session;
use crate::transport::Transport;

/// How long a thread above the least waits in vain before it ends, where nothing else is said.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests run on a bounded number of threads, one at a time on each: Python's
/// `concurrent.futures.ThreadPoolExecutor` in the place of `ThreadingMixIn`, Java's
/// `ThreadPoolExecutor`.
///
/// The thread that takes a request from the transport also handles it
/// ([`verify_request`](Handler::verify_request) included), so nothing is handed from thread to
/// thread. One more is started when a request leaves nobody to wait for the next one, up to
/// [`new`](Self::new)'s `max_threads`. While all of them run a request, nobody takes any: connections
/// wait in the listener's [queue](crate::Options::request_queue_size), packets in the socket's
/// buffer. [`Limits`](crate::Limits) say what becomes of those for which that is too long.
///
/// A request holds its thread for as long as it takes, and so does a peer that is silent: give
/// connections a [`timeout`](crate::Options::timeout) or [`Deadlines`](crate::Deadlines). For peers
/// that are many, slow and long, there is [`Threading`](crate::Threading).
///
/// Where the system gives no further thread, requests wait for those that are there, and while they
/// all run one, a further thread is asked for every second. Where there is not even one, serving
/// pauses as it does without descriptors, and
/// [`get_request_failed`](Handler::get_request_failed) is told.
///
/// The bound is that of one `serve_forever`: after a stop, requests that still run are beside those
/// of the next. [`handle_request`](crate::Server::handle_request) handles its request on the thread
/// that calls it, as under [`Sync`]. What becomes of the requests in flight at
/// [`close`](crate::Server::close) and at the end of the process is configured as for
/// [`Threading`](crate::Threading), whose table says what is what.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use std::time::Duration;
/// use socketserver::{Server, Tcp, ThreadPool};
///
/// let pool = ThreadPool::new(16).min_threads(2).idle_timeout(Duration::from_secs(10));
/// let tcp = Tcp::options().timeout(Duration::from_secs(5)).bind("127.0.0.1:0")?;
/// let server = Server::new_fn(tcp, pool, |conn| conn.write_all(b"hi"))?;
/// # let running = server.spawn()?;
/// # let mut conn = std::net::TcpStream::connect(running.local_addr()?)?;
/// # assert_eq!(std::io::read_to_string(&mut conn)?, "hi");
/// # running.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("ThreadPoolExecutor", "pool"))]
pub struct ThreadPool {
    roster: Roster,
    size: PoolSize,
    idle: Duration,
}

impl ThreadPool {
    /// At most `max_threads` threads, that are joined at close: Python's `max_workers`, Java's
    /// `maximumPoolSize`. The thread that serves is beside them, and handles nothing.
    ///
    /// With 0, [`Server::new`](crate::Server::new) says `InvalidInput`. The [`Default`] is Python's:
    /// four more than there are processors that this process may use, and no more than 32.
    #[must_use]
    pub fn new(max_threads: usize) -> Self {
        Self { roster: Roster::new(), size: PoolSize::new(1, max_threads), idle: IDLE_TIMEOUT }
    }

    /// How many threads there are from the beginning of serving to its end, 1 by default: Java's
    /// `corePoolSize`. Python's executor keeps all that it has started.
    ///
    /// With 0, or more than the most, [`Server::new`](crate::Server::new) says `InvalidInput`.
    #[must_use]
    pub fn min_threads(self, min: usize) -> Self {
        self.size.put(min, self.size.max());
        self
    }

    /// How long a thread above the [least](Self::min_threads) waits for a request in vain before it
    /// ends, a minute by default: Java's `keepAliveTime`. One that waits goes on to wait where no
    /// other does.
    ///
    /// A request goes to the one of those that wait that has done so for the shortest time, where
    /// the transport's wait is that of this crate's (epoll(7) of Linux), so the others come to their
    /// end although there are requests now and then.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle = timeout;
        self
    }

    /// Whether closing the server waits for the requests in flight; see
    /// [`Threading`](crate::Threading).
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.roster.block_on_close = block;
        self
    }

    /// Whether the requests in flight are nobody's concern, neither at close nor at the end of the
    /// process; see [`Threading`](crate::Threading).
    #[must_use]
    pub fn daemon_threads(mut self, daemon: bool) -> Self {
        self.roster.daemon_threads = daemon;
        self
    }

    /// How large the stack of each thread is, in bytes; see
    /// [`Threading::stack_size`](crate::Threading::stack_size).
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.roster.stack = Some(bytes);
        self
    }

    /// How many requests run right now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.roster.active()
    }

    /// The handle to change the number of threads with, while the server runs too.
    #[must_use]
    pub fn size(&self) -> PoolSize {
        self.size.clone()
    }

    fn crew_size(&self) -> Size {
        let (bounds, idle) = (Bounds::Set(self.size.clone()), Some(self.idle));
        Size { bounds, kept: u64::MAX, idle, attended: false }
    }
}

impl Default for ThreadPool {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from).saturating_add(4).min(32))
    }
}

impl<T, H> Concurrency<T, H> for ThreadPool
where
    T: Transport + Shareable,
    T::Request: Send + 'static,
    H: Handler<T::Request> + Shareable,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.roster.disown();
        if session.is_for_one() {
            return Sync.serve(session);
        }
        loop {
            match Crew::start(&self.roster, self.crew_size(), session) {
                Ok(crew) => return crew.serve(session),
                Err(error) if session.back_off(&error)? => {}
                Err(_) => return Ok(()),
            }
        }
    }

    fn prepare(&mut self, _session: &Session<T, H>) -> io::Result<()> {
        self.size.check()
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.roster.close(closing)
    }
}
