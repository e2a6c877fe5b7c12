//! The handle that posts a stop.

use std::fmt;
use std::sync::Arc;

use super::Control;

/// Asks a server to stop serving; Python's `shutdown`, which this differs from in every way that
/// its users suffer from.
///
/// A stop is a message. [`stop`](Self::stop) posts it and returns; it does not wait for the loop
/// to end, so a handler may call it, and so may a signal handler. Whoever wants to wait has the
/// return of [`serve_forever`](crate::Server::serve_forever) or
/// [`Running::join`](crate::Running::join) to wait for. The loop is woken by a descriptor and
/// sees the message at once, not at the end of a polling interval.
///
/// Handles are cheap to clone and outlive the server. A stop is never sticky: two for the same
/// session end one session, and one that comes after its session has ended ends no other. A session
/// is what one [`serve_forever`](crate::Server::serve_forever) or any number of
/// [`handle_request`](crate::Server::handle_request) calls serve until they are stopped.
///
/// | the stop comes | what it does |
/// | --- | --- |
/// | while the server serves | ends this session, whenever the handle was made; where the server's [`Drain`](crate::Drain) announces its end, the announcement begins |
/// | while the end is announced | ends the announcement, and with it the session |
/// | after the session has been ended, from a handle made before; while the server is closed | of a server with a [`Drain`](crate::Drain), what is in flight is cut off by `close` without further waiting; nothing where the server serves again instead |
/// | before a session that the handle was made for (the handle is younger than the end of the one before) | the session ends as soon as it begins |
///
/// So a program that serves, stops and serves again, and may be stopped in between too, makes a
/// handle for each session, or keeps a flag of its own beside the handle.
///
/// # Examples
///
/// ```
/// use socketserver::TcpServer;
///
/// let mut server = TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?;
/// let stop = server.stop_handle();
/// stop.stop();
/// server.serve_forever()?; // returns at once: it has been stopped already
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "shutdown")]
pub struct StopHandle {
    control: Arc<Control>,
    born: u64,
}

impl StopHandle {
    /// As [`stop`](Self::stop), but never the second one.
    pub(crate) fn ask(&self) {
        self.control.ask(self.born);
    }

    pub(crate) fn new(control: Arc<Control>) -> Self {
        let born = control.number();
        Self { control, born }
    }

    /// Asks the server to take no further request and to return from serving. What is in flight
    /// goes on; [`Server::close`](crate::Server::close) waits for it.
    ///
    /// May be called from anywhere: another thread, a handler (in a forked child too), before,
    /// during and after serving, any number of times. It is async-signal-safe where the transport
    /// waits on a descriptor, as the four of this crate do: one compare-and-swap, one `write(2)`
    /// (signal-safety(7)) with `errno` left alone, and a lock that is tried and not waited for. For
    /// a transport without one, what its waker does decides (see [`Waiter::interruptible`](crate::Waiter::interruptible)).
    pub fn stop(&self) {
        self.control.stop(self.born);
    }

    /// Whether the server has been asked to stop and will not serve again before it has: for a
    /// handler that has something lasting to do, a health check that is to fail from now on, a
    /// keep-alive that is not to be promised any more. A handler that answers
    /// [`Next::Again`](crate::Next::Again) need not look, unless it tells its peer so: where it looks
    /// when the request has come, and says "this is the last" where this is true, no peer of a server
    /// that [announces](crate::Drain::announce) its end is promised an exchange that it does not get.
    ///
    /// It is true from the stop on that begins the announcement of a [`Drain`](crate::Drain), in
    /// forked children too, and while nobody serves after the session that the handle was made for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.control.is_asked(self.born)
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").finish_non_exhaustive()
    }
}
