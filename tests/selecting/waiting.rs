//! What waits in the table: requests that come in parts, replies that are not taken, the ends of
//! connections.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use socketserver::Concurrency;

use crate::rig::{
    Client, Lines, Result, Stream, Table, everywhere, exchange, hear, hear_last, lines, say, text,
};

/// More than a socket takes whose peer reads nothing, and less than may wait in the table.
const LONG: usize = 7_000_000;

everywhere! {
    a_request_that_comes_byte_by_byte_is_handled_once;
    a_request_that_ends_in_its_middle_is_handled;
    a_reply_that_is_not_taken_is_followed_by_no_exchange;
    a_long_last_reply_arrives;
    a_handler_that_reads_beyond_has_been_answered;
    requests_in_one_segment_are_answered_in_order;
    one_that_pipelines_without_end_starves_nobody;
    one_that_pipelines_without_end_keeps_nobody_out;
    one_that_does_not_hang_up_holds_no_thread;
}

fn a_request_that_comes_byte_by_byte_is_handled_once<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let (mut slow, mut other) = (table.client("")?, table.client("")?);
    for byte in b"slowly\nand " {
        say(&mut slow, [*byte])?;
        if *byte == b'\n' {
            hear(&mut slow, "slowly\n")?;
            ear.hears("slowly")?;
        }
        exchange(&mut other, "in between\n")?;
        ear.hears("in between")?;
    }
    say(&mut slow, "again\n")?;
    hear(&mut slow, "and again\n")?;
    ear.hears("and again")?;
    table.close()?;
    Ok(())
}

/// Its end may be told at the same moment as its beginning, when somebody else is being served.
fn a_request_that_ends_in_its_middle_is_handled<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let mut half = table.client("one\n")?;
    hear(&mut half, "one\n")?;
    ear.hears("one")?;
    let mut other = table.client("wait\n")?;
    ear.hears("wait")?;

    say(&mut half, "half")?;
    half.shut_down()?;
    ear.go.send(())?;
    hear(&mut other, "wait\n")?;
    ear.hears("half")?;
    ear.hears("end")?;
    hear_last(&mut half, "half\n")?;
    table.close()?;
    Ok(())
}

fn a_reply_that_is_not_taken_is_followed_by_no_exchange<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let mut slow = table.client(format!("long {LONG}\nnext\nlong 10\n"))?;
    ear.hears(&format!("long {LONG}"))?;
    let mut other = table.client("")?;
    for _ in 0..100 {
        exchange(&mut other, "in between\n")?;
        ear.hears("in between")?;
    }
    hear(&mut slow, text(LONG))?;
    hear(&mut slow, "next\n")?;
    hear(&mut slow, text(10))?;
    ear.hears("next")?;
    ear.hears("long 10")?;
    exchange(&mut slow, "all is well\n")?;
    drop(slow);
    table.close()?;
    Ok(())
}

fn a_long_last_reply_arrives<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    // There is input that nobody reads.
    let mut slow = table.client(format!("last {LONG}\nnobody reads this\n"))?;
    ear.hears(&format!("last {LONG}"))?;
    let mut other = table.client("")?;
    exchange(&mut other, "in between\n")?;
    hear_last(&mut slow, text(LONG))?;
    drop(slow);
    table.close()?;
    Ok(())
}

fn a_handler_that_reads_beyond_has_been_answered<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, _ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let mut client = table.client(format!("ask {LONG}\n"))?;
    hear(&mut client, text(LONG))?;
    exchange(&mut client, "the answer\n")?;
    exchange(&mut client, "and another line\n")?;
    drop(client);
    table.close()?;
    Ok(())
}

fn requests_in_one_segment_are_answered_in_order<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, _ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let all: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let mut client = table.client(&all)?;
    hear(&mut client, &all)?;
    // Their end comes with the last of them.
    let mut client = table.client(&all)?;
    client.shut_down()?;
    hear_last(&mut client, &all)?;
    table.close()?;
    Ok(())
}

fn one_that_pipelines_without_end_starves_nobody<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    const MANY: usize = 10_000;
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let (mut greedy, mut other) = (table.client("")?, table.client("")?);
    for client in [&mut greedy, &mut other] {
        exchange(client, "one\n")?;
        ear.hears("one")?;
    }
    // On one thread, both have come before either is served.
    let mut first = table.client("wait\n")?;
    ear.hears("wait")?;
    say(&mut greedy, "x\n".repeat(MANY))?;
    say(&mut other, "in between\n")?;
    ear.go.send(())?;
    hear(&mut first, "wait\n")?;
    hear(&mut other, "in between\n")?;
    hear(&mut greedy, "x\n".repeat(MANY))?;
    let said: Vec<_> = ear.said.try_iter().collect();
    let before = said.iter().position(|line| line == "in between").unwrap();
    assert!(before < MANY / 2, "{before} of {MANY} exchanges before one");
    drop(greedy);
    table.close()?;
    Ok(())
}

fn one_that_pipelines_without_end_keeps_nobody_out<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    let (mut greedy, enough) = (table.client("")?, AtomicBool::new(false));
    thread::scope(|scope| {
        let talk = scope.spawn(|| -> io::Result<()> {
            while !enough.load(SeqCst) {
                // Without an answer there is nothing that its thread could ever wait for.
                greedy.write_all("long 0\n".repeat(10_000).as_bytes())?;
            }
            Ok(())
        });
        ear.hears("long 0").unwrap();
        let mut all = (0..20).map(|_| exchange(&mut table.client("")?, "one\n"));
        let answered = all.all(|answer| answer.is_ok());
        enough.store(true, SeqCst);
        assert!(answered);
        talk.join().unwrap()
    })?;
    table.close()?;
    Ok(())
}

fn one_that_does_not_hang_up_holds_no_thread<T, C>(strategy: C) -> Result
where
    T: Stream,
    C: Concurrency<T, Lines> + Send + 'static,
{
    let (handler, _ear) = lines();
    let table = Table::<T, C, _>::new(strategy, handler)?;
    // More than leaves at once: its end is waited for.
    let mut stubborn = table.client("last 100000\n")?;
    hear(&mut stubborn, text(100_000))?;
    let mut other = table.client("")?;
    for _ in 0..20 {
        exchange(&mut other, "in between\n")?;
    }
    assert_eq!(table.counters.finished(), 0, "its end is still waited for");
    stubborn.shut_down()?;
    hear_last(&mut stubborn, "")?;
    drop(stubborn);
    table.close()?;
    Ok(())
}

/// The thread that took the one before is in its exchange.
#[test]
fn connections_that_come_in_a_crowd_are_taken_while_others_work() -> Result {
    let (handler, ear) = lines();
    let strategy = socketserver::Selecting::new(socketserver::Threading::new());
    let table = Table::<socketserver::Tcp, _, _>::new(strategy, handler)?;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(table.client("wait\n")?);
    }
    // All are at work at once, and nobody is waited for.
    for _ in 0..50 {
        ear.hears("wait")?;
    }
    for _ in 0..50 {
        ear.go.send(())?;
    }
    clients.iter_mut().try_for_each(|client| hear(client, "wait\n"))?;
    table.close()?;
    Ok(())
}
