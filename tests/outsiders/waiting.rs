//! Whoever waits is woken when there is a reason, and only then.

use std::io::{self, ErrorKind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded};
use socketserver::{
    Closing, Concurrency, Counters, Drain, Due, Handler, Limits, Next, Outcome, Request, Server,
    Session, StopHandle, Sync, Taken, Transport, Waiter,
};

use crate::in_time;
use crate::owning::Pool;

const SHORT: Duration = Duration::from_millis(30);

#[derive(Debug)]
struct Nothing;

impl Request for Nothing {}

/// Ignores all there is.
struct Idler;

impl Handler<Nothing> for Idler {
    fn handle(&self, _request: &mut Nothing) -> io::Result<Next> {
        Ok(Next::Done)
    }
}

/// A transport that gets what a function of the number of the try says, and counts the waits.
struct Scripted {
    get: fn(usize) -> io::Result<Option<Nothing>>,
    tries: AtomicUsize,
    waits: AtomicUsize,
}

impl Scripted {
    fn new(get: fn(usize) -> io::Result<Option<Nothing>>) -> Self {
        Self { get, tries: AtomicUsize::new(0), waits: AtomicUsize::new(0) }
    }
}

impl Transport for Scripted {
    type Request = Nothing;

    fn get_request(&self) -> io::Result<Option<Nothing>> {
        (self.get)(self.tries.fetch_add(1, SeqCst))
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.waits.fetch_add(1, SeqCst);
        waiter.pause()
    }
}

fn nothing(_: usize) -> io::Result<Option<Nothing>> {
    Err(ErrorKind::WouldBlock.into())
}

#[test]
fn nobody_is_woken_by_what_is_over() -> io::Result<()> {
    let one = |tried| if tried == 0 { Ok(Some(Nothing)) } else { nothing(tried) };
    let server = Server::new(Scripted::new(one), Sync, Idler)?;
    let mut server = server.counters(&Counters::new()?);
    let waits = |server: &Server<Scripted, _, _>| server.transport().waits.swap(0, SeqCst);

    // The end of a request is none of those who wait for the next one.
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(server.handle_request_timeout(SHORT)?, Outcome::TimedOut);
    assert_eq!(waits(&server), 1);

    // Nor is a stop that has been obeyed.
    server.stop_handle().stop();
    server.serve_forever()?;
    assert_eq!(server.handle_request_timeout(SHORT)?, Outcome::TimedOut);
    assert_eq!(waits(&server), 1);
    Ok(())
}

/// One thread waits here until it is woken, another does not wait at all, and then stops the server.
struct Uneven {
    waits: AtomicUsize,
    patient: (Sender<()>, Receiver<()>),
    stop: OnceLock<StopHandle>,
}

impl Transport for Uneven {
    type Request = Nothing;

    fn get_request(&self) -> io::Result<Option<Nothing>> {
        nothing(0)
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        let (tell, told) = &self.patient;
        let (wake, woken) = bounded(1);
        let wake = move || {
            let _ = wake.try_send(());
        };
        match self.waits.fetch_add(1, SeqCst) {
            0 => waiter.interruptible(wake, || {
                let _ = tell.send(());
                let _ = woken.recv();
            }),
            1 => {
                told.recv().map_err(io::Error::other)?;
                waiter.interruptible(wake, || ());
            }
            _ => self.stop.get().into_iter().for_each(StopHandle::stop),
        }
        Ok(())
    }
}

#[test]
fn one_whose_wait_is_over_leaves_the_wakers_of_others() -> io::Result<()> {
    let uneven = Uneven { waits: AtomicUsize::new(0), patient: bounded(1), stop: OnceLock::new() };
    let mut server = Server::new(uneven, Pool { threads: 2 }, Idler)?;
    let _ = server.transport().stop.set(server.stop_handle());
    in_time(move || server.serve_forever())?
}

/// Has no room for any request, ever.
struct Full;

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Full {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        while session.pause(&[], Some(Duration::from_millis(1)))? {}
        Ok(())
    }

    /// Looks at what is due when it has waited, and not before.
    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        closing.wait(&[])?;
        assert_eq!(closing.due(), Due::Cut);
        Ok(())
    }
}

#[test]
fn handle_request_keeps_its_deadline_where_there_is_no_room() -> io::Result<()> {
    let mut server = Server::new(Scripted::new(nothing), Full, Idler)?;
    let outcome = in_time(move || server.handle_request_timeout(SHORT))??;
    assert_eq!(outcome, Outcome::TimedOut);
    Ok(())
}

#[test]
fn a_hurry_from_before_the_end_is_heard_by_whoever_waits_for_it() -> io::Result<()> {
    let server = Server::new(Scripted::new(nothing), Full, Idler)?;
    let mut server = server.drain(Drain::new());
    let stop = server.stop_handle();
    stop.stop();
    server.serve_forever()?;
    stop.stop();
    in_time(|| server.close().map(drop))?
}

/// Keeps what it has been given at each look.
struct Looks(Vec<&'static str>);

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Looks {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        loop {
            match session.try_next()? {
                Taken::Request(_) => self.0.push("request"),
                Taken::Idle => {
                    self.0.push("idle");
                    session.wait(&[])?;
                }
                Taken::End => return Ok(()),
            }
        }
    }
}

#[test]
fn the_strategy_has_its_turn_after_a_pause_for_an_error_and_after_no_other() -> io::Result<()> {
    let transport = Scripted::new(|tried| match tried {
        0 => Err(ErrorKind::ConnectionAborted.into()),
        2 => Err(ErrorKind::OutOfMemory.into()),
        1 | 3 => Ok(Some(Nothing)),
        _ => Ok(None),
    });
    let mut server = Server::new(transport, Looks(Vec::new()), Idler)?;
    let server = in_time(move || server.serve_forever().map(|()| server))??;
    assert_eq!(server.concurrency().0, ["request", "idle", "request"]);
    assert_eq!(server.transport().waits.load(SeqCst), 0, "after the pause it asks again at once");
    Ok(())
}

#[test]
fn want_of_memory_is_for_the_caller_of_handle_request_to_wait_out() -> io::Result<()> {
    let transport = Scripted::new(|_| Err(ErrorKind::OutOfMemory.into()));
    let mut server = Server::new(transport, Sync, Idler)?;
    let outcome = in_time(move || server.handle_request_timeout(SHORT))?;
    assert_eq!(outcome.map_err(|error| error.kind()), Err(ErrorKind::OutOfMemory));
    Ok(())
}

/// Keeps the first request until the end, and counts how often it waits for another.
struct Keeps(usize);

impl<T: Transport, H: Handler<T::Request>> Concurrency<T, H> for Keeps {
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        let mut kept = None;
        loop {
            match session.try_next()? {
                Taken::Request(job) => kept = Some(job),
                Taken::Idle => {
                    self.0 += 1;
                    session.wait(&[])?;
                }
                Taken::End => break,
            }
        }
        kept.map(|job| session.finish_request(job));
        Ok(())
    }
}

#[test]
fn a_server_that_may_take_no_request_sleeps() -> io::Result<()> {
    const HOUR: Duration = Duration::from_secs(3600);
    for limits in [Limits::new().at_once(1), Limits::new().rate(1, HOUR)] {
        let transport = Scripted::new(|_| Ok(Some(Nothing)));
        let mut server = Server::new(transport, Keeps(0), Idler)?.limits(limits)?;
        let stop = server.stop_handle();
        thread::spawn(move || {
            let _ = after(SHORT).recv();
            stop.stop();
        });
        let server = in_time(move || server.serve_forever().map(|()| server))??;
        assert!(server.concurrency().0 <= 1, "it waited {} times", server.concurrency().0);
    }
    Ok(())
}
