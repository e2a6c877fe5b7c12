//! Peers that are late, in the table: they are ended, for the reason that is elsewhere, and nobody
//! else is.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use socketserver::{Concurrency, Connection, Deadlines, Guarded, Handler, Next};

use crate::rig::{
    Client, Ear, Lines, Result, Stream, Table, everywhere, exchange, hear, hear_last, lines, say,
};
use crate::support::slow::{AMPLE, trickle};

/// What passes soon, in a test.
const SOON: Duration = Duration::from_millis(200);

everywhere! {
    one_that_says_nothing;
    one_that_falls_silent;
    one_whose_request_takes_too_long;
    one_that_sends_too_slowly;
    one_that_takes_nothing;
    one_that_takes_too_long_to_take_it;
    one_that_misses_a_timeout;
    one_that_misses_a_timeout_of_the_handler;
    one_that_is_late_in_a_table_where_somebody_works;
}

/// All deadlines are ample, but for those that `only` sets.
fn ample(only: impl FnOnce(Deadlines) -> Deadlines) -> Deadlines {
    only(Deadlines::new().first_byte(AMPLE).idle(AMPLE).request(AMPLE).write(AMPLE))
}

type Ended<T, C> = (Table<T, C, Guarded<Lines>>, Ear);

fn guarded<T, C>(strategy: C, deadlines: Deadlines) -> Result<Ended<T, C>>
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (handler, ear) = lines();
    Ok((Table::new(strategy, deadlines.guard(handler)?)?, ear))
}

/// It is ended with the handler's last word, and another is not.
fn ended(late: &mut impl Client, other: &mut impl Client, ear: &Ear, why: &str) -> Result {
    hear_last(late, "sorry\n")?;
    failed(ear, why)?;
    exchange(other, "still here\n")?;
    ear.hears("still here")
}

/// The next failure is this.
fn failed(ear: &Ear, why: &str) -> Result {
    loop {
        let said = ear.hear()?;
        if let Some(failed) = said.strip_prefix("failed: ") {
            assert_eq!(failed, why);
            return Ok(());
        }
    }
}

fn one_that_says_nothing<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.first_byte(SOON)))?;
    let mut other = table.client("one\n")?;
    hear(&mut other, "one\n")?;
    ended(&mut table.client("")?, &mut other, &ear, "FirstByte")?;
    table.close().map(drop)
}

fn one_that_falls_silent<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.idle(SOON)))?;
    for said in ["one\n", "one\nhalf"] {
        let mut late = table.client(said)?;
        hear(&mut late, "one\n")?;
        // It has said nothing yet.
        ended(&mut late, &mut table.client("")?, &ear, "Idle")?;
    }
    table.close().map(drop)
}

fn one_whose_request_takes_too_long<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.request(SOON)))?;
    let mut other = table.client("one\n")?;
    hear(&mut other, "one\n")?;
    assert_eq!(trickle(&mut table.client("half")?)?, "sorry");
    failed(&ear, "Request")?;
    exchange(&mut other, "still here\n")?;
    table.close().map(drop)
}

fn one_that_sends_too_slowly<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.min_rate(500, SOON)))?;
    let mut other = table.client("one\n")?;
    hear(&mut other, "one\n")?;
    assert_eq!(trickle(&mut table.client("half")?)?, "sorry");
    failed(&ear, "Rate")?;
    exchange(&mut other, "still here\n")?;
    table.close().map(drop)
}

fn one_that_takes_nothing<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.write(SOON)))?;
    let mut other = table.client("")?;
    for line in ["long", "last"] {
        let late = table.client(format!("{line} 7000000\n"))?;
        failed(&ear, "Write")?;
        exchange(&mut other, "still here\n")?;
        drop(late);
    }
    table.close().map(drop)
}

/// It takes a little at a time, and each time it is in time.
fn one_that_takes_too_long_to_take_it<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.request(SOON)))?;
    let mut other = table.client("one\n")?;
    hear(&mut other, "one\n")?;
    let mut late = table.client("long 7000000\n")?;
    loop {
        // So little that what the kernel has for it lasts for longer than the test may take.
        late.read_exact(&mut [0; 64])?;
        exchange(&mut other, "in between\n")?;
        if let Some(failed) = ear.said.try_iter().find(|said| said.starts_with("failed")) {
            assert_eq!(failed, "failed: Request");
            break;
        }
    }
    exchange(&mut other, "still here\n")?;
    drop(late);
    table.close().map(drop)
}

/// With a timeout of each read and write, the transport's or the handler's.
struct Timed(Lines);

impl<R: BufRead + Write + Connection + SetTimeout> Handler<R> for Timed {
    fn setup(&self, request: &mut R) -> io::Result<()> {
        request.set(SOON)
    }

    socketserver::forward_hooks!(R, self => self.0; handle missing handle_error);
}

pub(crate) trait SetTimeout {
    fn set(&mut self, timeout: Duration) -> io::Result<()>;
}

impl<S: socketserver::StreamSocket, A> SetTimeout for socketserver::StreamRequest<S, A> {
    fn set(&mut self, timeout: Duration) -> io::Result<()> {
        self.set_timeout(Some(timeout))
    }
}

fn one_that_misses_a_timeout_of_the_handler<T, C>(strategy: C) -> Result
where
    T: Stream<Request: SetTimeout>,
    C: Concurrency<T, Timed> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, Timed(handler))?;
    for said in ["", "half"] {
        hear_last(&mut table.client(said)?, "sorry\n")?;
        ear.hears("failed: Handle TimedOut")?;
    }
    let late = table.client("long 7000000\n")?;
    failed(&ear, "Deliver TimedOut")?;
    drop(late);
    table.close().map(drop)
}

/// Reads again after a timeout, which is no end for good.
struct Patient(Lines);

impl<R: BufRead + Write + Connection + SetTimeout> Handler<R> for Patient {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        match self.0.handle(request) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                request.write_all(b"still there?\n")?;
                Ok(Next::Again)
            }
            handled => handled,
        }
    }

    fn setup(&self, request: &mut R) -> io::Result<()> {
        request.set(SOON)
    }

    socketserver::forward_hooks!(R, self => self.0; missing handle_error);
}

/// Meanwhile it waits in the table again, and not on the thread.
fn one_that_misses_a_timeout<T, C>(strategy: C) -> Result
where
    T: Stream<Request: SetTimeout>,
    C: Concurrency<T, Patient> + Send + 'static,
{
    let (handler, _ear) = lines();
    let table = Table::<T, C, _>::new(strategy, Patient(handler))?;
    let mut late = table.client("")?;
    hear(&mut late, "still there?\n")?;
    hear(&mut late, "still there?\n")?;
    let mut other = table.client("")?;
    let begun = std::time::Instant::now();
    let mut exchanges = 0_u32;
    while begun.elapsed() < SOON / 2 {
        exchange(&mut other, "in between\n")?;
        exchanges += 1;
    }
    // On the thread, one would have taken as long as all.
    assert!(exchanges > 1, "{exchanges}");
    drop((late, other));
    table.close().map(drop)
}

/// Whoever looked at the clock is busy, and another has to.
fn one_that_is_late_in_a_table_where_somebody_works<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Guarded<Lines>> + Send + 'static,
{
    let many = std::any::type_name::<C>().contains("Threading");
    let (table, ear) = guarded::<T, C>(strategy, ample(|all| all.first_byte(SOON)))?;
    // Several threads, which then wait.
    let mut clients: Vec<_> = (0..4).map(|_| table.client("wait\n")).collect::<Result<_>>()?;
    if many {
        (0..4).try_for_each(|_| ear.hears("wait"))?;
        (0..4).try_for_each(|_| ear.go.send(()))?;
    } else {
        (0..4).try_for_each(|_| ear.go.send(()))?;
        (0..4).try_for_each(|_| ear.hears("wait"))?;
    }
    clients.iter_mut().try_for_each(|client| hear(client, "wait\n"))?;
    for client in &mut clients {
        let mut late = table.client("")?;
        say(client, "wait\n")?;
        ear.hears("wait")?;
        if !many {
            ear.go.send(())?;
        }
        hear_last(&mut late, "sorry\n")?;
        ear.hears("failed: FirstByte")?;
        if many {
            ear.go.send(())?;
        }
        hear(client, "wait\n")?;
    }
    table.close().map(drop)
}
