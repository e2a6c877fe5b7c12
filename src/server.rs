//! `Server<Transport, Concurrency, Handler>`.

use std::any::type_name;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::Limits;
use crate::concurrency::{Concurrency, Forking};
use crate::control::{Control, StopHandle};
use crate::counters::Counters;
use crate::drain::{Closing, Drain, Report};
use crate::handler::{Handler, HandlerFn, handler_fn};
use crate::live::Live;
use crate::running::Running;
use crate::session::{Bookkeeping, Outcome, Scope, Session};
use crate::transport::{Bind, LocalAddr, Transport};
use crate::worker::{Shared, Worker};

/// A server: requests of the transport `T` run by the strategy `C` in the handler `H`.
///
/// The three are values, put together at compile time; a server does what the same loop written by
/// hand does. The usual combinations have Python's names,
/// [`ThreadingTcpServer`](crate::ThreadingTcpServer) and its kin.
///
/// A server is bound when it is made, serves when it is told to, and can serve again after a stop.
/// It is closed by [`close`](Self::close), or by going out of scope: that closes the transport, and
/// waits for nothing. A program that forks by itself may make a server before and serve in the
/// child, in the parent, or in both: each process has its own sessions, and its own stops.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, Write};
/// use socketserver::ThreadingTcpServer;
///
/// let mut server = ThreadingTcpServer::bind_fn("127.0.0.1:0", |conn| {
///     let mut line = Vec::new();
///     conn.read_until(b'\n', &mut line)?;
///     conn.write_all(&line)
/// })?;
/// println!("listening on {}", server.local_addr()?);
/// # server.stop_handle().stop();
/// server.serve_forever()?;
/// server.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias("BaseServer", "socketserver", "fileno", "socket_type", "bind_and_activate"))]
pub struct Server<T, C, H> {
    pub(crate) transport: Arc<T>,
    concurrency: C,
    shared: Arc<Shared<H>>,
    service_interval: Option<Duration>,
    books: Bookkeeping<T>,
    open: Open,
}

impl<T, C, H> Server<T, C, H> {
    /// Puts a server together from its three parts.
    ///
    /// # Errors
    ///
    /// Where the system has no descriptor or memory for the wake-up of its loop, and what the
    /// strategy's [`prepare`](Concurrency::prepare) says: [`ForkServer`](crate::ForkServer)'s is a
    /// [`ForkRefused`](crate::ForkRefused) in a process with threads.
    pub fn new(transport: T, concurrency: C, handler: H) -> io::Result<Self>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        Self::with_stop(transport, concurrency, |_stop| handler)
    }

    /// As [`new`](Self::new), for a handler that stops its own server: it is made with the handle
    /// to do so, which Python's handlers find in `self.server`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use socketserver::{Server, Sync, Tcp, TcpRequest, handler_fn};
    ///
    /// let tcp = Tcp::options().bind("127.0.0.1:0")?;
    /// let mut server = Server::with_stop(tcp, Sync, |stop| {
    ///     handler_fn(move |conn: &mut TcpRequest| {
    ///         stop.stop();
    ///         conn.write_all(b"you were the only one\n")
    ///     })
    /// })?;
    /// # let client = std::net::TcpStream::connect(server.local_addr()?)?;
    /// server.serve_forever()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_stop(
        transport: T,
        concurrency: C,
        make_handler: impl FnOnce(StopHandle) -> H,
    ) -> io::Result<Self>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        let control = Arc::new(Control::new()?);
        let handler = make_handler(StopHandle::new(Arc::clone(&control)));
        let mut server = Self {
            transport: Arc::new(transport),
            concurrency,
            open: Open(Arc::clone(&control)),
            shared: Arc::new(Shared { handler, control }),
            service_interval: None,
            books: Bookkeeping::None,
        };
        let worker = Worker::new(Arc::clone(&server.shared), 0);
        let transport = Some(Arc::clone(&server.transport));
        let before = Session::new(transport, worker, None, Scope::default());
        server.concurrency.prepare(&before)?;
        Ok(server)
    }

    /// Binds the transport to `address` with default options, and puts a server together with the
    /// strategy's default. Which transport and which strategy, the type says: an alias
    /// (`ThreadingTcpServer::bind`), or a `Server<Tcp, Threading, _>` that it is assigned to. For a
    /// closure there is [`bind_fn`](Self::bind_fn).
    ///
    /// # Errors
    ///
    /// As binding the transport, and as [`new`](Self::new).
    #[doc(alias("server_bind", "server_activate"))]
    pub fn bind<A>(address: A, handler: H) -> io::Result<Self>
    where
        T: Bind<A>,
        H: Handler<T::Request>,
        C: Concurrency<T, H> + Default,
    {
        Self::new(T::bind(address)?, C::default(), handler)
    }

    /// How often [`service_actions`](Handler::service_actions) is called even while no request
    /// comes. Never by default: a server without it is not woken by time.
    #[doc(alias = "poll_interval")]
    #[must_use]
    pub fn service_interval(mut self, interval: Duration) -> Self {
        self.service_interval = Some(interval);
        self
    }

    /// Lets in so many requests at once, from one source, and in a time, and no more; whatever the
    /// strategy. Without it there are no limits but those of the strategy.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for limits that would let nothing in.
    #[doc(alias = "max_connections")]
    pub fn limits(mut self, limits: Limits<T>) -> io::Result<Self> {
        limits.check()?;
        self.books.ask().limits = Some(Arc::new(limits));
        Ok(self)
    }

    /// How the server ends: how long its stop is announced, what is in flight may finish, and what
    /// has been cut off may take to go. Without it, what is in flight is waited for without limit.
    #[doc(alias("shutdown_timeout", "graceful"))]
    #[must_use]
    pub fn drain(mut self, drain: Drain) -> Self {
        if !drain.announced().is_zero() {
            self.shared.control.announce();
        }
        self.books.ask().drain = Some(drain);
        self
    }

    /// Counts requests, and what becomes of them, in these counters.
    #[must_use]
    pub fn counters(mut self, counters: &Counters) -> Self {
        self.books.ask().counters = Some(counters.clone());
        self
    }

    /// Lets this handle look at the server, and steer it, while it serves.
    #[must_use]
    pub fn live(mut self, live: &Live) -> Self {
        self.books.ask().live = Some(live.clone());
        self
    }

    /// Serves until it is stopped by a [`StopHandle`]. Requests that run elsewhere by then go on;
    /// [`close`](Self::close) waits for them. It may be called again.
    ///
    /// # Errors
    ///
    /// Where the transport is broken, or the strategy can't serve at all; `InvalidInput` for a
    /// [`service_interval`](Self::service_interval) of zero. Nothing that a peer or the handler
    /// does is an error here, panics that have the server [stop](crate::OnPanic::Stop) included.
    pub fn serve_forever(&mut self) -> io::Result<()>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        if self.service_interval.is_some_and(|interval| interval.is_zero()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a service_interval of zero leaves no time to serve; it has to be longer",
            ));
        }
        let scope = Scope { service_interval: self.service_interval, ..Scope::default() };
        let (session, _serving) = self.begin(scope)?;
        self.concurrency.serve(&session)
    }

    /// Waits for one request, and gives it to the strategy. For loops of your own. A stop that
    /// comes between two calls is kept for the next, which returns [`Outcome::Stopped`].
    ///
    /// # Errors
    ///
    /// As [`serve_forever`](Self::serve_forever); and where descriptors or memory have run out,
    /// as the pause that then is needed is the caller's. (accept(2) says `EMFILE` before it looks
    /// whether anybody has connected.)
    pub fn handle_request(&mut self) -> io::Result<Outcome>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        self.handle_one(None)
    }

    /// As [`handle_request`](Self::handle_request), for `timeout` at most: Python's `timeout`
    /// attribute. Zero takes a request that is there already. When it has passed,
    /// [`handle_timeout`](Handler::handle_timeout) is called. Signals do not lengthen the wait.
    ///
    /// # Errors
    ///
    /// As [`handle_request`](Self::handle_request).
    #[doc(alias = "timeout")]
    pub fn handle_request_timeout(&mut self, timeout: Duration) -> io::Result<Outcome>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        // A time that is too far away to be told is never.
        self.handle_one(Instant::now().checked_add(timeout))
    }

    fn handle_one(&mut self, deadline: Option<Instant>) -> io::Result<Outcome>
    where
        T: Transport,
        H: Handler<T::Request>,
        C: Concurrency<T, H>,
    {
        let scope = Scope { once: true, deadline, service_interval: None };
        let (session, mut serving) = self.begin(scope)?;
        serving.ends_session = false;
        self.concurrency.serve(&session)?;
        serving.ends_session = session.outcome() == Outcome::Stopped;
        Ok(session.outcome())
    }

    /// A handle that stops this server, from wherever. Where the server is to serve again after a
    /// stop, make another for each time: see [`StopHandle`].
    #[doc(alias = "shutdown")]
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(Arc::clone(&self.shared.control))
    }

    /// Serves on a thread of its own, and returns what is needed from outside: the address, the
    /// stop, and the way to get the server back. Connections are accepted from the moment the
    /// server is bound, so there is nothing to wait for.
    ///
    /// Not for [`Forking`], which needs a process with one thread and will refuse
    /// every request, nor for [`PreForking`](crate::PreForking), which will not serve at all;
    /// [`ForkServer`](crate::ForkServer) is.
    ///
    /// # Errors
    ///
    /// Where there is no thread; the server is closed then.
    pub fn spawn(self) -> io::Result<Running<T, C, H>>
    where
        T: Transport + Send + Sync + 'static,
        H: Handler<T::Request> + Send + Sync + 'static,
        C: Concurrency<T, H> + Send + 'static,
    {
        Running::start(self)
    }

    /// Closes the server: the transport first, so that nobody can connect any more, then the
    /// strategy, which waits for what is in flight if it is configured to, for as long as the
    /// server's [`Drain`] says. Python's `server_close`, with a [`Report`] of what became of what
    /// was in flight.
    ///
    /// # Errors
    ///
    /// Whatever could not be put back as it was: a socket file that could not be removed, a child
    /// that could not be waited for. The rest has been closed all the same.
    #[doc(alias("server_close", "join"))]
    pub fn close(self) -> io::Result<Report>
    where
        T: Transport,
        C: Concurrency<T, H>,
    {
        let Self { transport, mut concurrency, shared, books, open, .. } = self;
        drop(open);
        let books = books.books();
        let drain = books.and_then(|books| books.asked.drain);
        let flight = books.map(|books| Arc::clone(&books.flight));
        let number = shared.control.number();
        let closing = Closing::new(Worker::new(shared, number), flight, drain);
        // Whoever else holds it is a strategy whose threads have not ended yet: the last closes it.
        let closed = Arc::into_inner(transport).map_or(Ok(()), T::server_close);
        concurrency.close(&closing).and(closed)?;
        Ok(closing.end())
    }

    /// The address that the server is bound to: Python's `server_address`.
    ///
    /// # Errors
    ///
    /// As [`LocalAddr::local_addr`].
    #[doc(alias = "server_address")]
    pub fn local_addr(&self) -> io::Result<T::Addr>
    where
        T: LocalAddr,
    {
        self.transport.local_addr()
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }

    /// The strategy.
    #[must_use]
    pub fn concurrency(&self) -> &C {
        &self.concurrency
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Begins a session before anybody serves it.
    pub(crate) fn begin_session(&self) -> io::Result<()> {
        self.shared.control.begin().map(drop)
    }

    fn begin(&mut self, scope: Scope) -> io::Result<(Session<T, H>, Serving)> {
        let books = self.books.open(&self.shared.control)?;
        let serving = Serving::begin(&self.shared.control)?;
        if let Some(books) = &books {
            books.flight.begin(serving.number);
        }
        let worker = Worker::new(Arc::clone(&self.shared), serving.number);
        let transport = Some(Arc::clone(&self.transport));
        Ok((Session::new(transport, worker, books, scope), serving))
    }
}

impl<T, C, F> Server<T, C, HandlerFn<F>> {
    /// As [`new`](Self::new), with a closure as the handler, whose argument's type is inferred:
    /// `|conn| Ok(())`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn new_fn(transport: T, concurrency: C, function: F) -> io::Result<Self>
    where
        T: Transport,
        F: Fn(&mut T::Request) -> io::Result<()>,
        C: Concurrency<T, HandlerFn<F>>,
    {
        Self::new(transport, concurrency, handler_fn(function))
    }

    /// As [`bind`](Self::bind), with a closure as the handler, whose argument's type is inferred:
    /// `|conn| Ok(())`.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_fn<A>(address: A, function: F) -> io::Result<Self>
    where
        T: Bind<A>,
        F: Fn(&mut T::Request) -> io::Result<()>,
        C: Concurrency<T, HandlerFn<F>> + Default,
    {
        Self::new_fn(T::bind(address)?, C::default(), function)
    }
}

impl<T, H> Server<T, Forking, H> {
    /// The process ids of the children that have not been reaped.
    pub fn active_children(&self) -> impl Iterator<Item = u32> + '_ {
        self.concurrency.active_children()
    }
}

/// The descriptor that requests come from, for a selector of your own: Python's `fileno`.
impl<T: AsFd, C, H> AsFd for Server<T, C, H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl<T: fmt::Debug, C: fmt::Debug, H> fmt::Debug for Server<T, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("transport", &self.transport)
            .field("concurrency", &self.concurrency)
            .field("handler", &format_args!("{}", type_name::<H>()))
            .finish_non_exhaustive()
    }
}

/// The time in which somebody serves; over when it is dropped, however the strategy returned.
struct Serving {
    control: Arc<Control>,
    number: u64,
    /// Whether the session ends with it, or goes on in the next call.
    ends_session: bool,
}

impl Serving {
    fn begin(control: &Arc<Control>) -> io::Result<Self> {
        let number = control.begin()?;
        Ok(Self { control: Arc::clone(control), number, ends_session: true })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.ends_session {
            self.control.end(self.number);
        }
    }
}

/// The server is open; when this is dropped, what is still in flight sees that it is not.
struct Open(Arc<Control>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}
