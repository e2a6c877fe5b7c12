//! Processes that serve side by side.

mod member;
mod sheet;
mod staff;
mod work;
mod workers;

pub use workers::Workers;

use std::io;

use self::staff::Staff;
use super::Concurrency;
use crate::drain::Closing;
use crate::handler::Handler;
use crate::session::Session;
use crate::transport::Transport;

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
/// The process needs to have one thread whenever it forks, as for [`Forking`](crate::Forking), so call
/// `serve_forever` on that: with more, it returns [`ForkRefused`](crate::ForkRefused). Its
/// [`Workers`] are there to look at, to add and remove, and to be restarted one by one.
///
/// | strategy | good for |
/// | --- | --- |
/// | `PreForking<Sync>` | short exchanges, handlers that block a processor |
/// | `PreForking<Threading>` | connections that last, and handlers that meet in locks |
/// | `PreForking<Forking>`, `PreForking<ForkServer>` | isolation, started by several processes |
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
/// * A worker ends by `_exit(2)`, like a child of [`Forking`](crate::Forking).
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

impl<C> PreForking<C> {
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

impl<T, H, C> Concurrency<T, H> for PreForking<C>
where
    T: Transport,
    H: Handler<T::Request>,
    C: Concurrency<T, H>,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.staff.disown();
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

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.staff.disown();
        let closed = if self.block_on_close {
            self.staff.close::<T::Request, H>(closing)
        } else {
            closing.report(0, 0, self.staff.in_hand());
            Ok(())
        };
        self.strategy.close(closing).and(closed)
    }
}
