//! A process for each request, forked from one that was made for that.

mod helper;
mod message;

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process;

use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use socket2::SockRef;

use self::message::{LONGEST, Order, REPORT, Report};
use super::Concurrency;
use super::children::{self, Children, Ends, number};
use crate::drain::Closing;
use crate::handler::Handler;
use crate::in_flight::Ticket;
use crate::session::Session;
use crate::sys::{self, Caught, Exit, ForkRefused, Threads};
use crate::transport::{ForkRole, Portable, Transport};
use crate::worker::{self, Ending, Place, Worker};

/// Each request runs in a process of its own, which is not forked from this one: for processes with
/// threads, and for those with much memory. Python has nothing like it.
///
/// A process with threads can't be forked without risk (see [`ForkRefused`]), and one with much
/// memory not fast, as a fork copies its page tables. So the server, when it is *made*, forks a
/// helper, while there is one thread and little memory; later, each request is sent to the helper,
/// which forks a child for it and tells of the child's end. Whatever the process does in between,
/// its threads and its memory are none of the children's.
///
/// It is [`Server::new`](crate::Server::new) and its kin that fork, and say [`ForkRefused`] where
/// there are threads already: make the server first of all. Where the strategy is inside one of your
/// own, that has to pass [`prepare`](Concurrency::prepare) on.
///
/// # What a child is
///
/// What a child of [`Forking`](crate::Forking) is, with the same statuses, signals and descriptors,
/// but a copy of the process *as it was when the server was made*: its handler has the values of
/// then, and what the process has changed in memory since, a child does not see. Nor does it have
/// descriptors that were opened since, but for its connection.
///
/// The child makes its request anew, of the bytes and the descriptor that were sent: the transport
/// has to be [`Portable`], as the four of this crate are. A request of more than 128 KiB is refused,
/// which none but a huge packet over a Unix socket is.
///
/// # The helper
///
/// It is a child of this process, and runs none of the handler's code. Signals do not reach it, so
/// that a ^C or a SIGTERM for the whole group does not end it before the server has; when the server
/// is closed or dropped, or its process ends in whatever way, it waits for its children and ends.
/// (SIGKILL ends it at once, and its children go on.) A server without a helper can't serve: the
/// request at hand is refused with [`ForkRefused::HelperEnded`], and
/// [`serve_forever`](crate::Server::serve_forever) returns the same error.
///
/// A fork in the helper is waited for before the next request is taken, as one of `Forking` is.
///
/// Linux only: elsewhere the number of threads can't be looked at, and the server is not made.
///
/// # Examples
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::net::TcpStream;
/// use socketserver::{ForkServer, Server, Tcp};
///
/// let tcp = Tcp::options().bind("127.0.0.1:0")?;
/// let server = Server::new_fn(tcp, ForkServer::new(), |conn| {
///     write!(conn, "process {}", std::process::id())
/// })?;
/// // From here on, there may be threads.
/// let running = server.spawn()?;
///
/// let mut said = String::new();
/// TcpStream::connect(running.local_addr()?)?.read_to_string(&mut said)?;
/// assert_ne!(said, format!("process {}", std::process::id()));
/// running.close()?;
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug)]
pub struct ForkServer {
    max_children: usize,
    block_on_close: bool,
    helper: Option<Helper>,
    children: Vec<(Pid, Ticket)>,
    /// The order that is being sent, kept for its memory.
    order: Vec<u8>,
}

impl ForkServer {
    /// At most 40 children at a time, waited for at close.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_children: children::MOST,
            block_on_close: true,
            helper: None,
            children: Vec::new(),
            order: Vec::new(),
        }
    }

    /// How many children there may be at a time; see
    /// [`Forking::max_children`](crate::Forking::max_children).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn max_children(mut self, most: usize) -> io::Result<Self> {
        self.max_children = children::at_least_one(most)?;
        Ok(self)
    }

    /// Whether closing the server waits for the children; it does by default. Otherwise they go
    /// on, and the helper with them; it is a zombie from its end to that of this process.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// The process ids of the children whose end the helper has not told yet. They are children of
    /// the helper: this process can't wait for them.
    pub fn active_children(&self) -> impl Iterator<Item = u32> + '_ {
        self.children.iter().map(|(child, _)| number(*child))
    }

    /// The process id of the helper, once the server has been made.
    #[must_use]
    pub fn helper(&self) -> Option<u32> {
        self.helper.as_ref().map(|helper| number(helper.pid))
    }

    /// Forks the helper, while there is one thread. Its children make their requests, and handle
    /// them, by `child`.
    pub(super) fn fork_helper<T: Transport, H: Handler<T::Request>>(
        &mut self,
        session: &Session<T, H>,
        child: impl Fn(&Worker<H>, &T, &[u8], Option<OwnedFd>) -> i32,
    ) -> io::Result<()> {
        session.transport().check_fork(ForkRole::Handles)?;
        let (ours, theirs) = sys::parcel_pair()?;
        let mut ours = Some(ours);
        let mut theirs = Some(theirs);
        // Before the fork: this process may be gone before the helper has had its first turn.
        let mut end = sys::watch_process(Pid::this()).ok();
        let pid = session.fork(Threads::LikelyOne, Caught::now(), |worker, forked| {
            drop(ours.take());
            worker.quietly(|| session.transport().after_fork(forked));
            let socket = theirs.take();
            socket
                .map_or(children::FAILED, |socket| helper::run(session, socket, end.take(), child))
        })?;
        self.helper = ours.map(|socket| Helper { socket, pid, owner: process::id() });
        Ok(())
    }

    /// Whether it can serve here.
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.helper {
            Some(helper) if helper.is_ours() => Ok(()),
            Some(_) => Err(ForkRefused::NotOurs.into()),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a ForkServer serves in the server that it was made with: a strategy that wraps \
                 it has to pass `prepare` on",
            )),
        }
    }

    /// Gives the request in `place` to a child, as `pack` packs it. Where there is an error, the
    /// request is still there.
    pub(super) fn start<T: Transport, H: Handler<T::Request>>(
        &mut self,
        session: &Session<T, H>,
        place: &mut Place<T::Request>,
        pack: impl for<'r> FnOnce(
            &T,
            &'r T::Request,
            &mut Vec<u8>,
        ) -> io::Result<Option<BorrowedFd<'r>>>,
    ) -> io::Result<()> {
        let Some(job) = place else { return Ok(()) };
        Order::start(session.worker().session(), &mut self.order);
        let packed = worker::contain(|| pack(session.transport(), job, &mut self.order));
        let descriptor = packed.unwrap_or_else(|payload| {
            session.worker().quietly(|| drop(payload));
            Err(io::Error::other("the transport's pack panicked"))
        })?;
        if self.order.len() > LONGEST {
            return Err(too_long(self.order.len()));
        }
        let pid = self.hand_over(descriptor, |ticket, ending| session.ended(ticket, ending))?;
        // The connection is the child's now: it must not be shut down here.
        self.children.push((pid, worker::hand_over(place, Some(number(pid)))));
        Ok(())
    }

    fn way(&self) -> io::Result<&Helper> {
        self.helper.as_ref().ok_or_else(|| ForkRefused::HelperEnded.into())
    }

    /// Has the child started that `order` asks for.
    fn hand_over(
        &mut self,
        descriptor: Option<BorrowedFd<'_>>,
        mut ended: impl FnMut(Ticket, Ending),
    ) -> io::Result<Pid> {
        self.way()?.send(&self.order, descriptor)?;
        loop {
            match self.way()?.report(true)? {
                Some(Report::Started(pid)) => return Ok(pid),
                Some(Report::Refused(errno)) => return Err(io::Error::from_raw_os_error(errno)),
                Some(Report::Ended(pid, exit)) => self.remove(pid, exit, &mut ended),
                None => {}
            }
        }
    }

    fn remove(&mut self, pid: Pid, exit: Exit, mut ended: impl FnMut(Ticket, Ending)) {
        if let Some(at) = self.children.iter().position(|(child, _)| *child == pid) {
            let (_, ticket) = self.children.swap_remove(at);
            ended(ticket, children::ending_of(exit));
        }
    }
}

impl Default for ForkServer {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Portable, H: Handler<T::Request>> Concurrency<T, H> for ForkServer {
    fn prepare(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.fork_helper(session, |worker, transport, bytes, descriptor| {
            let make = || transport.unpack(bytes, descriptor);
            children::make_and_handle(worker, make, Worker::finish_unheard)
        })
    }

    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.check()?;
        children::serve(self, session, |server, place| {
            let started = server.start(session, place, T::pack);
            started.or_else(|error| {
                let over = over(&error);
                session.refuse_in(place, error);
                over
            })
        })
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        if !self.block_on_close || !self.helper.as_ref().is_some_and(Helper::is_ours) {
            closing.report(0, 0, self.children.len());
            return Ok(());
        }
        let closed = children::close::<T::Request, H>(self, closing);
        // Whatever there is to say of its children, it is reaped.
        self.helper.take().map_or(Ok(()), Helper::end).and(closed)
    }
}

impl Children for ForkServer {
    fn most(&self) -> usize {
        self.max_children
    }

    fn running(&self) -> usize {
        self.children.len()
    }

    fn reap(&mut self, mut ended: impl FnMut(Ticket, Ending)) -> io::Result<()> {
        while let Some(report) = self.way()?.report(false)? {
            if let Report::Ended(pid, exit) = report {
                self.remove(pid, exit, &mut ended);
            }
        }
        Ok(())
    }

    /// Nothing: the answer to the next order comes after all reports that there are by then.
    fn reap_some(&mut self, _ended: impl FnMut(Ticket, Ending)) -> io::Result<()> {
        Ok(())
    }

    fn ends(&mut self) -> Ends<'_> {
        let watch = self.helper.iter().map(|helper| helper.socket.as_fd()).collect();
        Ends { watch, look_after: None }
    }

    fn cut(&mut self, is_meant: impl Fn(&Ticket) -> bool) -> io::Result<()> {
        match self.children.iter().find(|(_, ticket)| is_meant(ticket)) {
            Some((pid, _)) => {
                self.way()?.send(&Order::signal(Signal::SIGTERM as i32, Some(*pid)), None)
            }
            None => Ok(()),
        }
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.way()?.send(&Order::signal(signal as i32, None), None)
    }
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("ForkServer sends requests of {LONGEST} bytes at most, and this one has {length}"),
    )
}

/// What an error by which a request could not be given to a child means for the strategy: without the
/// helper it is its end.
pub(super) fn over(error: &io::Error) -> io::Result<()> {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(ForkRefused::HelperEnded) => Err(ForkRefused::HelperEnded.into()),
        _ => Ok(()),
    }
}

/// The way to the process that children are forked from. When it is dropped, the helper is told that
/// there will be no more orders.
#[derive(Debug)]
struct Helper {
    socket: OwnedFd,
    pid: Pid,
    owner: u32,
}

impl Helper {
    /// Whether this process made it, and not one that has forked this one.
    fn is_ours(&self) -> bool {
        self.owner == process::id()
    }

    fn send(&self, order: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        sys::send_parcel(&self.socket, order, descriptor).map_err(ended)
    }

    /// The next report; where it does not `wait`, `None` if there is none.
    fn report(&self, wait: bool) -> io::Result<Option<Report>> {
        let mut bytes = [0; REPORT];
        match sys::receive_parcel(&self.socket, &mut bytes, wait) {
            Ok(parcel) if parcel.length == 0 => Err(ForkRefused::HelperEnded.into()),
            Ok(parcel) => match Report::parse(&bytes[..parcel.length]) {
                Some(report) => Ok(Some(report)),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(ended(error)),
        }
    }

    /// Waits for its end, which comes when its children have ended.
    fn end(self) -> io::Result<()> {
        let pid = self.pid;
        drop(self);
        sys::reap(Some(pid), true).map(drop)
    }
}

/// The other end is gone.
fn ended(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EPIPE | libc::ECONNRESET) => ForkRefused::HelperEnded.into(),
        _ => error,
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // To close it would not do: a process that was forked from this one may have a copy, which
        // would keep the helper waiting. And from that process, nothing is to be done.
        if self.is_ours() {
            let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
        }
    }
}
