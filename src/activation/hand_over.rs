//! The side of the process that follows.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{fs, mem};

use nix::poll::{PollFd, PollFlags};

use super::Inherited;
use super::inherited::Passed;
use super::message::{Answer, LONGEST, READY, TAKE};
use super::offered::{Offer, Offered};
use crate::StopHandle;
use crate::sys::{self, Bell, Listener, Parcel};
use crate::transport::{Inheritable, SocketFile, UnixDatagram};

/// For so long the process that is followed is waited for, each time. It has to do nothing but what
/// it does for a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// An upgrade without a gap: this process takes over the sockets of the one that serves, and the other
/// finishes what it has and ends. Nobody who connects meanwhile is refused or lost, because the sockets
/// stay the same and listen all the time.
///
/// The two meet at a path, to which the user of the process alone has access (mode `0o600`). A program
/// does the same each time it starts:
///
/// 1. [`take`](Self::take) gets copies of the sockets, where there is somebody to follow.
/// 2. [`offer`](Self::offer) wraps the transport, for whoever comes next.
/// 3. [`ready`](Self::ready), when the server is made, has the other one end: its
///    [`serve_forever`](crate::Server::serve_forever) returns, as after a stop. Until then it serves
///    as ever, and goes on where this process fails before.
///
/// The file of a Unix socket goes with it: it is this process that removes it when it ends.
///
/// Linux alone has it, with the feature `activation`.
///
/// # Examples
///
/// ```
/// use socketserver::{HandOver, Inherited, Server, Tcp, Threading};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hand-over");
/// // An older process's sockets, or those that the service manager has passed in, or none yet.
/// let (hand_over, mut sockets) = HandOver::take(path)?;
/// if sockets.is_empty() {
///     sockets = Inherited::from_environment()?;
/// }
/// let tcp = match sockets.take_next(Tcp::from_socket)? {
///     Some(tcp) => tcp,
///     None => Tcp::options().bind("127.0.0.1:0")?,
/// };
/// let transport = hand_over.offer(tcp)?;
/// let mut server = Server::new_fn(transport, Threading::new(), |_conn| Ok(()))?;
/// hand_over.ready()?;
/// # server.stop_handle().stop();
/// // Until it is stopped, or a newer process is ready.
/// server.serve_forever()?;
/// server.close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("upgrade", "restart", "handoff", "SCM_RIGHTS"))]
pub struct HandOver {
    path: PathBuf,
    /// The way to the one that is followed.
    other: Option<net::UnixDatagram>,
    /// The files that this process will answer for, and who does.
    files: Vec<PathBuf>,
    owner: Arc<AtomicU32>,
    /// How the server is stopped here, once somebody follows.
    stop: Arc<OnceLock<StopHandle>>,
}

impl HandOver {
    /// Takes copies of the sockets of the process that offers them at `path`, in the order in which
    /// its transport has them. There are none where nobody offers any.
    ///
    /// # Errors
    ///
    /// Where somebody is there who can't be asked, does not answer in 10 seconds, or gives less than
    /// all; `PermissionDenied` where it is another user's.
    pub fn take(path: impl AsRef<Path>) -> io::Result<(Self, Inherited)> {
        let path = std::path::absolute(path)?;
        let (owner, stop) = (Arc::default(), Arc::default());
        let mut taken = Self { path, other: None, files: Vec::new(), owner, stop };
        let other = net::UnixDatagram::unbound()?;
        match other.connect(&taken.path) {
            Ok(()) => taken.other = Some(other),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                return Ok((taken, Inherited::default()));
            }
            Err(error) => return Err(taken.named(&error)),
        }
        let sockets = taken.receive().map_err(|error| taken.named(&error))?;
        Ok((taken, sockets))
    }

    fn receive(&mut self) -> io::Result<Inherited> {
        let answers = self.say(TAKE)?;
        let mut sockets = Vec::new();
        let mut buffer = vec![0; LONGEST];
        loop {
            let Parcel { length, descriptor, lost } = next(&answers, &mut buffer)?;
            if lost {
                return Err(io::Error::from_raw_os_error(nix::libc::EMFILE));
            }
            match (Answer::parse(&buffer[..length]), descriptor) {
                (Some(Answer::Socket(name, file)), Some(socket)) => {
                    let file = file.map(|path| self.adopted(path)).transpose()?;
                    sockets.push(Passed { name, socket, file });
                }
                (Some(Answer::End), _) => return Ok(sockets.into_iter().collect()),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "it did not give all")),
            }
        }
    }

    /// A file that will be this process's.
    fn adopted(&mut self, path: PathBuf) -> io::Result<SocketFile> {
        let file = SocketFile::of_nobody(&path, Arc::clone(&self.owner))?;
        self.files.push(path);
        Ok(file)
    }

    /// Says something to the other one; what it answers comes to the descriptor.
    fn say(&self, what: &[u8]) -> io::Result<OwnedFd> {
        let (ours, theirs) = sys::parcel_pair()?;
        if let Some(other) = &self.other {
            other.set_write_timeout(Some(PATIENCE))?;
            sys::send_parcel(other, what, Some(theirs.as_fd()))?;
        }
        Ok(ours)
    }

    /// Offers the sockets of `transport` to whoever comes next, from [`ready`](Self::ready) on.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where another process offers its sockets at the path, and has not been followed.
    /// As [`Beside::new`](crate::Beside::new), and as binding a Unix socket.
    pub fn offer<T: Inheritable + AsFd>(&self, transport: T) -> io::Result<Offered<T>> {
        let socket = UnixDatagram::options().mode(0o600).claim_stale(true).bind(self.bound_to())?;
        // The same file, which will have been moved.
        let owner = Arc::new(AtomicU32::new(process::id()));
        let file = SocketFile::of_nobody(&self.bound_to(), owner)?.moved_to(&self.path);
        let (over, stop) = (Bell::new()?, Arc::clone(&self.stop));
        let offer = Offer { file, socket: Listener::new(socket), over, stop };
        Offered::new(transport, offer)
    }

    /// Where the offer is before it is in its place, which another process has for now.
    fn bound_to(&self) -> PathBuf {
        if self.other.is_none() {
            return self.path.clone();
        }
        let mut path = OsString::from(&self.path);
        path.push(format!(".{}", process::id()));
        path.into()
    }

    /// Has whoever follows this process stop the server here by `stop`, so that its end is announced
    /// as its [`Drain`](crate::Drain) says: who is connected may go on for so long, and
    /// [`is_stopping`](StopHandle::is_stopping) is true, while everybody who comes is the other's.
    /// A connection that lasts longer than one exchange needs that to end well: without it there is
    /// no further exchange once `serve_forever` has returned, whatever the peer has been told.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use socketserver::{Drain, HandOver, Server, Tcp, Threading};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("hand-over");
    /// # let (hand_over, _) = HandOver::take(path)?;
    /// let transport = hand_over.offer(Tcp::options().bind("127.0.0.1:0")?)?;
    /// let mut server = Server::new_fn(transport, Threading::new(), |_conn| Ok(()))?
    ///     .drain(Drain::new().announce(Duration::from_secs(2)));
    /// hand_over.with_stop(server.stop_handle()).ready()?;
    /// # server.stop_handle().stop();
    /// server.serve_forever()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn with_stop(self, stop: StopHandle) -> Self {
        // The first is as good as any other of the same server.
        let _ = self.stop.set(stop);
        self
    }

    /// Says that this process can serve. The one that is followed takes no further request when this
    /// returns, and finishes those that it has; the files of its sockets are this one's, and so is the
    /// path where they have met. Does nothing where nobody is followed.
    ///
    /// # Errors
    ///
    /// `TimedOut` where the other does not answer in 10 seconds: it may still serve, beside this one,
    /// and answers for the files. `NotFound` where it has been stopped meanwhile, and has removed the
    /// file of a socket, so that nobody can connect to that any more.
    pub fn ready(mut self) -> io::Result<()> {
        if self.other.is_none() {
            return Ok(());
        }
        match self.say(READY).and_then(|answers| next(&answers, &mut [0])) {
            // It closes the way when it has heard. So does its end.
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(self.named(&error)),
        }
        self.owner.store(process::id(), SeqCst);
        let offer = self.bound_to();
        if offer.exists() {
            fs::rename(offer, &self.path)?;
        }
        for file in mem::take(&mut self.files) {
            file.symlink_metadata().map_err(|error| {
                let what = format!("{}: {error}; it has been removed meanwhile", file.display());
                io::Error::new(error.kind(), what)
            })?;
        }
        Ok(())
    }

    fn named(&self, error: &io::Error) -> io::Error {
        let what =
            format!("the process that offers its sockets at {}: {error}", self.path.display());
        io::Error::new(error.kind(), what)
    }
}

/// Waits for the next parcel.
fn next(answers: &OwnedFd, buffer: &mut [u8]) -> io::Result<Parcel> {
    let until = Instant::now() + PATIENCE;
    loop {
        match sys::receive_parcel(answers, buffer, false) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            received => return received,
        }
        if Instant::now() >= until {
            return Err(io::Error::new(ErrorKind::TimedOut, "it does not answer"));
        }
        sys::poll(&mut [PollFd::new(answers.as_fd(), PollFlags::POLLIN)], Some(until))?;
    }
}

/// The other process has ended.
fn is_gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotConnected)
}
