//! Handlers behind pointers: they serve, and every hook reaches them.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socketserver::{
    Event, Failure, Handler, Next, OnPanic, Outcome, Server, Sync, TcpRequest, TcpServer,
    ThreadingUdpServer, Udp, UdpRequest, handler_fn,
};

/// Answers with the letter it was made with.
struct Letter(u8);

impl<R: Write> Handler<R> for Letter {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        request.write_all(&[self.0])?;
        Ok(Next::Done)
    }
}

#[test]
fn handlers_behind_a_box_serve() -> io::Result<()> {
    let closure = handler_fn(|conn: &mut TcpRequest| conn.write_all(b"b"));
    let handlers: [Box<dyn Handler<TcpRequest>>; 2] = [Box::new(Letter(b'a')), Box::new(closure)];
    for (handler, letter) in handlers.into_iter().zip(["a", "b"]) {
        let mut server: TcpServer<_> = Server::bind("127.0.0.1:0", handler)?;
        let mut client = TcpStream::connect(server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut said = String::new();
        client.read_to_string(&mut said)?;
        assert_eq!(said, letter);
    }
    Ok(())
}

#[test]
fn a_shared_handler_serves_two_servers_on_threads() -> io::Result<()> {
    type Shared = Arc<dyn Handler<UdpRequest> + Send + std::marker::Sync>;
    let handler: Shared = Arc::new(Letter(b'x'));
    let running = [0; 2].map(|_| {
        ThreadingUdpServer::bind("127.0.0.1:0", Arc::clone(&handler)).and_then(Server::spawn)
    });
    for running in running {
        let running = running?;
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.set_read_timeout(Some(Duration::from_secs(30)))?;
        client.send_to(b"?", running.local_addr()?)?;
        let mut said = [0; 8];
        let length = client.recv(&mut said)?;
        assert_eq!(&said[..length], b"x");
        running.stop();
        running.join()?.close()?;
    }
    Ok(())
}

/// Notes which of its hooks are called.
#[derive(Default)]
struct Noting(Mutex<Vec<&'static str>>, AtomicUsize);

impl Noting {
    fn note(&self, hook: &'static str) {
        self.0.lock().push(hook);
    }
}

impl<R> Handler<R> for Noting {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        self.note("handle");
        Err(io::Error::other("for handle_error"))
    }

    fn setup(&self, _request: &mut R) -> io::Result<()> {
        self.note("setup");
        Ok(())
    }

    fn finish(&self, _request: &mut R) -> io::Result<()> {
        self.note("finish");
        Ok(())
    }

    fn verify_request(&self, _request: &R) -> io::Result<bool> {
        self.note("verify_request");
        Ok(self.1.fetch_add(1, Ordering::SeqCst) == 0)
    }

    fn handle_error(&self, _request: &mut R, _failure: &Failure) {
        self.note("handle_error");
    }

    fn handle_timeout(&self) {
        self.note("handle_timeout");
    }

    fn service_actions(&self) {
        self.note("service_actions");
    }

    fn event(&self, _event: Event) {
        self.note("event");
    }

    fn panicked(&self) -> OnPanic {
        self.note("panicked");
        OnPanic::Stop
    }

    fn child_init(&self) {
        self.note("child_init");
    }

    fn get_request_failed(&self, _error: &io::Error) {
        self.note("get_request_failed");
    }
}

fn hooks_through<H: Handler<UdpRequest>>(handler: H) -> io::Result<()> {
    handler.get_request_failed(&io::Error::other("as if"));
    Handler::<UdpRequest>::service_actions(&handler);
    Handler::<UdpRequest>::child_init(&handler);
    assert_eq!(Handler::<UdpRequest>::panicked(&handler), OnPanic::Stop);
    let mut server = Server::new(Udp::options().bind("127.0.0.1:0")?, Sync, handler)?;
    assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
    let client = UdpSocket::bind("127.0.0.1:0")?;
    // The handler's error is known, as the strategy is Sync.
    for outcome in [Outcome::Failed, Outcome::Rejected] {
        client.send_to(b"?", server.local_addr()?)?;
        assert_eq!(server.handle_request_timeout(Duration::from_secs(30))?, outcome);
    }
    Ok(())
}

#[test]
fn pointers_pass_every_hook_on() -> io::Result<()> {
    let all = [
        "get_request_failed",
        "service_actions",
        "child_init",
        "panicked",
        "handle_timeout",
        "event",
        "verify_request",
        "setup",
        "handle",
        "finish",
        "handle_error",
        "event",
        "event",
        "verify_request",
        "event",
    ];
    let handler = Arc::new(Noting::default());
    let dynamic: Arc<dyn Handler<UdpRequest>> = handler.clone();
    hooks_through(dynamic)?;
    assert_eq!(*handler.0.lock(), all, "Arc");

    let handler = Noting::default();
    hooks_through(&handler)?;
    assert_eq!(*handler.0.lock(), all, "&");

    let handler = Noting::default();
    let boxed: Box<dyn Handler<UdpRequest> + '_> = Box::new(&handler);
    hooks_through(boxed)?;
    assert_eq!(*handler.0.lock(), all, "Box");
    Ok(())
}
