//! A server on a thread of its own.

use std::fmt;
use std::io;
use std::panic;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use crate::concurrency::Concurrency;
use crate::control::StopHandle;
use crate::drain::Report;
use crate::handler::Handler;
use crate::server::Server;
use crate::transport::{LocalAddr, Transport};

/// A server that serves on a thread of its own; made by [`Server::spawn`].
///
/// When it goes out of scope, the server is asked to stop, and not waited for: it closes as soon
/// as it has. [`join`](Self::join) is for those who want it back, or want to know.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use socketserver::ThreadingTcpServer;
///
/// let server = ThreadingTcpServer::bind_fn("127.0.0.1:0", |conn| conn.write_all(b"hi"))?;
/// let running = server.spawn()?;
///
/// let mut said = String::new();
/// TcpStream::connect(running.local_addr()?)?.read_to_string(&mut said)?;
/// assert_eq!(said, "hi");
///
/// running.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the server is stopped when this is dropped"]
pub struct Running<T, C, H> {
    transport: Weak<T>,
    stop: StopHandle,
    thread: Option<JoinHandle<Served<T, C, H>>>,
}

/// The server, and what `serve_forever` returned.
type Served<T, C, H> = (Server<T, C, H>, io::Result<()>);

impl<T, C, H> Running<T, C, H> {
    pub(crate) fn start(mut server: Server<T, C, H>) -> io::Result<Self>
    where
        T: Transport + Send + Sync + 'static,
        H: Handler<T::Request> + Send + Sync + 'static,
        C: Concurrency<T, H> + Send + 'static,
    {
        let transport = Arc::downgrade(&server.transport);
        // From now on it counts as serving: a stop that comes before the thread does is for it.
        server.begin_session()?;
        let stop = server.stop_handle();
        let thread = thread::Builder::new().spawn(move || {
            let served = server.serve_forever();
            (server, served)
        })?;
        Ok(Self { transport, stop, thread: Some(thread) })
    }

    /// The address that the server is bound to.
    ///
    /// # Errors
    ///
    /// As [`LocalAddr::local_addr`]; `NotConnected` where the server has ended and closed.
    pub fn local_addr(&self) -> io::Result<T::Addr>
    where
        T: LocalAddr,
    {
        match self.transport.upgrade() {
            Some(transport) => transport.local_addr(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// A handle that stops the server.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Asks the server to stop, and returns; see [`StopHandle::stop`].
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Whether the thread has ended: the server does not serve any more.
    #[cfg(feature = "testing")]
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the server has stopped serving, and gives it back: to be closed, or to serve
    /// again. It does not stop it.
    ///
    /// # Errors
    ///
    /// What [`serve_forever`](Server::serve_forever) returned; the server is closed then.
    ///
    /// # Panics
    ///
    /// Where the strategy panicked; none of this crate's does.
    pub fn join(mut self) -> io::Result<Server<T, C, H>> {
        let Some(thread) = self.thread.take() else {
            unreachable!("only `join` takes the thread, and it takes `self`")
        };
        let (server, served) =
            thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload));
        served.map(|()| server)
    }
}

impl<T: Transport, C: Concurrency<T, H>, H> Running<T, C, H> {
    /// Stops the server, waits until it has, and closes it: [`stop`](Self::stop),
    /// [`join`](Self::join) and [`Server::close`] in one. Where it has been asked to stop already,
    /// this is not one more stop: it hurries nobody.
    ///
    /// # Errors
    ///
    /// What any of the three says.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn close(self) -> io::Result<Report> {
        self.stop.ask();
        self.join()?.close()
    }
}

impl<T, C, H> Drop for Running<T, C, H> {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop.ask();
        }
    }
}

impl<T, C, H> fmt::Debug for Running<T, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
