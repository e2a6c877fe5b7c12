//! Requests that come over a channel: no socket, and otherwise as ever.

mod support;

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SendError, TrySendError};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use socketserver::{
    Channel, ChannelRequest, Concurrency, Failure, Handler, Next, Outcome, PreForking, Running,
    Sender, Server, Stage, StopHandle, Sync, ThreadPool, Threading, Transport,
};
use support::net::PATIENCE;
use support::watchdog::without_hanging;

/// What a worker is to do about a number.
const STOP: u32 = 1_000_000;
const FAIL: u32 = 1_000_001;
const PANIC: u32 = 1_000_002;

/// A worker that says what it does.
struct Worker {
    done: mpsc::Sender<u32>,
    failed: mpsc::Sender<(u32, Stage)>,
    stop: OnceLock<StopHandle>,
    timeouts: AtomicUsize,
}

impl Handler<ChannelRequest<u32>> for Worker {
    fn handle(&self, job: &mut ChannelRequest<u32>) -> io::Result<Next> {
        match **job {
            STOP => self.stop.get().into_iter().for_each(StopHandle::stop),
            FAIL => return Err(io::Error::other("as it was told")),
            PANIC => std::panic::panic_any("as it was told"),
            _ => {}
        }
        self.done.send(**job).map_err(io::Error::other)?;
        Ok(Next::Done)
    }

    fn handle_error(&self, job: &mut ChannelRequest<u32>, failure: &Failure) {
        let _ = self.failed.send((**job, failure.stage()));
    }

    fn handle_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the worker says.
struct Said {
    done: mpsc::Receiver<u32>,
    failed: mpsc::Receiver<(u32, Stage)>,
}

impl Said {
    /// The numbers of so many jobs, in order of size.
    fn done(&self, count: usize) -> Result<Vec<u32>, RecvTimeoutError> {
        let done = (0..count).map(|_| self.done.recv_timeout(PATIENCE));
        let mut done = done.collect::<Result<Vec<_>, _>>()?;
        done.sort_unstable();
        Ok(done)
    }
}

fn worker() -> (Worker, Said) {
    let (done, was_done) = mpsc::channel();
    let (failed, has_failed) = mpsc::channel();
    let (stop, timeouts) = (OnceLock::new(), AtomicUsize::new(0));
    let said = Said { done: was_done, failed: has_failed };
    (Worker { done, failed, stop, timeouts }, said)
}

type Jobs = Channel<u32>;
type Started<C> = (Sender<u32>, Running<Jobs, C, Worker>, Said);

fn start<C: Concurrency<Jobs, Worker> + Send + 'static>(strategy: C) -> io::Result<Started<C>> {
    let (sender, channel) = Channel::bounded(64)?;
    let (worker, said) = worker();
    let server = Server::new(channel, strategy, worker)?;
    let _ = server.handler().stop.set(server.stop_handle());
    Ok((sender, server.spawn()?, said))
}

fn send(sender: &Sender<u32>, jobs: impl IntoIterator<Item = u32>) -> io::Result<()> {
    jobs.into_iter().try_for_each(|job| sender.send(job).map_err(io::Error::other))
}

fn end<C>(running: Running<Jobs, C, Worker>) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    without_hanging(move || running.join()?.close().map(drop)).map_err(io::Error::other)?
}

fn every_job_is_handled_once<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, running, said) = start(strategy)?;
    let senders = (0..4).map(|part| {
        let sender = sender.clone();
        thread::spawn(move || send(&sender, part * 250..(part + 1) * 250))
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.join().map_err(|_| io::Error::other("a sender panicked"))??;
    }
    assert_eq!(said.done(1000), Ok(Vec::from_iter(0..1000)));
    // One that comes while everybody waits.
    for job in 0..20 {
        send(&sender, [job])?;
        assert_eq!(said.done(1), Ok(vec![job]));
    }
    drop(sender);
    end(running)
}

fn the_server_ends_when_its_senders_are_gone<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, running, said) = start(strategy)?;
    send(&sender, [1])?;
    assert_eq!(said.done(1), Ok(vec![1]));
    let last = sender.clone();
    drop(sender);
    send(&last, [2])?;
    drop(last);
    end(running)?;
    assert_eq!(said.done(1), Ok(vec![2]), "what was sent is handled first");
    Ok(())
}

fn a_stop_ends_the_wait<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, running, said) = start(strategy)?;
    send(&sender, [1])?;
    assert_eq!(said.done(1), Ok(vec![1]));
    running.stop();
    end(running)?;
    assert_eq!(sender.send(2), Err(SendError(2)), "nobody takes it any more");
    Ok(())
}

fn a_handler_may_stop_the_server<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, running, _said) = start(strategy)?;
    send(&sender, [STOP])?;
    end(running)
}

fn a_job_that_fails_is_told_of_once_and_ends_nothing<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, running, said) = start(strategy)?;
    send(&sender, [FAIL, 1, PANIC, 2])?;
    drop(sender);
    assert_eq!(said.done(2), Ok(vec![1, 2]));
    end(running)?;
    let mut failed: Vec<_> = said.failed.iter().collect();
    failed.sort_unstable_by_key(|(job, _)| *job);
    assert_eq!(failed, [(FAIL, Stage::Handle), (PANIC, Stage::Handle)]);
    Ok(())
}

fn what_a_stop_leaves_is_served_the_next_time<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, channel) = Channel::bounded(8)?;
    let rest = channel.clone();
    let (worker, said) = worker();
    let mut server = Server::new(channel, strategy, worker)?;
    send(&sender, 0..4)?;
    server.stop_handle().stop();
    let mut server = in_time(move || server.serve_forever().map(|()| server))?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(said.done(1), Ok(vec![0]), "they are there, in their order");
    server.close()?;
    // And after the end, with whoever has kept a clone.
    drop(sender);
    let mut left = Vec::new();
    while let Some(job) = rest.get_request()? {
        left.push(job.into_inner());
    }
    assert_eq!(left, [1, 2, 3]);
    Ok(())
}

fn handle_request_waits_for_as_long_as_it_is_told<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (sender, channel) = Channel::bounded(8)?;
    let (worker, said) = worker();
    let mut server = Server::new(channel, strategy, worker)?;
    let short = Duration::from_millis(20);
    assert_eq!(server.handle_request_timeout(short)?, Outcome::TimedOut);
    assert_eq!(server.handler().timeouts.load(Ordering::SeqCst), 1);
    send(&sender, [7])?;
    assert_eq!(server.handle_request_timeout(PATIENCE)?, Outcome::Handled);
    assert_eq!(said.done(1), Ok(vec![7]));
    drop(sender);
    assert_eq!(server.handle_request()?, Outcome::Exhausted);
    server.close().map(drop)
}

fn in_time<V: Send + 'static>(
    run: impl FnOnce() -> io::Result<V> + Send + 'static,
) -> io::Result<V> {
    without_hanging(run).map_err(io::Error::other)?
}

macro_rules! under {
    ($name:ident = $strategy:expr; $($test:ident)*) => {
        mod $name {
            use super::*;

            $(#[test]
            fn $test() -> io::Result<()> {
                super::$test($strategy)
            })*
        }
    };
}

macro_rules! under_all {
    ($($test:ident)*) => {
        under! { sync = Sync; $($test)* }
        under! { threading = Threading::new(); $($test)* }
        under! { fresh_threads = Threading::new().fresh_threads(true); $($test)* }
        under! { thread_pool = ThreadPool::new(3).idle_timeout(Duration::ZERO); $($test)* }
    };
}

under_all! {
    every_job_is_handled_once
    the_server_ends_when_its_senders_are_gone
    a_stop_ends_the_wait
    a_handler_may_stop_the_server
    a_job_that_fails_is_told_of_once_and_ends_nothing
    what_a_stop_leaves_is_served_the_next_time
    handle_request_waits_for_as_long_as_it_is_told
}

#[test]
fn jobs_that_came_together_are_handled_together() -> io::Result<()> {
    // Each waits for the others: a thread that slept although a job was there would be missed.
    const AT_ONCE: usize = 8;
    let (sender, channel) = Channel::bounded(AT_ONCE)?;
    let together = Arc::new(Barrier::new(AT_ONCE));
    let server =
        Server::new_fn(channel, Threading::new(), |barrier: &mut ChannelRequest<Arc<Barrier>>| {
            barrier.wait();
            Ok(())
        })?;
    let running = server.spawn()?;
    for _ in 0..50 {
        for _ in 0..AT_ONCE {
            sender.send(Arc::clone(&together)).map_err(io::Error::other)?;
        }
    }
    drop(sender);
    in_time(move || running.join()?.close().map(drop))
}

#[test]
fn a_full_channel_gives_the_job_back_or_has_its_sender_wait() -> io::Result<()> {
    let (sender, channel) = Channel::bounded(2)?;
    assert_eq!(sender.try_send("a"), Ok(()));
    assert_eq!(sender.try_send("b"), Ok(()));
    assert_eq!(sender.try_send("c"), Err(TrySendError::Full("c")));
    let waiting = thread::spawn(move || sender.send("d"));
    let mut taken = Vec::new();
    while taken.len() < 3 {
        match channel.get_request() {
            Ok(Some(job)) => taken.push(job.into_inner()),
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    assert_eq!(taken, ["a", "b", "d"]);
    assert!(waiting.join().is_ok_and(|sent| sent.is_ok()));
    assert!(channel.get_request()?.is_none(), "it was the last sender");
    Ok(())
}

#[test]
fn a_closed_channel_gives_the_job_back_to_who_waits_for_room() -> io::Result<()> {
    let (sender, channel) = Channel::bounded(1)?;
    let other = channel.clone();
    drop(channel);
    assert_eq!(sender.try_send(1), Ok(()), "there is another way to it");
    let waiting = thread::spawn(move || (sender.send(2), sender.try_send(3)));
    drop(other);
    let (waited, tried) = waiting.join().map_err(|_| io::Error::other("it panicked"))?;
    assert_eq!(waited, Err(SendError(2)));
    assert_eq!(tried, Err(TrySendError::Disconnected(3)));
    Ok(())
}

#[test]
fn two_servers_share_one_channel() -> io::Result<()> {
    let (sender, channel) = Channel::bounded(16)?;
    let (first, said) = worker();
    let second = Worker { done: first.done.clone(), failed: first.failed.clone(), ..worker().0 };
    let pool = Server::new(channel.clone(), ThreadPool::new(2), first)?.spawn()?;
    let alone = Server::new(channel, Sync, second)?.spawn()?;
    send(&sender, 0..500)?;
    drop(sender);
    assert_eq!(said.done(500), Ok(Vec::from_iter(0..500)));
    end(pool)?;
    end(alone)
}

#[test]
fn what_makes_no_sense_is_refused_in_words() -> io::Result<()> {
    let error = Channel::<u8>::bounded(0).err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidInput));
    let (_sender, channel) = Channel::<u8>::bounded(1)?;
    let error = Server::new_fn(channel, PreForking::new(2, Sync)?, |_job| Ok(())).err();
    let Some(error) = error else { return Err(io::Error::other("PreForking took it")) };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("copy"), "{error}");
    Ok(())
}
