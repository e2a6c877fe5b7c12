//! What is done with a request.

mod closure;
mod forward;
mod guarded;
mod halves;
#[cfg(feature = "log")]
mod logged;
mod missing;
mod panics;

pub use closure::{HandlerFn, handler_fn};
pub use guarded::Guarded;
use halves::forward_halves;
pub use halves::{Begun, InHalves};
#[cfg(feature = "log")]
pub use logged::Logged;
pub use missing::{frame_missing, line_missing};
pub use panics::{CrashOnPanic, OnPanic, StopAfterPanics};

use std::io;

use crate::event::Event;
use crate::failure::{self, Failure, FailureKind};

/// What [`Handler::handle`] answers: whether the connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Next {
    /// This request is done: finish it and close it. `()` becomes this, so a `handle` may end in
    /// `request.write_all(b"…").map(Next::from)`.
    #[default]
    Done,
    /// This exchange is done, and the connection may have another: call `handle` again. Between two
    /// exchanges the connection waits: on its thread or in its process, or under
    /// [`Selecting`](crate::Selecting) in a table, which costs neither. Once the server has been
    /// asked to stop, it means the same as `Done`; where a stop that is announced
    /// ([`Drain::announce`](crate::Drain::announce)) has come in the middle of this exchange, after
    /// the next one. At the end of the input a handler has to say
    /// `Done`.
    Again,
}

impl From<()> for Next {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// What is done with each request: Python's request handler classes, and those hooks of its server
/// classes that a user overrides.
///
/// One value handles all requests, from all threads at once under [`Threading`](crate::Threading)
/// and [`ThreadPool`](crate::ThreadPool); what the requests share are its fields, and what belongs to one request is a local variable of
/// [`handle`](Self::handle). (Python makes an instance of the handler's class for each request and
/// keeps what they share in attributes of the server.) What has to outlive a call of `handle` that
/// answers [`Next::Again`], or to be there in `finish`, lives in the request: in a request type
/// that wraps the transport's. What has to happen at the end of `handle` however it ends, a panic
/// included, is best done by a local value's `Drop`.
///
/// # Choosing one
///
/// * A closure, through `bind_fn` or [`handler_fn`].
/// * A type that implements `Handler<R>` for the requests it can handle: for one
///   ([`TcpRequest`](crate::TcpRequest)), for several, or for all that can be read and written,
///   as below.
/// * `Box<dyn Handler<R>>`, `Arc<H>` and `&H`, which are handlers too.
/// * A mixin around any of them, and around another mixin: [`Deadlines::guard`] for slow peers,
///   [`StopAfterPanics`] and [`CrashOnPanic`] for panics, `Logged` (with the feature `log`) for
///   events, and your own with [`forward_hooks!`](crate::forward_hooks).
///
/// [`Deadlines::guard`]: crate::Deadlines::guard
///
/// # Implementing your own
///
/// Only [`handle`](Self::handle) is required. The others are hooks with defaults that do nothing
/// and cost nothing. For one request they are called in this order, under every strategy:
///
/// | the request | hooks |
/// | --- | --- |
/// | handled | `verify_request`, `setup`, `handle`, `finish` |
/// | rejected | `verify_request` |
/// | error or panic in `verify_request` | `verify_request`, `handle_error` |
/// | error or panic in the request's `establish` | `verify_request`, `handle_error` |
/// | error or panic in `setup` | `verify_request`, `setup`, `handle_error` |
/// | error or panic in `handle` | `verify_request`, `setup`, `handle`, `finish`, `handle_error` |
/// | error or panic in `finish` | `verify_request`, `setup`, `handle`, `finish`, `handle_error` |
/// | error or panic in the request's `deliver` | `verify_request`, `setup`, `handle`, `finish`, `handle_error` |
/// | could not be started | `verify_request`, `handle_error` |
///
/// and then, always, the request's own [`shutdown_request`](crate::Request::shutdown_request).
/// `verify_request` runs where the loop is, the rest where the strategy puts it. No hook can end
/// the loop: a panic in any of them is contained, unless [`panicked`](Self::panicked) says
/// otherwise.
///
/// # Panics and `panic = "abort"`
///
/// A program that is compiled with `panic = "abort"` ends at the first panic, whatever
/// [`panicked`](Self::panicked) says, with SIGABRT and without a hook being called: nothing can be
/// contained there. Under [`Forking`](crate::Forking) it is the child that ends, and the server
/// counts it as [lost](FailureKind::Lost).
///
/// # Examples
///
/// One handler for all four transports, with state that its requests share:
///
/// ```
/// use std::io::{self, BufRead, Write};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use socketserver::{Handler, Next, ReadLine, Server, Tcp, Threading, Udp, Sync};
///
/// #[derive(Default)]
/// struct Upper {
///     lines: AtomicU64,
/// }
///
/// impl<R: BufRead + Write> Handler<R> for Upper {
///     fn handle(&self, request: &mut R) -> io::Result<Next> {
///         let mut line = String::new();
///         request.read_line_bounded(&mut line, 1024)?;
///         self.lines.fetch_add(1, Ordering::Relaxed);
///         request.write_all(line.to_uppercase().as_bytes())?;
///         Ok(Next::Done)
///     }
/// }
///
/// let connections: Server<Tcp, Threading, _> = Server::bind("127.0.0.1:0", Upper::default())?;
/// let packets: Server<Udp, Sync, _> = Server::bind("127.0.0.1:0", Upper::default())?;
/// # Ok::<(), io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle `{R}` requests",
    label = "not a handler of these requests",
    note = "a closure is made a handler by `bind_fn`, `new_fn` or `handler_fn`",
    note = "the transport decides what comes in: connections (`StreamRequest`) from `Tcp` as \
            `TcpRequest` and from `UnixStream` as `UnixStreamRequest`; packets (`Datagram`) from \
            `Udp` as `UdpRequest` and from `UnixDatagram` as `UnixDatagramRequest`",
    note = "implement `Handler` for the requests that come in, or, for all four transports at \
            once, `Handler<R>` for every `R: BufRead + Write`"
)]
#[doc(alias("BaseRequestHandler", "RequestHandlerClass", "StreamRequestHandler"))]
pub trait Handler<R> {
    /// Handles the request.
    ///
    /// # Errors
    ///
    /// An error ends the request; `finish` is called, then
    /// [`handle_error`](Self::handle_error). An error that is no `io::Error` becomes one by
    /// [`io::Error::other`].
    fn handle(&self, request: &mut R) -> io::Result<Next>;

    /// How many bytes at least are missing from a whole request, of which `input` has come so far; 0
    /// where `handle` has all that it is going to read. Asked by
    /// [`Selecting`](crate::Selecting) alone, which has it handled then, and not before, and which
    /// asks again when so many more have come. At the end of the input it does not ask.
    ///
    /// By default any byte will do: a handler that reads beyond what has come then waits for its
    /// peer where it runs, as under every other strategy. [`line_missing`] and
    /// [`frame_missing`] are the answers for lines and for length prefixes. It
    /// must not wait for anything; and an `input` that can't be understood is whole, for `handle` to
    /// say so.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, BufRead, Write};
    /// use socketserver::{Handler, Next, ReadLine, line_missing};
    ///
    /// struct Echo;
    ///
    /// impl<R: BufRead + Write> Handler<R> for Echo {
    ///     fn handle(&self, request: &mut R) -> io::Result<Next> {
    ///         let mut line = Vec::new();
    ///         if request.read_bytes_bounded(&mut line, 1024)? == 0 {
    ///             return Ok(Next::Done);
    ///         }
    ///         request.write_all(&line)?;
    ///         Ok(Next::Again)
    ///     }
    ///
    ///     fn missing(&self, input: &[u8]) -> usize {
    ///         line_missing(input, 1024)
    ///     }
    /// }
    /// ```
    fn missing(&self, input: &[u8]) -> usize {
        usize::from(input.is_empty())
    }

    /// Called before `handle`. Where it fails, neither `handle` nor `finish` is called.
    ///
    /// # Errors
    ///
    /// An error ends the request.
    fn setup(&self, _request: &mut R) -> io::Result<()> {
        Ok(())
    }

    /// Called after `handle`, whether or not that failed.
    ///
    /// # Errors
    ///
    /// An error ends the request; where `handle` failed too, its error is the one that counts.
    fn finish(&self, _request: &mut R) -> io::Result<()> {
        Ok(())
    }

    /// Whether the request may be handled at all: Python's `verify_request`. A rejected one is
    /// shut down and closed without a word.
    ///
    /// It runs in the serve loop, before a thread or process is spent on the request, and before
    /// its second stage: it may look at the peer's address and at a packet's bytes, and must not
    /// wait for anything.
    ///
    /// # Errors
    ///
    /// An error goes to [`handle_error`](Self::handle_error), and the request is closed. (In
    /// Python it ends the loop, and leaves the connection open.)
    fn verify_request(&self, _request: &R) -> io::Result<bool> {
        Ok(true)
    }

    /// Called once for each request that failed, with the request still open, so that its peer may
    /// have a last word. Where the [stage](Failure::stage) is `Verify` or `Start` it runs in the
    /// serve loop, and must not wait for the peer.
    ///
    /// By default it writes one line to stderr, but for peers that went away, timeouts and failed
    /// handshakes, which are no news. (Python prints a traceback for each.)
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io::{self, Write};
    /// use socketserver::{Failure, FailureKind, Handler, LineTooLong, Next, TcpRequest};
    ///
    /// # struct Greeter;
    /// impl Handler<TcpRequest> for Greeter {
    /// #   fn handle(&self, _: &mut TcpRequest) -> io::Result<Next> { Ok(Next::Done) }
    ///     // fn handle …
    ///
    ///     fn handle_error(&self, conn: &mut TcpRequest, failure: &Failure) {
    ///         let inner = failure.as_error().and_then(io::Error::get_ref);
    ///         if inner.is_some_and(|inner| inner.is::<LineTooLong>()) {
    ///             let _ = conn.write_all(b"too long\n");
    ///         } else if failure.kind() != FailureKind::PeerGone {
    ///             eprintln!("{}: {failure}", conn.peer()); // 127.0.0.1:4711: handle: timed out
    ///         }
    ///     }
    /// }
    /// ```
    fn handle_error(&self, _request: &mut R, failure: &Failure) {
        use FailureKind::{Handshake, PeerGone, TimedOut};
        if !matches!(failure.kind(), PeerGone | TimedOut | Handshake) {
            failure::complain(format_args!("{failure}"));
        }
    }

    /// What is to be done about a panic in the handler, in one of its hooks, or in a request: called
    /// after each, once it has been contained and told to `handle_error`. By default, nothing. The
    /// mixins [`StopAfterPanics`] and [`CrashOnPanic`] say otherwise.
    ///
    /// It is called in the process of the server: under [`Forking`](crate::Forking) and
    /// [`ForkServer`](crate::ForkServer) when the end of the child that panicked is known, or that of
    /// another before; under [`PreForking`](crate::PreForking) a moment after the panic. (Python catches every `Exception`, and lets no one choose.)
    fn panicked(&self) -> OnPanic {
        OnPanic::Contain
    }

    /// Called for each thing that happens in the server, in the serve loop or where a request has
    /// ended, and always in the process of the server; under [`PreForking`](crate::PreForking), whose
    /// workers are servers themselves, in that which has taken the request. It must not wait. What counts events, or
    /// writes them down, stands here; [`Counters`](crate::Counters) have been made already.
    fn event(&self, _event: Event) {}

    /// Called in each process that [`Forking`](crate::Forking) or [`ForkServer`](crate::ForkServer)
    /// has made for a request, before that is established, or by
    /// [`FinishInChild`](crate::FinishInChild) for its second half, before that is handled, and in each that
    /// [`PreForking`](crate::PreForking) has made to serve, before it does. For what children must not share: random
    /// number generators are to be seeded anew here, or all children draw the same numbers. A panic
    /// here ends the child.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::io::{self, Read, Write};
    /// use socketserver::{Handler, Next};
    ///
    /// struct Dice {
    ///     seed: RefCell<u64>,
    /// }
    ///
    /// impl<R: Write> Handler<R> for Dice {
    ///     fn handle(&self, request: &mut R) -> io::Result<Next> {
    ///         // xorshift: without `child_init`, each child would say the same.
    ///         let mut seed = self.seed.borrow_mut();
    ///         *seed ^= *seed << 13;
    ///         *seed ^= *seed >> 7;
    ///         *seed ^= *seed << 17;
    ///         writeln!(request, "{}", *seed % 6 + 1)?;
    ///         Ok(Next::Done)
    ///     }
    ///
    ///     fn child_init(&self) {
    ///         let mut bytes = [0; 8];
    ///         let random = std::fs::File::open("/dev/urandom");
    ///         if random.and_then(|mut random| random.read_exact(&mut bytes)).is_ok() {
    ///             *self.seed.borrow_mut() ^= u64::from_ne_bytes(bytes);
    ///         }
    ///     }
    /// }
    /// ```
    fn child_init(&self) {}

    /// Called when [`handle_request_timeout`](crate::Server::handle_request_timeout) has waited in
    /// vain.
    fn handle_timeout(&self) {}

    /// Called in the serve loop after each request that it took, and every
    /// [`service_interval`](crate::Server::service_interval) where one is set; never in
    /// [`handle_request`](crate::Server::handle_request). Under [`Threading`](crate::Threading) and
    /// [`ThreadPool`](crate::ThreadPool) the thread that has taken a request calls it, before it
    /// handles that, so several may at once.
    fn service_actions(&self) {}

    /// Called for an error that belongs to no request: the loop can't get requests for now, as
    /// descriptors or memory have run out, or a [`ThreadPool`](crate::ThreadPool) has no thread. It will pause, and go on; one report is made for each
    /// such time, and at most one in ten seconds. By default it writes one line to stderr.
    /// [`PreForking`](crate::PreForking) calls it for processes that could not serve, in the one that
    /// supervises them.
    /// [`handle_request`](crate::Server::handle_request) returns such an error instead.
    ///
    /// (Python ignores such errors, and retries without a pause.)
    fn get_request_failed(&self, error: &io::Error) {
        failure::complain(format_args!("no requests can be taken for now: {error}"));
    }
}
