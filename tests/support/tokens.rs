//! Requests without a peer, each of which goes as it is told to.

use std::collections::VecDeque;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use socketserver::{Event, Failure, Handler, Next, OnPanic, Request, Stage, Transport, Waiter};

/// How a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Well,
    Rejected,
    Fails(Stage),
    Panics(Stage),
    /// `handle` panics with a payload that panics when it is dropped.
    PanicsTwice,
    /// `handle` fails, and then `finish` panics.
    FailsAndPanics,
    /// `handle` fails, and then `handle_error` panics.
    PanicsInHandleError,
    PanicsInShutdown,
    PanicsInDrop,
    PanicsInConnection,
}

#[derive(Debug)]
pub struct Token(pub Way);

/// Panics when it is dropped, and the payload of that panic too.
struct Bomb(usize);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic::panic_any(Self(self.0 - 1));
        }
    }
}

impl Token {
    fn act(&self, stage: Stage) -> io::Result<()> {
        match self.0 {
            Way::Fails(at) if at == stage => Err(io::Error::other("scripted")),
            Way::FailsAndPanics | Way::PanicsInHandleError if stage == Stage::Handle => {
                Err(io::Error::other("scripted"))
            }
            Way::Panics(at) if at == stage => panic!("scripted"),
            Way::FailsAndPanics if stage == Stage::Finish => panic!("scripted"),
            Way::PanicsTwice if stage == Stage::Handle => panic::panic_any(Bomb(2)),
            _ => Ok(()),
        }
    }
}

impl Request for Token {
    fn establish(&mut self) -> io::Result<()> {
        self.act(Stage::Establish)
    }

    fn deliver(&mut self) -> io::Result<()> {
        self.act(Stage::Deliver)
    }

    fn connection(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        assert!(self.0 != Way::PanicsInConnection, "scripted");
        None
    }

    fn shutdown_request(&mut self) {
        assert!(self.0 != Way::PanicsInShutdown, "scripted");
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        assert!(self.0 != Way::PanicsInDrop, "scripted");
    }
}

/// The transport that has these requests, and then no more.
pub struct Tokens(Mutex<VecDeque<Way>>);

impl Tokens {
    pub fn new(ways: impl IntoIterator<Item = Way>) -> Self {
        Self(Mutex::new(ways.into_iter().collect()))
    }
}

impl Transport for Tokens {
    type Request = Token;

    fn get_request(&self) -> io::Result<Option<Token>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().map(Token))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

/// What its hooks have been told.
#[derive(Debug, Default)]
pub struct Told {
    pub handled: AtomicUsize,
    pub failures: AtomicUsize,
    pub panics: AtomicUsize,
    pub events: Mutex<Vec<Event>>,
}

impl Told {
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The handler of such requests.
#[derive(Debug, Clone, Default)]
pub struct Actor(pub Arc<Told>);

impl Handler<Token> for Actor {
    fn handle(&self, token: &mut Token) -> io::Result<Next> {
        token.act(Stage::Handle)?;
        self.0.handled.fetch_add(1, SeqCst);
        Ok(Next::Done)
    }

    fn setup(&self, token: &mut Token) -> io::Result<()> {
        token.act(Stage::Setup)
    }

    fn finish(&self, token: &mut Token) -> io::Result<()> {
        token.act(Stage::Finish)
    }

    fn verify_request(&self, token: &Token) -> io::Result<bool> {
        token.act(Stage::Verify)?;
        Ok(token.0 != Way::Rejected)
    }

    fn handle_error(&self, token: &mut Token, _failure: &Failure) {
        self.0.failures.fetch_add(1, SeqCst);
        assert!(token.0 != Way::PanicsInHandleError, "scripted");
    }

    fn panicked(&self) -> OnPanic {
        self.0.panics.fetch_add(1, SeqCst);
        OnPanic::Contain
    }

    fn event(&self, event: Event) {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}
