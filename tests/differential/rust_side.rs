//! The crate's half of the differential test, the twin of `server.py`: this test binary, started
//! again as a server, so that a forking one has a process with a single thread.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use socketserver::{
    Concurrency, Failure, FailureKind, Forking, Handler, LocalAddr, Next, Server, StopHandle, Sync,
    Tcp, ThreadPool, Threading, Transport, Udp,
};

use crate::trace::{Trace, Traced, TracedTransport, Watched};

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
    T: Transport + LocalAddr<Addr: Display> + Send + std::marker::Sync + 'static,
    T::Request: Watched + BufRead + Write + Send + 'static,
{
    println!("LISTENING {}", inner.local_addr()?);
    let transport = TracedTransport::new(inner, trace);
    match strategy {
        "sync" => run_under(transport, Sync, script),
        "threading" => run_under(transport, Threading::new(), script),
        "thread_pool" => run_under(transport, ThreadPool::new(4), script),
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
    server.close()?;
    Ok(())
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
        self.enter(request.number(), "verify_request")?;
        Ok(!self.is_told(request.number(), "reject"))
    }

    fn setup(&self, request: &mut Traced<R>) -> io::Result<()> {
        self.enter(request.number(), "setup")
    }

    fn handle(&self, request: &mut Traced<R>) -> io::Result<Next> {
        let number = request.number();
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
        self.enter(request.number(), "finish")?;
        self.fail_if_told(request.number(), "the end of finish")
    }

    fn handle_error(&self, request: &mut Traced<R>, failure: &Failure) {
        let what = match (failure.kind(), failure.panic_message(), failure.as_error()) {
            (FailureKind::PeerGone, ..) => "peer gone".into(),
            (_, Some(message), _) => message.into(),
            (_, None, error) => error.map_or_else(String::new, ToString::to_string),
        };
        self.trace.note(request.number(), &format!("handle_error({what})"));
        if let Err(error) = self.fail_if_told(request.number(), "handle_error") {
            panic!("{error}, which this hook can't return");
        }
    }

    fn service_actions(&self) {
        if self.trace.taken() == 2 {
            if let Some(stop) = self.stop.get() {
                stop.stop();
            }
        }
    }
}
