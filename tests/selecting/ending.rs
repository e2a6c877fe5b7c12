//! Stops, drains and limits of a server whose connections wait in a table.

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Concurrency, Drain, Handler, Limits, Next, ReadLine, Refuse, Selecting, Server, Tcp, Threading,
    WhenFull, line_missing,
};

use crate::rig::{
    Lines, Result, Stream, Table, everywhere, exchange, hear, hear_last, lines, say, text,
};
use crate::support::net::PATIENCE;
use crate::support::slow::AMPLE;

everywhere! {
    a_stop_ends_what_is_idle_and_waits_for_the_rest;
    a_drain_cuts_what_does_not_end;
    a_drain_does_not_cut_a_reply_that_waits;
    a_server_serves_again;
    one_more_waits_for_a_permit;
    one_more_is_refused;
}

fn a_stop_ends_what_is_idle_and_waits_for_the_rest<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let (mut idle, mut half) = (table.client("")?, table.client("")?);
    for client in [&mut idle, &mut half] {
        exchange(client, "one\n")?;
        ear.hears("one")?;
    }
    let mut slow = table.client("long 7000000\n")?;
    ear.hears("long 7000000")?;
    say(&mut half, "ha")?;
    // What has been sent before is seen by the time that this one is answered.
    let mut other = table.client("two\n")?;
    hear(&mut other, "two\n")?;

    table.stop();
    hear_last(&mut idle, "")?;
    hear_last(&mut other, "")?;
    say(&mut half, "lf\n")?;
    hear_last(&mut half, "half\n")?;
    hear_last(&mut slow, text(7_000_000))?;
    drop(slow);
    let counters = table.counters.clone();
    table.end()?.close()?;
    assert_eq!([counters.accepted(), counters.finished(), counters.active()], [4, 4, 0]);
    Ok(())
}

/// Its thread is stopped between an exchange and the table.
struct Held {
    answered: AtomicBool,
    reached: Sender<()>,
    go: Receiver<()>,
}

impl<R: BufRead + Write> Handler<R> for Held {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = Vec::new();
        request.read_bytes_bounded(&mut line, 100)?;
        request.write_all(&line)?;
        self.answered.store(true, SeqCst);
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        if self.answered.load(SeqCst) {
            self.reached.send(()).unwrap();
            self.go.recv_timeout(PATIENCE).unwrap();
        }
        line_missing(input, 100)
    }
}

#[test]
fn one_that_comes_back_when_the_table_is_gone_ends_if_it_is_idle() -> Result {
    let ((reached, reaches), (go, goes)) = (unbounded(), unbounded());
    let handler = Held { answered: AtomicBool::new(false), reached, go: goes };
    let table = Table::<Tcp, _, _>::new(Selecting::new(Threading::new()), handler)?;
    let mut client = table.client("one\n")?;
    reaches.recv_timeout(PATIENCE)?;
    table.stop();
    let server = table.end()?;
    // It is asked once more, as it knows now.
    go.send(())?;
    go.send(())?;
    hear_last(&mut client, "one\n")?;
    server.close()?;
    Ok(())
}

fn a_drain_cuts_what_does_not_end<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, _ear) = lines();
    let drain = Drain::new().finish_within(Duration::from_millis(200));
    let table = Table::<T, C, _>::with(strategy, handler, |server| Ok(server.drain(drain)))?;
    let (mut idle, mut half) = (table.client("one\n")?, table.client("half")?);
    hear(&mut idle, "one\n")?;
    let slow = table.client("long 7000000\n")?;
    let mut other = table.client("two\n")?;
    hear(&mut other, "two\n")?;
    let report = table.close()?;
    // The half of a line is answered: its end has come.
    hear_last(&mut idle, "")?;
    hear(&mut half, "half\n").or_else(|_| Result::Ok(()))?;
    drop(slow);
    assert!(report.cut >= 2, "{report:?}");
    assert_eq!((report.abandoned, report.refused), (0, 0), "{report:?}");
    Ok(())
}

/// A connection is idle when its answer has been taken, and not when it has been given.
fn a_drain_does_not_cut_a_reply_that_waits<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let drain = Drain::new().finish_within(AMPLE);
    let table = Table::<T, C, _>::with(strategy, handler, |server| Ok(server.drain(drain)))?;
    let mut slow = table.client("long 7000000\n")?;
    ear.hears("long 7000000")?;
    let mut other = table.client("two\n")?;
    hear(&mut other, "two\n")?;
    table.stop();
    hear_last(&mut other, "")?;
    hear_last(&mut slow, text(7_000_000))?;
    drop(slow);
    let report = table.end()?.close()?;
    assert_eq!(report.abandoned, 0, "{report:?}");
    Ok(())
}

fn a_server_serves_again<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, _ear) = lines();
    let dir = tempfile::tempdir()?;
    let mut server = Server::new(T::open(dir.path())?, strategy, handler)?;
    for _ in 0..3 {
        let running = server.spawn()?;
        let mut client = T::send(&running.local_addr()?, dir.path(), b"one\n")?;
        hear(&mut client, "one\n")?;
        exchange(&mut client, "two\n")?;
        running.stop();
        hear_last(&mut client, "")?;
        server = running.join()?;
    }
    server.close()?;
    Ok(())
}

fn one_more_waits_for_a_permit<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::with(strategy, handler, |server| {
        server.limits(Limits::new().at_once(2))
    })?;
    let mut inside = [table.client("in\n")?, table.client("in\n")?];
    for client in &mut inside {
        hear(client, "in\n")?;
        ear.hears("in")?;
    }
    let mut outside = [table.client("out\n")?, table.client("out\n")?];
    // The table goes on, and has no time for those outside.
    for _ in 0..20 {
        for client in &mut inside {
            exchange(client, "still in\n")?;
            ear.hears("still in")?;
        }
    }
    for (client, next) in inside.iter_mut().zip(&mut outside) {
        say(client, "bye\n")?;
        hear_last(client, "bye\n")?;
        hear(next, "out\n")?;
    }
    drop(outside);
    table.close()?;
    Ok(())
}

fn one_more_is_refused<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let limits = || {
        Limits::new()
            .at_once(1)
            .when_full(WhenFull::RefuseAfter(Duration::from_millis(100)))
            .refuse(Refuse::Answer(b"full\n".into()))
    };
    let table = Table::<T, C, _>::with(strategy, handler, |server| server.limits(limits()))?;
    let mut inside = table.client("in\n")?;
    hear(&mut inside, "in\n")?;
    ear.hears("in")?;
    for _ in 0..3 {
        hear_last(&mut table.client("")?, "full\n")?;
        exchange(&mut inside, "still in\n")?;
    }
    assert_eq!(table.counters.refused(), 3);
    say(&mut inside, "bye\n")?;
    hear_last(&mut inside, "bye\n")?;
    exchange(&mut table.client("")?, "in at last\n")?;
    table.close()?;
    Ok(())
}
