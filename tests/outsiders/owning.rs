//! Strategies that own the loop: one whose threads all pull, and one that takes a request only when
//! it has room.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use socketserver::{
    Concurrency, Handler, Outcome, Server, Session, Taken, Tcp, TcpRequest, Transport, Udp,
    UdpRequest, handler_fn,
};

use crate::channel::{Job, Jobs, Worker};
use crate::{FAR, ask, end, hear, in_time, say};

/// So many threads, each of which pulls requests and finishes them itself.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) threads: usize,
}

/// As the threads end with the loop, what they share need not live for ever, and no request moves
/// from one thread to another.
impl<T, H> Concurrency<T, H> for Pool
where
    T: Transport + Send + Sync,
    H: Handler<T::Request> + Send + Sync,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        thread::scope(|scope| {
            let threads = Vec::from_iter((1..self.threads).map(|_| {
                let puller = session.puller();
                scope.spawn(move || puller.session().map_or(Ok(()), |session| pull(&session)))
            }));
            // The scope waits for those behind the first that failed.
            pull(session)?;
            threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked)?)
        })
    }
}

fn pull<T: Transport, H: Handler<T::Request>>(session: &Session<T, H>) -> io::Result<()> {
    while let Some(job) = session.next_request()? {
        session.finish_request(job);
    }
    Ok(())
}

fn panicked(_payload: Box<dyn std::any::Any + Send>) -> io::Error {
    io::Error::other("a thread of the pool panicked")
}

/// At most so many requests at a time, each on a thread; the next one stays in the kernel.
#[derive(Debug)]
struct Limited {
    most: usize,
    /// Told when the last request has been taken, while some may still run.
    over: Sender<()>,
}

impl<T, H> Concurrency<T, H> for Limited
where
    T: Transport,
    T::Request: Send,
    H: Handler<T::Request> + Send + Sync,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        // One byte for each request that has ended.
        let (ended, end) = UnixStream::pair()?;
        ended.set_nonblocking(true)?;
        let mut running = 0;
        let over = || self.over.send(()).map_err(io::Error::other);
        thread::scope(|scope| {
            loop {
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = (&ended).read(&mut bytes) {
                    running -= count;
                }
                if running >= self.most {
                    if !session.pause(&[ended.as_fd()], None)? {
                        return over();
                    }
                    continue;
                }
                match session.try_next()? {
                    Taken::Request(request) => {
                        running += 1;
                        let (worker, mut end) = (session.worker(), &end);
                        scope.spawn(move || {
                            worker.finish_request(request);
                            let _ = end.write_all(b".");
                        });
                    }
                    Taken::Idle => session.wait(&[ended.as_fd()])?,
                    Taken::End => return over(),
                }
            }
        })
    }
}

#[test]
fn all_threads_of_a_pool_work_at_once() -> io::Result<()> {
    const THREADS: usize = 4;
    // Nobody gets through alone.
    let together = Arc::new(Barrier::new(THREADS));
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let server = Server::new_fn(tcp, Pool { threads: THREADS }, move |conn| {
        together.wait();
        conn.write_all(b"through")
    })?;
    let running = server.spawn()?;
    let address = running.local_addr()?;
    let clients = Vec::from_iter((0..THREADS).map(|_| say(address, "")));
    for client in clients {
        assert_eq!(hear(&client?)?, "through");
    }
    running.stop();
    end(running)
}

#[test]
fn each_job_is_pulled_once_by_whichever_thread() -> io::Result<()> {
    let (give, jobs, _waiting) = Jobs::new();
    let running = Server::new(jobs, Pool { threads: 3 }, Worker::default())?.spawn()?;
    let (done, ends) = unbounded();
    for number in 0..300 {
        give.send(Job { number, done: done.clone() }).map_err(io::Error::other)?;
    }
    drop(done);
    let mut numbers = Vec::new();
    while let Ok(number) = ends.recv_timeout(FAR) {
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..300));
    running.stop();
    end(running)
}

#[test]
fn one_stop_wakes_all_that_wait_with_and_without_a_descriptor() -> io::Result<()> {
    const THREADS: usize = 3;
    let (_give, jobs, waiting) = Jobs::new();
    let running = Server::new(jobs, Pool { threads: THREADS }, Worker::default())?.spawn()?;
    for _ in 0..THREADS {
        waiting.recv_timeout(FAR).map_err(io::Error::other)?;
    }
    running.stop();
    end(running)?;

    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let running = Server::new_fn(tcp, Pool { threads: THREADS }, |_conn| Ok(()))?.spawn()?;
    assert_eq!(ask(running.local_addr()?, "")?, "");
    running.stop();
    end(running)
}

#[test]
fn a_pool_serves_a_handler_that_borrows() -> io::Result<()> {
    let served = AtomicUsize::new(0);
    let handler = handler_fn(|packet: &mut UdpRequest| {
        served.fetch_add(1, Ordering::SeqCst);
        packet.reply(b"")
    });
    let mut server =
        Server::new(Udp::options().bind("127.0.0.1:0")?, Pool { threads: 2 }, handler)?;
    let (address, stop) = (server.local_addr()?, server.stop_handle());
    thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve_forever());
        let asked = || -> io::Result<()> {
            let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
            client.set_read_timeout(Some(FAR))?;
            for _ in 0..5 {
                client.send_to(b"?", address)?;
                client.recv(&mut [])?;
            }
            Ok(())
        };
        let asked = asked();
        stop.stop();
        asked.and(serving.join().map_err(panicked).and_then(|result| result))
    })?;
    assert_eq!(served.load(Ordering::SeqCst), 5);
    Ok(())
}

#[test]
fn handle_request_takes_one_request_however_many_threads_pull() -> io::Result<()> {
    let (give, jobs, _waiting) = Jobs::new();
    let (done, ends) = unbounded();
    for number in 0..3 {
        give.send(Job { number, done: done.clone() }).map_err(io::Error::other)?;
    }
    let mut server = Server::new(jobs, Pool { threads: 2 }, Worker::default())?;
    let (outcome, server) = in_time(move || (server.handle_request_timeout(FAR), server))?;
    assert_eq!(outcome?, Outcome::Handled);
    assert_eq!(server.handler().done.load(Ordering::SeqCst), 1);
    assert_eq!(ends.len(), 1);
    Ok(())
}

/// Says when a request begins, and goes on when it may.
struct Gated {
    begun: Sender<()>,
    go_on: Receiver<()>,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

impl Handler<TcpRequest> for Gated {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<socketserver::Next> {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let _ = self.begun.send(());
        let _ = self.go_on.recv_timeout(FAR);
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        conn.write_all(b"done")?;
        Ok(socketserver::Next::Done)
    }
}

fn gated() -> (Arc<Gated>, Receiver<()>, Sender<()>) {
    let (begun, begins) = unbounded();
    let (let_go, go_on) = unbounded();
    let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    (Arc::new(Gated { begun, go_on, at_once, most }), begins, let_go)
}

#[test]
fn no_more_requests_run_than_there_is_room_for() -> io::Result<()> {
    const MOST: usize = 2;
    let (handler, begins, let_go) = gated();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let (over, _ended) = unbounded();
    let running = Server::new(tcp, Limited { most: MOST, over }, Arc::clone(&handler))?.spawn()?;
    let address = running.local_addr()?;
    let clients = Vec::from_iter((0..5).map(|_| say(address, "")));
    for _ in 0..MOST {
        begins.recv_timeout(FAR).map_err(io::Error::other)?;
    }
    for _ in &clients {
        let_go.send(()).map_err(io::Error::other)?;
    }
    for client in clients {
        assert_eq!(hear(&client?)?, "done");
    }
    assert_eq!(handler.most.load(Ordering::SeqCst), MOST);
    running.stop();
    end(running)
}

#[test]
fn a_stop_is_heard_while_there_is_no_room() -> io::Result<()> {
    let (handler, begins, let_go) = gated();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let (over, ended) = unbounded();
    let running = Server::new(tcp, Limited { most: 1, over }, handler)?.spawn()?;
    let address = running.local_addr()?;
    let (first, second) = (say(address, "")?, say(address, "")?);
    begins.recv_timeout(FAR).map_err(io::Error::other)?;
    running.stop();
    ended.recv_timeout(FAR).map_err(io::Error::other)?;
    let_go.send(()).map_err(io::Error::other)?;
    end(running)?;
    assert_eq!(hear(&first)?, "done", "what is in flight is finished");
    assert!(begins.try_recv().is_err(), "and nothing is taken after the stop");
    drop(second);
    Ok(())
}
