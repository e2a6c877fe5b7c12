//! Permits come back however a request ends, to whoever waits for one.

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use socket2::Socket;
use socketserver::{
    Concurrency, Counters, Event, FailureKind, Handler, Limits, Next, Refusal, Server, Session,
    Stage, Sync, Tcp, TcpRequest, ThreadPool, Threading, Transport, handler_fn,
};
use support::net::{Echo, Reach, connect};
use support::processes::eventually;
use support::tokens::{Actor, Token, Tokens, Way};
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Serves requests that go in all ways, one permit for all of them: one that is lost ends it all.
fn a_permit_comes_back<C>(strategy: C) -> Result
where
    C: Concurrency<Tokens, Actor> + Send + 'static,
{
    let stages = [
        Stage::Verify,
        Stage::Establish,
        Stage::Setup,
        Stage::Handle,
        Stage::Finish,
        Stage::Deliver,
    ];
    let mut ways = vec![Way::Rejected, Way::PanicsTwice, Way::PanicsInShutdown, Way::PanicsInDrop];
    ways.extend(stages.iter().flat_map(|at| [Way::Fails(*at), Way::Panics(*at)]));
    ways.push(Way::Well);
    let counters = Counters::new()?;
    let server = Server::new(Tokens::new(ways), strategy, Actor::default())?;
    let mut server = server.limits(Limits::new().at_once(1))?.counters(&counters);
    let server = without_hanging(move || server.serve_forever().map(|()| server))??;
    server.close()?;

    assert_eq!((counters.accepted(), counters.active()), (17, 0));
    assert_eq!((counters.finished(), counters.refused_for(Refusal::Rejected)), (3, 1));
    let failed = [FailureKind::Error, FailureKind::Panic].map(|kind| counters.failed_by(kind));
    assert_eq!((failed, counters.failed()), ([6, 7], 13));
    Ok(())
}

#[test]
fn a_permit_comes_back_however_a_request_ends() -> Result {
    a_permit_comes_back(Sync)?;
    a_permit_comes_back(ThreadPool::new(4).idle_timeout(Duration::ZERO))?;
    a_permit_comes_back(Threading::new())
}

/// Drops every second job.
struct Dropping;

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Dropping {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        while let Some(job) = session.next_request()? {
            drop(job);
            let Some(job) = session.next_request()? else { break };
            session.finish_request(job);
        }
        Ok(())
    }
}

#[test]
fn a_job_that_is_dropped_is_lost_and_its_permit_is_not() -> Result {
    let counters = Counters::new()?;
    let server = Server::new(Tokens::new([Way::Well; 8]), Dropping, Actor::default())?;
    let mut server = server.limits(Limits::new().at_once(1))?.counters(&counters);
    without_hanging(move || server.serve_forever())??;

    assert_eq!((counters.finished(), counters.failed_by(FailureKind::Lost)), (4, 4));
    assert_eq!(counters.active(), 0);
    Ok(())
}

/// Looks at the counters whenever it is told something.
struct Looks(Counters);

impl Handler<Token> for Looks {
    fn handle(&self, token: &mut Token) -> io::Result<Next> {
        Actor::default().handle(token)
    }

    fn verify_request(&self, token: &Token) -> io::Result<bool> {
        Actor::default().verify_request(token)
    }

    fn event(&self, event: Event) {
        let counted = match event {
            Event::Accepted => self.0.active() == 1,
            _ => self.0.active() == 0,
        };
        if !counted {
            // As a panic would be contained.
            eprintln!("{event:?} before its counter");
            process::abort();
        }
    }
}

#[test]
fn counters_have_been_made_when_the_handler_is_told() -> Result {
    let counters = Counters::new()?;
    let ways = [Way::Well, Way::Rejected, Way::Fails(Stage::Verify), Way::Fails(Stage::Handle)];
    let mut server =
        Server::new(Tokens::new(ways), Sync, Looks(counters.clone()))?.counters(&counters);
    server.serve_forever()?;
    assert_eq!((counters.accepted(), counters.finished()), (4, 1));
    Ok(())
}

#[test]
fn a_permit_comes_back_from_a_peer_that_resets() -> Result {
    let counters = Counters::new()?;
    let server = Server::new(Tcp::options().bind("127.0.0.1:0")?, Threading::new(), Echo)?;
    let running = server.limits(Limits::new().at_once(1))?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    let rude = Socket::from(connect(address)?);
    rude.set_linger(Some(Duration::ZERO))?;
    eventually("it is in flight", || counters.active() == 1)?;
    drop(rude);

    assert_eq!(Tcp::ask(&address, "/".as_ref(), b"hello\n")?, b"hello\n");
    running.close()?;
    assert_eq!(counters.failed_by(FailureKind::PeerGone), 1);
    Ok(())
}

/// Several threads that pull.
struct Pullers(usize);

impl<T, H> Concurrency<T, H> for Pullers
where
    T: Transport + Send + std::marker::Sync + 'static,
    H: Handler<T::Request> + Send + std::marker::Sync + 'static,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let pull = |_| {
            let puller = session.puller();
            thread::spawn(move || {
                while let Some(session) = puller.session() {
                    match session.next_request() {
                        Ok(Some(job)) => drop(session.finish_request(job)),
                        _ => break,
                    }
                }
            })
        };
        let threads: Vec<_> = (0..self.0).map(pull).collect();
        while session.pause(&[], None)? {}
        threads
            .into_iter()
            .try_for_each(|thread| thread.join())
            .map_err(|_| ErrorKind::Other.into())
    }
}

#[test]
fn several_pullers_with_one_permit_miss_no_wake_up() -> Result {
    let counters = Counters::new()?;
    let inside = Arc::new(AtomicUsize::new(0));
    let handler = handler_fn(move |conn: &mut TcpRequest| {
        assert_eq!(inside.fetch_add(1, SeqCst), 0, "one at once");
        let answered = conn.write_all(b"x");
        inside.fetch_sub(1, SeqCst);
        answered
    });
    let server = Server::new(Tcp::options().bind("127.0.0.1:0")?, Pullers(3), handler)?;
    let running = server.limits(Limits::new().at_once(1))?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    let client = |_| {
        thread::spawn(move || {
            (0..300).try_for_each(|_| match Tcp::ask(&address, "/".as_ref(), b"")?.as_slice() {
                b"x" => Ok(()),
                _ => Err(io::Error::from(ErrorKind::InvalidData)),
            })
        })
    };
    let clients: Vec<_> = (0..3).map(client).collect();
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    running.stop();
    without_hanging(|| running.close())??;
    assert_eq!((counters.accepted(), counters.finished()), (900, 900));
    Ok(())
}
