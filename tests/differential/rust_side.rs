//! The crate's half of the differential test, the twin of `server.py`: this test binary, started
//! again as a server, so that a forking one has a process with a single thread.
#![expect(clippy::expect_used, reason = "a server that can't be watched has to fail")]

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use socketserver::{
    Concurrency, Failure, FailureKind, ForkedChild, Forking, Handler, LocalAddr, Next, Request,
    Server, StopHandle, Sync, Tcp, TcpRequest, Threading, Transport, Udp, UdpRequest, Waiter,
};

/// Serves two requests as the arguments say, which are those of `server.py`.
pub fn serve(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [transport, strategy, directives, trace] = arguments else {
        return Err(format!("four arguments are needed, not {arguments:?}").into());
    };
    let trace = Arc::new(Trace::open(Path::new(trace))?);
    let directives: Vec<_> = directives.split(',').map(String::from).collect();
    let buffer = if directives.iter().any(|told| told == "buffered") { 4096 } else { 0 };
    let script = Script { directives, trace: Arc::clone(&trace), stop: OnceLock::new() };
    match transport.as_str() {
        "tcp" => run(Tcp::options().wbufsize(buffer).bind("127.0.0.1:0")?, strategy, script, trace),
        "udp" => run(Udp::options().bind("127.0.0.1:0")?, strategy, script, trace),
        other => Err(format!("no transport is named {other}").into()),
    }
}

fn run<T>(inner: T, strategy: &str, script: Script, trace: Arc<Trace>) -> Result<(), Box<dyn Error>>
where
    T: Transport + LocalAddr<Addr: std::fmt::Display>,
    T::Request: Watched + BufRead + Write + Send + 'static,
{
    println!("LISTENING {}", inner.local_addr()?);
    let transport = TracedTransport { inner, trace };
    match strategy {
        "sync" => run_under(transport, Sync, script),
        "threading" => run_under(transport, Threading::new(), script),
        "forking" => run_under(transport, Forking::new(), script),
        other => Err(format!("no strategy is named {other}").into()),
    }
}

fn run_under<T, C>(transport: T, concurrency: C, script: Script) -> Result<(), Box<dyn Error>>
where
    T: Transport,
    Script: Handler<T::Request>,
    C: Concurrency<T, Script>,
{
    let trace = Arc::clone(&script.trace);
    let mut server = Server::new(transport, concurrency, script)?;
    let _ = server.handler().stop.set(server.stop_handle());
    // The peers connect and say what they have to say before anything is served.
    io::stdin().read_line(&mut String::new())?;
    let how = match server.serve_forever() {
        Ok(()) => "returned".into(),
        Err(error) => format!("failed: {error}"),
    };
    trace.note(0, &how);
    Ok(server.close()?)
}

/// Where the hooks are written down.
struct Trace {
    file: File,
    loop_at: (u32, ThreadId),
    taken: AtomicUsize,
}

impl Trace {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, loop_at: here(), taken: AtomicUsize::new(0) })
    }

    /// One write(2) for the line, so that those of forked children land whole.
    fn note(&self, number: usize, hook: &str) {
        let place = if here() == self.loop_at { "loop" } else { "worker" };
        let line = format!("{number} {place} {hook}\n");
        (&self.file).write_all(line.as_bytes()).expect("the trace can be written");
    }
}

fn here() -> (u32, ThreadId) {
    (process::id(), thread::current().id())
}

/// A transport that notes what it gets.
struct TracedTransport<T> {
    inner: T,
    trace: Arc<Trace>,
}

impl<T: Transport<Request: Watched>> Transport for TracedTransport<T> {
    type Request = Traced<T::Request>;

    fn get_request(&self) -> io::Result<Self::Request> {
        let inner = self.inner.get_request()?;
        let number = self.trace.taken.fetch_add(1, Ordering::SeqCst) + 1;
        self.trace.note(number, "get_request");
        Ok(Traced { inner, number, trace: Arc::clone(&self.trace) })
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.inner.wait(waiter)
    }

    fn server_close(self) -> io::Result<()> {
        self.inner.server_close()
    }

    fn after_fork(&self, child: &ForkedChild) {
        self.inner.after_fork(child);
    }
}

/// A request whose end can be seen.
trait Watched: Request {
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
struct Traced<R> {
    inner: R,
    number: usize,
    trace: Arc<Trace>,
}

impl<R: Watched> Traced<R> {
    /// A request closes itself inside its two last methods: what is noted is that it did.
    fn close(self, how: fn(R)) {
        let socket = self.inner.socket();
        how(self.inner);
        let is_open = socket.is_some_and(|(entry, socket)| {
            // Another request's socket may have the number by now.
            fs::read_link(entry).is_ok_and(|now| now == socket)
        });
        self.trace.note(self.number, if is_open { "left open" } else { "close_request" });
    }
}

impl<R: Watched> Request for Traced<R> {
    fn establish(&mut self) -> io::Result<()> {
        self.inner.establish()
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.inner.deliver()
    }

    fn shutdown_request(self) {
        self.trace.note(self.number, "shutdown_request");
        self.close(R::shutdown_request);
    }

    fn close_request(self) {
        self.close(R::close_request);
    }
}

impl<R: Read> Read for Traced<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes)
    }
}

impl<R: BufRead> BufRead for Traced<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl<R: Write> Write for Traced<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The handler.
struct Script {
    directives: Vec<String>,
    trace: Arc<Trace>,
    stop: OnceLock<StopHandle>,
}

impl Script {
    fn is_told(&self, number: usize, directive: &str) -> bool {
        number == 1 && self.directives.iter().any(|told| told == directive)
    }

    fn enter(&self, number: usize, hook: &str) -> io::Result<()> {
        self.trace.note(number, hook);
        self.fail_if_told(number, hook)
    }

    fn fail_if_told(&self, number: usize, place: &str) -> io::Result<()> {
        if self.is_told(number, &format!("{place}:error")) {
            return Err(io::Error::other(format!("error in {place}")));
        }
        assert!(!self.is_told(number, &format!("{place}:exit")), "exit in {place}");
        Ok(())
    }
}

impl<R: BufRead + Write> Handler<Traced<R>> for Script {
    fn verify_request(&self, request: &Traced<R>) -> io::Result<bool> {
        self.enter(request.number, "verify_request")?;
        Ok(!self.is_told(request.number, "reject"))
    }

    fn setup(&self, request: &mut Traced<R>) -> io::Result<()> {
        self.enter(request.number, "setup")
    }

    fn handle(&self, request: &mut Traced<R>) -> io::Result<Next> {
        let number = request.number;
        self.trace.note(number, "handle");
        let mut line = Vec::new();
        if !self.is_told(number, "deaf") {
            request.read_until(b'\n', &mut line)?;
        }
        if !self.is_told(number, "mute") {
            request.write_all(&[b"you said ", line.as_slice()].concat())?;
        }
        self.fail_if_told(number, "handle")?;
        Ok(Next::Done)
    }

    fn finish(&self, request: &mut Traced<R>) -> io::Result<()> {
        self.enter(request.number, "finish")?;
        self.fail_if_told(request.number, "the end of finish")
    }

    fn handle_error(&self, request: &Traced<R>, failure: &Failure) {
        let what = match (failure.kind(), failure.panic_message(), failure.as_error()) {
            (FailureKind::PeerGone, ..) => "peer gone".into(),
            (_, Some(message), _) => message.into(),
            (_, None, error) => error.map_or_else(String::new, ToString::to_string),
        };
        self.trace.note(request.number, &format!("handle_error({what})"));
        if let Err(error) = self.fail_if_told(request.number, "handle_error") {
            panic!("{error}, which this hook can't return");
        }
    }

    fn service_actions(&self) {
        if self.trace.taken.load(Ordering::SeqCst) == 2 {
            if let Some(stop) = self.stop.get() {
                stop.stop();
            }
        }
    }
}
