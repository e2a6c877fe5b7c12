//! A transport and its requests that write down what the server does with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use socketserver::{FailureKind, ForkedChild, Request, TcpRequest, Transport, UdpRequest, Waiter};

/// Where the hooks are written down.
pub struct Trace {
    file: File,
    loop_at: (u32, ThreadId),
    taken: AtomicUsize,
    /// The requests that their worker has begun with.
    begun: Mutex<Vec<usize>>,
}

impl Trace {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, loop_at: here(), taken: AtomicUsize::new(0), begun: Mutex::default() })
    }

    /// One write(2) for the line, so that those of forked children land whole.
    ///
    /// Under `Threading` the thread that takes a request also handles it: what it does before that
    /// is the loop's part.
    pub fn note(&self, number: usize, hook: &str) {
        let in_loop = here() == self.loop_at || !self.begun().contains(&number);
        let place = if in_loop { "loop" } else { "worker" };
        let line = format!("{number} {place} {hook}\n");
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            panic!("the trace can't be written: {error}");
        }
    }

    fn begun(&self) -> MutexGuard<'_, Vec<usize>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests there have been.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

fn here() -> (u32, ThreadId) {
    (process::id(), thread::current().id())
}

/// A transport that notes what it gets.
pub struct TracedTransport<T> {
    inner: T,
    trace: Arc<Trace>,
}

impl<T> TracedTransport<T> {
    pub fn new(inner: T, trace: Arc<Trace>) -> Self {
        Self { inner, trace }
    }
}

impl<T: Transport<Request: Watched>> Transport for TracedTransport<T> {
    type Request = Traced<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let Some(inner) = self.inner.get_request()? else { return Ok(None) };
        let number = self.trace.taken.fetch_add(1, Ordering::SeqCst) + 1;
        self.trace.note(number, "get_request");
        Ok(Some(Traced { inner: Some(inner), number, trace: Arc::clone(&self.trace) }))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.inner.wait(waiter)
    }

    fn is_level_triggered(&self) -> bool {
        self.inner.is_level_triggered()
    }

    fn server_close(self) -> io::Result<()> {
        self.inner.server_close()
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.inner.after_fork(child);
    }
}

/// A request whose end can be seen.
pub trait Watched: Request {
    /// The socket that has to be closed with the request: where the system lists it, and what it
    /// is called there.
    fn socket(&self) -> Option<(PathBuf, PathBuf)>;
}

impl Watched for TcpRequest {
    fn socket(&self) -> Option<(PathBuf, PathBuf)> {
        let entry = PathBuf::from(format!("/proc/self/fd/{}", self.as_fd().as_raw_fd()));
        let socket = fs::read_link(&entry).ok()?;
        Some((entry, socket))
    }
}

impl Watched for UdpRequest {
    /// None of its own.
    fn socket(&self) -> Option<(PathBuf, PathBuf)> {
        None
    }
}

/// A request of that transport.
pub struct Traced<R> {
    /// Until it is closed.
    inner: Option<R>,
    number: usize,
    trace: Arc<Trace>,
}

impl<R> Traced<R> {
    /// Which request it is, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    fn inner(&mut self) -> &mut R {
        let Some(inner) = &mut self.inner else { unreachable!("it has not been closed") };
        inner
    }
}

impl<R: Watched> Traced<R> {
    /// A request is closed after one of its two last methods: what is noted is that it was.
    fn close(&mut self, how: fn(&mut R)) {
        let Some(mut inner) = self.inner.take() else { return };
        let socket = inner.socket();
        how(&mut inner);
        drop(inner);
        let is_open = socket.is_some_and(|(entry, socket)| {
            // Another request's socket may have the number by now.
            fs::read_link(entry).is_ok_and(|now| now == socket)
        });
        self.trace.note(self.number, if is_open { "left open" } else { "close_request" });
    }
}

impl<R: Watched> Request for Traced<R> {
    fn establish(&mut self) -> io::Result<()> {
        self.trace.begun().push(self.number);
        self.inner().establish()
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.inner().deliver()
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        self.inner.as_ref().map_or(FailureKind::Error, |inner| inner.classify(error))
    }

    fn shutdown_request(&mut self) {
        self.trace.note(self.number, "shutdown_request");
        self.close(R::shutdown_request);
    }

    fn close_request(&mut self) {
        self.close(R::close_request);
    }
}

impl<R: Read> Read for Traced<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner().read(bytes)
    }
}

impl<R: BufRead> BufRead for Traced<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner().fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner().consume(amount);
    }
}

impl<R: Write> Write for Traced<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}
