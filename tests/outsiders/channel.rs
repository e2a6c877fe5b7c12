//! A transport over a channel: jobs for requests, and no descriptor to poll.

use std::io::{self, ErrorKind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, bounded, unbounded};
use socketserver::{
    Concurrency, Handler, Next, Outcome, Request, Server, StopHandle, ThreadPool, Threading,
    Transport, Waiter,
};

use crate::{FAR, end, in_time};

/// Something to do, and where to say that it is done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) number: u32,
    pub(crate) done: Sender<u32>,
}

impl Request for Job {}

/// Jobs, as they come.
#[derive(Debug)]
pub(crate) struct Jobs {
    jobs: Receiver<Job>,
    /// Told each time that somebody is about to wait.
    waits: Sender<()>,
    /// Asks for the stop at the worst moment: when it is known that there is no job, and nobody
    /// waits yet.
    untimely: OnceLock<StopHandle>,
}

impl Jobs {
    pub(crate) fn new() -> (Sender<Job>, Self, Receiver<()>) {
        let (give, jobs) = unbounded();
        let (waits, waiting) = unbounded();
        (give, Self { jobs, waits, untimely: OnceLock::new() }, waiting)
    }
}

impl Transport for Jobs {
    type Request = Job;

    fn get_request(&self) -> io::Result<Option<Job>> {
        match self.jobs.try_recv() {
            Ok(job) => Ok(Some(job)),
            Err(TryRecvError::Empty) => Err(ErrorKind::WouldBlock.into()),
            Err(TryRecvError::Disconnected) => Ok(None),
        }
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        // One for each wait: whoever else waits here has to be woken too.
        let (wake, woken) = bounded(1);
        let wake = move || {
            let _ = wake.try_send(());
        };
        self.untimely.get().into_iter().for_each(StopHandle::stop);
        waiter.interruptible(wake, || {
            let _ = self.waits.send(());
            // To be ready is enough: what is taken here would be lost.
            let mut select = Select::new();
            select.recv(&self.jobs);
            select.recv(&woken);
            match waiter.deadline() {
                Some(deadline) => {
                    let _ = select.ready_deadline(deadline);
                }
                None => {
                    select.ready();
                }
            }
        });
        Ok(())
    }
}

/// Does jobs; one may be to stop.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) done: AtomicUsize,
    pub(crate) timeouts: AtomicUsize,
    pub(crate) stop: OnceLock<StopHandle>,
}

/// The job that stops the server.
pub(crate) const STOP: u32 = u32::MAX;

impl Handler<Job> for Worker {
    fn handle(&self, job: &mut Job) -> io::Result<Next> {
        if job.number == STOP {
            self.stop.get().into_iter().for_each(StopHandle::stop);
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        job.done.send(job.number).map_err(io::Error::other)?;
        Ok(Next::Done)
    }

    fn handle_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::SeqCst);
    }
}

fn every_job_is_done_once<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (give, jobs, waiting) = Jobs::new();
    let running = Server::new(jobs, strategy, Worker::default())?.spawn()?;
    let (done, ends) = unbounded();
    for number in 0..50 {
        give.send(Job { number, done: done.clone() }).map_err(io::Error::other)?;
        if number % 10 == 0 {
            // Some come while the server works, some while it waits.
            waiting.recv_timeout(FAR).map_err(io::Error::other)?;
        }
    }
    drop(done);
    let mut numbers = Vec::new();
    while let Ok(number) = ends.recv_timeout(FAR) {
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..50));
    running.stop();
    end(running)
}

fn a_stop_from_another_thread_ends_the_wait<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (give, jobs, waiting) = Jobs::new();
    let running = Server::new(jobs, strategy, Worker::default())?.spawn()?;
    waiting.recv_timeout(FAR).map_err(io::Error::other)?;
    running.stop();
    end(running)?;
    drop(give);
    Ok(())
}

fn a_stop_from_the_handler_ends_the_session<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (give, jobs, _waiting) = Jobs::new();
    let server = Server::new(jobs, strategy, Worker::default())?;
    let _ = server.handler().stop.set(server.stop_handle());
    let running = server.spawn()?;
    let (done, _ends) = unbounded();
    give.send(Job { number: STOP, done }).map_err(io::Error::other)?;
    end(running)
}

fn a_stop_that_came_before_is_heard<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (_give, jobs, _waiting) = Jobs::new();
    let mut server = Server::new(jobs, strategy, Worker::default())?;
    server.stop_handle().stop();
    in_time(move || server.serve_forever())?
}

fn a_stop_just_before_the_wait_is_heard<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (_give, jobs, _waiting) = Jobs::new();
    let mut server = Server::new(jobs, strategy, Worker::default())?;
    let _ = server.transport().untimely.set(server.stop_handle());
    in_time(move || server.serve_forever())?
}

fn handle_request_keeps_its_deadline<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    const SHORT: Duration = Duration::from_millis(30);
    let (give, jobs, _waiting) = Jobs::new();
    let mut server = Server::new(jobs, strategy, Worker::default())?;

    let begun = Instant::now();
    let (outcome, mut server) = in_time(move || (server.handle_request_timeout(SHORT), server))?;
    assert_eq!(outcome?, Outcome::TimedOut);
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    assert_eq!(server.handler().timeouts.load(Ordering::SeqCst), 1);

    let (done, ends) = unbounded();
    give.send(Job { number: 7, done }).map_err(io::Error::other)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(ends.recv_timeout(FAR), Ok(7));
    assert_eq!(server.handler().timeouts.load(Ordering::SeqCst), 1);
    server.close()?;
    Ok(())
}

fn a_queue_that_nobody_fills_any_more_ends_the_server<C>(strategy: C) -> io::Result<()>
where
    C: Concurrency<Jobs, Worker> + Send + 'static,
{
    let (give, jobs, waiting) = Jobs::new();
    let running = Server::new(jobs, strategy, Worker::default())?.spawn()?;
    waiting.recv_timeout(FAR).map_err(io::Error::other)?;
    drop(give);
    // For all threads that pull, and without an error.
    in_time(|| running.join().map(drop))?
}

macro_rules! under {
    ($strategy:ident: $($test:ident)*) => {
        mod $strategy {
            $(#[test]
            fn $test() -> std::io::Result<()> {
                super::$test(super::$strategy())
            })*
        }
    };
}

macro_rules! under_all {
    ($($test:ident)*) => {
        under! { sync: $($test)* }
        under! { threading: $($test)* }
        under! { thread_pool: $($test)* }
    };
}

fn sync() -> socketserver::Sync {
    socketserver::Sync
}

fn threading() -> Threading {
    Threading::new()
}

fn thread_pool() -> ThreadPool {
    ThreadPool::new(3).idle_timeout(Duration::ZERO)
}

under_all! {
    every_job_is_done_once
    a_stop_from_another_thread_ends_the_wait
    a_stop_from_the_handler_ends_the_session
    a_stop_that_came_before_is_heard
    a_stop_just_before_the_wait_is_heard
    handle_request_keeps_its_deadline
    a_queue_that_nobody_fills_any_more_ends_the_server
}
