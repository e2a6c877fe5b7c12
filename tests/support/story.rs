//! One request's story: a script says what goes wrong and where, and the trace says which hooks of
//! the handler and the request were called, in which order.

use std::error::Error;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socketserver::{
    Concurrency, Failure, FailureKind, ForkedChild, Handler, LocalAddr, Next, Outcome, Portable,
    Request, Resumable, Server, Tcp, TcpRequest, Transport, Waiter,
};

use super::net::{self, Reach};
use super::trace::Trace;

/// A transport, TCP where nothing else is said, whose requests note how they are closed.
#[derive(Debug)]
pub struct Traced<T = Tcp> {
    pub inner: T,
    pub trace: Trace,
}

impl<T: Reach> Traced<T> {
    pub fn over(trace: &Trace) -> io::Result<Self> {
        // Nothing that is opened here is a file.
        Ok(Self { inner: T::open("".as_ref())?, trace: trace.clone() })
    }
}

impl Traced {
    pub fn new(trace: &Trace) -> io::Result<Self> {
        Self::over(trace)
    }
}

impl<T: Transport> Transport for Traced<T> {
    type Request = TracedRequest<T::Request>;

    fn get_request(&self) -> io::Result<Option<Self::Request>> {
        let request = self.inner.get_request()?;
        Ok(request.map(|request| TracedRequest { request, trace: self.trace.clone() }))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.trace.note("wait");
        self.inner.wait(waiter)
    }

    fn server_close(self) -> io::Result<()> {
        self.trace.note("server_close");
        self.inner.server_close()
    }

    fn after_fork(&self, child: &ForkedChild<'_>) {
        self.inner.after_fork(child);
    }
}

impl Portable for Traced {
    fn pack<'r>(
        &self,
        traced: &'r TracedRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.inner.pack(&traced.request, bytes)
    }

    fn unpack(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<TracedRequest> {
        let request = self.inner.unpack(bytes, descriptor)?;
        Ok(TracedRequest { request, trace: self.trace.clone() })
    }
}

impl Resumable for Traced {
    fn suspend<'r>(
        &self,
        traced: &'r TracedRequest,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Option<BorrowedFd<'r>>> {
        self.inner.suspend(&traced.request, bytes)
    }

    fn resume(&self, bytes: &[u8], descriptor: Option<OwnedFd>) -> io::Result<TracedRequest> {
        let request = self.inner.resume(bytes, descriptor)?;
        Ok(TracedRequest { request, trace: self.trace.clone() })
    }
}

impl<T: LocalAddr> LocalAddr for Traced<T> {
    type Addr = T::Addr;

    fn local_addr(&self) -> io::Result<T::Addr> {
        self.inner.local_addr()
    }
}

impl AsFd for Traced {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// A connection that notes how it is closed.
#[derive(Debug)]
pub struct TracedRequest<R = TcpRequest> {
    pub request: R,
    trace: Trace,
}

impl<R: Request> Request for TracedRequest<R> {
    fn establish(&mut self) -> io::Result<()> {
        self.request.establish()
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.request.deliver()
    }

    fn classify(&self, error: &io::Error) -> FailureKind {
        self.request.classify(error)
    }

    fn shutdown_request(&mut self) {
        self.trace.note("shutdown_request");
        self.request.shutdown_request();
    }

    fn close_request(&mut self) {
        self.trace.note("close_request");
        self.request.close_request();
    }
}

impl<R: BufRead> BufRead for TracedRequest<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.request.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.request.consume(amount);
    }
}

impl<R: Read> Read for TracedRequest<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.request.read(bytes)
    }
}

/// What happens at a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Error,
    Panic,
    /// For `verify_request` alone.
    Reject,
}

/// A handler that notes every hook, and lets an event happen at some.
#[derive(Debug)]
pub struct Script {
    pub events: &'static [(&'static str, Event)],
    pub trace: Trace,
}

impl Script {
    fn at(&self, hook: &str) -> io::Result<bool> {
        self.trace.note(hook);
        self.happens(hook)
    }

    fn happens(&self, hook: &str) -> io::Result<bool> {
        match self.events.iter().find(|(at, _)| *at == hook) {
            Some((_, Event::Error)) => Err(io::Error::other("as the script says")),
            Some((_, Event::Panic)) => panic!("as the script says"),
            Some((_, Event::Reject)) => Ok(false),
            None => Ok(true),
        }
    }
}

impl<R> Handler<R> for Script {
    fn verify_request(&self, _request: &R) -> io::Result<bool> {
        self.at("verify_request")
    }

    fn setup(&self, _request: &mut R) -> io::Result<()> {
        self.at("setup").map(drop)
    }

    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        self.at("handle").map(|_| Next::Done)
    }

    fn finish(&self, _request: &mut R) -> io::Result<()> {
        self.at("finish").map(drop)
    }

    fn handle_error(&self, _request: &mut R, failure: &Failure) {
        let kind = match failure.kind() {
            FailureKind::Panic => "handle_error(panic)",
            FailureKind::Error => "handle_error(error)",
            FailureKind::NotStarted => "handle_error(not started)",
            _ => "handle_error(peer)",
        };
        self.trace.note(kind);
        // An error of this hook has nowhere to go: only its panic is a case.
        if self.happens("handle_error").is_err() {
            panic!("as the script says");
        }
    }

    fn handle_timeout(&self) {
        self.trace.note("handle_timeout");
    }

    fn service_actions(&self) {
        self.trace.note("service_actions");
    }
}

/// What is expected of a script, by CPython's order where that is no defect.
pub type Chapter = (&'static [(&'static str, Event)], &'static str);

const SHUT: &str = "shutdown_request";

/// The table of the documentation of `Handler`, as scripts: D7, D10, D11, D12.
pub const CHAPTERS: &[Chapter] = &[
    (&[], "verify_request setup handle finish"),
    (&[("verify_request", Event::Reject)], "verify_request"),
    (&[("verify_request", Event::Error)], "verify_request handle_error(error)"),
    (&[("verify_request", Event::Panic)], "verify_request handle_error(panic)"),
    (&[("setup", Event::Error)], "verify_request setup handle_error(error)"),
    (&[("setup", Event::Panic)], "verify_request setup handle_error(panic)"),
    (&[("handle", Event::Error)], "verify_request setup handle finish handle_error(error)"),
    (&[("handle", Event::Panic)], "verify_request setup handle finish handle_error(panic)"),
    (&[("finish", Event::Error)], "verify_request setup handle finish handle_error(error)"),
    (&[("finish", Event::Panic)], "verify_request setup handle finish handle_error(panic)"),
    (
        &[("handle", Event::Panic), ("finish", Event::Error)],
        "verify_request setup handle finish handle_error(panic)",
    ),
    (
        &[("handle", Event::Error), ("handle_error", Event::Panic)],
        "verify_request setup handle finish handle_error(error)",
    ),
];

/// Plays every chapter under a strategy: one request each, taken by `handle_request`; the hooks
/// have to be those expected, the request shut down once, and the peer has to see its end.
///
/// `in_child` tells where a request's hooks run after `verify_request`, and `inline` whether they
/// have run when `handle_request` returns.
pub fn play<C>(strategy: impl Fn() -> C, in_child: bool, inline: bool) -> Result<(), Box<dyn Error>>
where
    C: Concurrency<Traced, Script>,
{
    play_over(strategy, in_child, inline)
}

/// The same over a transport of connections.
pub fn play_over<T, C>(
    strategy: impl Fn() -> C,
    in_child: bool,
    inline: bool,
) -> Result<(), Box<dyn Error>>
where
    T: Reach<Client: Read>,
    C: Concurrency<Traced<T>, Script>,
{
    for (events, hooks) in CHAPTERS {
        let trace = Trace::new()?;
        let script = Script { events, trace: trace.clone() };
        let mut server = Server::new(Traced::over(&trace)?, strategy(), script)?;
        let client = T::send(&server.local_addr()?, "".as_ref(), b"")?;

        let outcome = server.handle_request()?;
        server.close()?;

        assert!(net::is_closed(client)?, "{events:?}: the connection is still open");
        let at_verify = events.iter().find(|(hook, _)| *hook == "verify_request");
        let wanted = match at_verify {
            None if inline && !events.is_empty() => Outcome::Failed,
            None => Outcome::Handled,
            Some((_, Event::Reject)) => Outcome::Rejected,
            Some(_) => Outcome::Failed,
        };
        assert_eq!(outcome, wanted, "{events:?}");

        let mut seen: Vec<String> = trace.words()?;
        seen.retain(|word| word != "wait" && word != "server_close");
        if in_child && at_verify.is_none() {
            // The parent closes its copy, whenever it comes to it.
            assert_eq!(closings(&trace.here()?), ["close_request"], "{events:?}");
            assert_eq!(closings(&trace.in_children()?), [SHUT], "{events:?}");
            seen.retain(|word| word != "close_request");
        }
        assert_eq!(seen.join(" "), format!("{hooks} {SHUT}"), "{events:?}");
    }
    Ok(())
}

fn closings(words: &[String]) -> Vec<&str> {
    let closing = |word: &&str| [SHUT, "close_request"].contains(word);
    words.iter().map(String::as_str).filter(closing).collect()
}
