//! Panics, in every place that user's code is called from: contained, told and counted once each, and
//! made of what the handler wants; those of forked children are in `books_alone.rs`.

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};
use socketserver::{
    Concurrency, Counters, Drain, Event, Failure, FailureKind, Handler, Limits, Next, OnPanic,
    Outcome, Request, Server, Stage, StopAfterPanics, Sync, Tcp, TcpRequest, ThreadPool, Threading,
    ThreadingTcpServer, Transport, Waiter,
};
use support::net::{PATIENCE, Reach, all, connect, is_closed};
use support::tokens::{Actor, Tokens, Told, Way};
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Panics that a test asks for are no news on stderr; all others are.
fn hush_scripted_panics() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"scripted") {
                usual(info);
            }
        }));
    });
}

/// Serves such requests until there are no more; what was counted, and told.
fn serve<C>(strategy: C, ways: &[Way]) -> Result<(Counters, Arc<Told>)>
where
    C: Concurrency<Tokens, Actor> + Send + 'static,
{
    let (counters, actor) = (Counters::new()?, Actor::default());
    let server = Server::new(Tokens::new(ways.to_vec()), strategy, actor.clone())?;
    let limits = Limits::new().at_once(1);
    let mut server = server.counters(&counters).drain(Drain::new()).limits(limits)?;
    let server = without_hanging(move || server.serve_forever().map(|()| server))??;
    server.close()?;
    Ok((counters, actor.0))
}

/// A request that goes `way`, and then one that goes well: what became of the first, and how many
/// panics its handler was asked about.
fn ends(way: Way, event: Event, panics: usize, failures: usize) -> Result {
    fn check<C>(strategy: C, (way, event): (Way, Event), panics: usize, failures: usize) -> Result
    where
        C: Concurrency<Tokens, Actor> + Send + 'static,
    {
        let (counters, told) = serve(strategy, &[way, Way::Well])?;
        // A thread gives its permit back before it tells of its end.
        let mut events = told.events();
        events.sort_by_key(|event| format!("{event:?}"));
        let mut wanted = [Event::Accepted, event, Event::Accepted, Event::Finished];
        wanted.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(events, wanted, "{way:?}");
        assert_eq!(told.panics.load(SeqCst), panics, "{way:?}");
        assert_eq!(told.failures.load(SeqCst), failures, "{way:?}");
        let counted = counters.finished() + counters.failed() + counters.refused();
        assert_eq!((counters.accepted(), counted), (2, 2), "{way:?}");
        if let Event::Failed(kind) = event {
            assert_eq!(counters.failed_by(kind), 1, "{way:?}");
        }
        Ok(())
    }
    check(Sync, (way, event), panics, failures)?;
    check(ThreadPool::new(1), (way, event), panics, failures)?;
    check(Threading::new(), (way, event), panics, failures)
}

#[test]
fn a_panic_in_a_stage_is_the_requests_failure() -> Result {
    hush_scripted_panics();
    let stages = [
        Stage::Verify,
        Stage::Establish,
        Stage::Setup,
        Stage::Handle,
        Stage::Finish,
        Stage::Deliver,
    ];
    for stage in stages {
        ends(Way::Panics(stage), Event::Failed(FailureKind::Panic), 1, 1)?;
    }
    Ok(())
}

#[test]
fn a_panic_beside_the_stages_is_asked_about_and_changes_nothing() -> Result {
    hush_scripted_panics();
    ends(Way::PanicsInShutdown, Event::Finished, 1, 0)?;
    ends(Way::PanicsInDrop, Event::Finished, 1, 0)?;
    ends(Way::PanicsInConnection, Event::Finished, 1, 0)?;
    ends(Way::PanicsInHandleError, Event::Failed(FailureKind::Error), 1, 1)?;
    ends(Way::FailsAndPanics, Event::Failed(FailureKind::Error), 1, 1)
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_is_a_panic_of_its_own() -> Result {
    hush_scripted_panics();
    ends(Way::PanicsTwice, Event::Failed(FailureKind::Panic), 2, 1)
}

/// A handler whose hooks panic, each that is no request's stage.
#[derive(Default)]
struct Panicking {
    panics: AtomicUsize,
    failures: AtomicUsize,
}

impl<R: Write> Handler<R> for Panicking {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        request.write_all(b"x")?;
        Ok(Next::Done)
    }

    fn handle_error(&self, _: &mut R, _: &Failure) {
        panic!("scripted");
    }

    fn panicked(&self) -> OnPanic {
        self.panics.fetch_add(1, SeqCst);
        panic!("scripted");
    }

    fn event(&self, _: Event) {
        panic!("scripted");
    }

    fn handle_timeout(&self) {
        panic!("scripted");
    }

    fn service_actions(&self) {
        panic!("scripted");
    }

    fn get_request_failed(&self, _: &io::Error) {
        self.failures.fetch_add(1, SeqCst);
        panic!("scripted");
    }
}

#[test]
fn hooks_that_panic_stop_nobody_from_being_served() -> Result {
    hush_scripted_panics();
    fn served<C>(strategy: C) -> Result
    where
        C: Concurrency<Tcp, Panicking> + Send + 'static,
    {
        let counters = Counters::new()?;
        let tcp = Tcp::options().bind("127.0.0.1:0")?;
        let server = Server::new(tcp, strategy, Panicking::default())?;
        let server = server.counters(&counters).service_interval(Duration::from_millis(1));
        let running = server.spawn()?;
        let address = running.local_addr()?;
        for _ in 0..3 {
            assert_eq!(Tcp::ask(&address, "/".as_ref(), b"")?, b"x");
        }
        running.stop();
        let mut server = without_hanging(|| running.join())??;
        assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
        // Two events of each request, and more of other hooks.
        assert!(server.handler().panics.load(SeqCst) > 6);
        server.close()?;
        assert_eq!((counters.accepted(), counters.finished()), (3, 3));
        Ok(())
    }
    served(Sync)?;
    served(ThreadPool::new(1))?;
    served(Threading::new())
}

/// Has nothing but errors, then one request, and then no more.
struct Exhausted(AtomicUsize);

/// What a request without a peer is written to.
struct Nowhere;

impl Request for Nowhere {}

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Exhausted {
    type Request = Nowhere;

    fn get_request(&self) -> io::Result<Option<Nowhere>> {
        match self.0.fetch_add(1, SeqCst) {
            0 | 1 => Err(ErrorKind::OutOfMemory.into()),
            2 => Ok(Some(Nowhere)),
            _ => Ok(None),
        }
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

#[test]
fn a_panic_in_get_request_failed_is_contained() -> Result {
    hush_scripted_panics();
    let counters = Counters::new()?;
    let server = Server::new(Exhausted(AtomicUsize::new(0)), Sync, Panicking::default())?;
    let mut server = server.counters(&counters);
    let server = without_hanging(move || server.serve_forever().map(|()| server))??;
    assert_eq!(server.handler().failures.load(SeqCst), 1, "one report for both");
    assert_eq!((counters.accept_errors(), counters.finished()), (2, 1));
    Ok(())
}

#[test]
fn a_server_stops_after_so_many_panics() -> Result {
    /// More than are taken while the thread of the third waits for a processor.
    const MANY: usize = 1_000_000;
    hush_scripted_panics();
    fn stops<C>(strategy: C) -> Result
    where
        C: Concurrency<Tokens, StopAfterPanics<Actor>> + Send + 'static,
    {
        let ways = [vec![Way::Panics(Stage::Handle); 3], vec![Way::Well; MANY]].concat();
        let counters = Counters::new()?;
        let handler = StopAfterPanics::new(Actor::default(), 3, PATIENCE)?;
        // One after the other, so that the third is over before the next is taken.
        let limits = Limits::new().at_once(1);
        let server = Server::new(Tokens::new(ways), strategy, handler)?;
        let mut server = server.limits(limits)?.counters(&counters);
        without_hanging(move || server.serve_forever().and_then(|()| server.close()))??;
        assert_eq!(counters.failed_by(FailureKind::Panic), 3);
        assert!(counters.accepted() < MANY as u64, "{counters}");
        Ok(())
    }
    stops(Sync)?;
    stops(ThreadPool::new(4))?;
    stops(Threading::new())
}

#[test]
fn fewer_panics_are_no_reason_to_stop() -> Result {
    hush_scripted_panics();
    let ways = [Way::Panics(Stage::Handle), Way::Panics(Stage::Handle), Way::Well];
    let handler = StopAfterPanics::new(Actor::default(), 3, PATIENCE)?;
    let counters = Counters::new()?;
    let mut server = Server::new(Tokens::new(ways), Sync, handler)?.counters(&counters);
    without_hanging(move || server.serve_forever())??;
    assert_eq!((counters.finished(), counters.failed()), (1, 2));
    Ok(())
}

#[test]
fn no_panic_at_all_is_no_number_of_panics() {
    let error = StopAfterPanics::new((), 0, PATIENCE).err().map(|error| error.kind());
    assert_eq!(error, Some(ErrorKind::InvalidInput));
}

/// Panics with the connection open, and says nothing more.
struct Silent;

impl Handler<TcpRequest> for Silent {
    fn handle(&self, _: &mut TcpRequest) -> io::Result<Next> {
        panic!("scripted");
    }

    fn panicked(&self) -> OnPanic {
        OnPanic::Stop
    }
}

#[test]
fn a_panic_that_stops_a_server_ends_its_connection_first() -> Result {
    hush_scripted_panics();
    let running = ThreadingTcpServer::bind("127.0.0.1:0", Silent)?.spawn()?;
    let client = connect(running.local_addr()?)?;
    assert!(is_closed(client)?);
    // By itself: nobody has asked it to stop.
    without_hanging(move || running.join())??;
    Ok(())
}

/// Says a line, or panics at "p"; each panic is a reason to stop.
struct Fragile(Sender<()>);

impl Handler<TcpRequest> for Fragile {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        self.0.send(()).map_err(io::Error::other)?;
        let mut byte = [0];
        conn.read_exact(&mut byte)?;
        assert!(byte != *b"p", "scripted");
        conn.write_all(&byte).map(Next::from)
    }

    fn panicked(&self) -> OnPanic {
        OnPanic::Stop
    }
}

#[test]
fn a_second_panic_that_stops_a_server_cuts_nobody_off() -> Result {
    hush_scripted_panics();
    let (tell, called) = unbounded();
    let server = ThreadingTcpServer::bind("127.0.0.1:0", Fragile(tell))?.drain(Drain::new());
    let running = server.spawn()?;
    let address = running.local_addr()?;
    let client = || -> Result<TcpStream> {
        let client = connect(address)?;
        called.recv_timeout(PATIENCE)?;
        Ok(client)
    };
    let (mut first, mut second, mut third) = (client()?, client()?, client()?);
    first.write_all(b"p")?;
    assert!(is_closed(first)?);
    let server = without_hanging(move || running.join())??;
    let (tell, closed) = bounded(1);
    thread::spawn(move || tell.send(server.close()));
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    second.write_all(b"p")?;
    assert!(is_closed(second)?);
    third.write_all(b"x")?;
    assert_eq!(all(&third)?, b"x");
    assert_eq!(closed.recv_timeout(PATIENCE)??.cut, 0);
    Ok(())
}
