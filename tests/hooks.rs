//! Pointers to a handler pass every hook on.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socketserver::{
    Event, Failure, Handler, Next, OnPanic, Outcome, Server, Sync, Udp, UdpRequest,
};

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
