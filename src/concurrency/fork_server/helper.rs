//! The process that children are forked from.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::message::{LONGEST, Order, Report};
use crate::handler::Handler;
use crate::session::Session;
use crate::sys::{self, Caught, Parcel, Quiet, Threads};
use crate::transport::Transport;
use crate::worker::Worker;

/// The helper's whole life. It ends when the server has, and all children; returns what with. `server`
/// watches the server's process, where the system can; its children are `child`.
pub(super) fn run<T, H>(
    session: &Session<T, H>,
    socket: OwnedFd,
    server: Option<OwnedFd>,
    child: impl Fn(&Worker<H>, &T, &[u8], Option<OwnedFd>) -> i32,
) -> i32
where
    T: Transport,
    H: Handler<T::Request>,
{
    let Ok(quiet) = Quiet::new() else { return 1 };
    let mut helper = Helper {
        session,
        child,
        desk: Some(Desk { socket, quiet, server }),
        children: Vec::new(),
        // Of zeros that the system has ready: what no message fills is no memory yet.
        buffer: vec![0; LONGEST],
    };
    while helper.turn().is_some() {}
    0
}

/// How long memory is waited for.
const A_MOMENT: Duration = Duration::from_millis(5);

/// Whether it may be otherwise in a moment.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

struct Helper<'a, T, H, F> {
    session: &'a Session<T, H>,
    /// Makes a request of what was sent, and handles it. Returns what a child ends with.
    child: F,
    /// There until a child lets go of it.
    desk: Option<Desk>,
    children: Vec<Pid>,
    buffer: Vec<u8>,
}

/// What the helper works with, and no child.
struct Desk {
    socket: OwnedFd,
    quiet: Quiet,
    /// Readable when the server's process has ended. The socket need not tell: other processes that
    /// the server's has forked, the helpers of other servers among them, have copies of its other end.
    server: Option<OwnedFd>,
}

impl<T, H, F> Helper<'_, T, H, F>
where
    T: Transport,
    H: Handler<T::Request>,
    F: Fn(&Worker<H>, &T, &[u8], Option<OwnedFd>) -> i32,
{
    /// Waits for an order or the end of a child, and does what follows. `None` at the end.
    fn turn(&mut self) -> Option<()> {
        let desk = self.desk.as_ref()?;
        let entry = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // What can't be watched is looked at twice.
        let server = desk.server.as_ref().map_or(desk.socket.as_fd(), AsFd::as_fd);
        let mut fds = [desk.quiet.as_fd(), desk.socket.as_fd(), server].map(entry);
        if sys::poll(&mut fds, None).is_err() {
            return self.finish();
        }
        let [ends, orders, last] = fds.map(|fd| fd.any().unwrap_or(true));
        if ends {
            desk.quiet.drain();
            self.reap();
        }
        if orders {
            let desk = self.desk.as_ref()?;
            match sys::receive_parcel(&desk.socket, &mut self.buffer, false) {
                Ok(parcel) if parcel.length == 0 => return self.finish(),
                Ok(parcel) => self.obey(parcel),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.finish(),
            }
        } else if last {
            return self.finish();
        }
        Some(())
    }

    fn obey(&mut self, parcel: Parcel) {
        match Order::parse(&self.buffer[..parcel.length]) {
            Some(Order::Start(..)) if parcel.lost => self.tell(Report::Refused(libc::EMFILE)),
            Some(Order::Start(number, _)) => {
                let started = self.start(number, parcel.length, parcel.descriptor);
                self.tell(started);
            }
            Some(Order::Signal(signal, child)) => self.signal(signal, child),
            // Nobody but the server speaks here; it waits for an answer all the same.
            None => self.tell(Report::Refused(libc::EPROTO)),
        }
    }

    /// Forks a child for the request that the buffer holds.
    fn start(&mut self, number: u64, length: usize, descriptor: Option<OwnedFd>) -> Report {
        let (desk, buffer, body) = (&mut self.desk, &self.buffer, &self.child);
        let (worker, transport) = (self.session.worker(), self.session.transport());
        let mut descriptor = descriptor;
        let bell = worker.control().bell();
        let started = sys::fork(bell, Threads::LikelyOne, Caught::default(), |_| {
            if let Some(Desk { socket, quiet, server }) = desk.take() {
                drop((socket, server));
                quiet.end();
            }
            let Some(Order::Start(_, bytes)) = Order::parse(&buffer[..length]) else { return 1 };
            body(&worker.of_session(number), transport, bytes, descriptor.take())
        });
        match started {
            Ok(pid) => {
                self.children.push(pid);
                Report::Started(pid)
            }
            Err(error) => Report::Refused(error.raw_os_error().unwrap_or(libc::EAGAIN)),
        }
    }

    /// All children of this process are children for requests.
    fn reap(&mut self) {
        while let Ok(Some((pid, exit))) = sys::reap(None, false) {
            self.children.retain(|child| *child != pid);
            self.tell(Report::Ended(pid, exit));
        }
    }

    /// Only this process knows that the numbers are still those of its children.
    fn signal(&self, signal: i32, child: Option<Pid>) {
        if let Ok(signal) = Signal::try_from(signal) {
            let is_meant = |one: &&Pid| child.is_none_or(|child| child == **one);
            for child in self.children.iter().filter(is_meant) {
                let _ = kill(*child, signal);
            }
        }
    }

    /// A server that is gone does not hear it, and has asked for nothing any more. One that is there
    /// waits for it, and would do so for ever: it is said again where the system has no memory.
    fn tell(&self, report: Report) {
        let Some(desk) = &self.desk else { return };
        while sys::send_parcel(&desk.socket, &report.bytes(), None).is_err_and(|e| is_passing(&e)) {
            let soon = Instant::now().checked_add(A_MOMENT);
            let _ = sys::poll(&mut [], soon);
        }
    }

    /// There will be no more orders: what runs is waited for.
    fn finish(&mut self) -> Option<()> {
        while let Ok(Some(_)) = sys::reap(None, true) {}
        None
    }
}
