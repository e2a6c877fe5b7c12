//! Both transports under each strategy that goes with them.

use std::io::{self, Read};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

use socketserver::testing::{Link, Memory, MemoryDatagrams};
use socketserver::{
    Concurrency, Handler, Next, Outcome, Request, Server, Sync as OneByOne, ThreadPool, Threading,
};

use crate::support::net::{Echo, Reach};
use crate::support::story;
use crate::{Result, connect};

/// A request is handled by `handle_request`.
fn one_is_answered<T: Reach, C: Concurrency<T, Echo>>(strategy: C) -> Result
where
    Echo: Handler<T::Request>,
{
    let dir = "".as_ref();
    let mut server = Server::new(T::open(dir)?, strategy, Echo)?;
    let client = T::send(&server.local_addr()?, dir, b"one\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(T::receive(client)?, b"one\n");
    server.close()?;
    Ok(())
}

/// So are many, some of which have come before the server serves, by `serve_forever`.
fn many_are_answered<T, C>(strategy: C) -> Result
where
    T: Reach + Send + Sync + 'static,
    C: Concurrency<T, Echo> + Send + 'static,
    Echo: Handler<T::Request>,
{
    let dir = "".as_ref();
    let server = Server::new(T::open(dir)?, strategy, Echo)?;
    let address = server.local_addr()?;
    let early = T::send(&address, dir, b"early\n")?;
    let running = server.spawn()?;
    for number in 0..50 {
        let line = format!("{number}\n");
        assert_eq!(T::ask(&address, dir, line.as_bytes())?, line.as_bytes());
    }
    assert_eq!(T::receive(early)?, b"early\n");
    running.close()?;
    Ok(())
}

/// A stop ends the wait, and serving can begin again.
fn a_stop_ends_the_wait<T, C>(strategy: C) -> Result
where
    T: Reach + Send + Sync + 'static,
    C: Concurrency<T, Echo> + Send + 'static,
    Echo: Handler<T::Request>,
{
    let mut server = Server::new(T::open("".as_ref())?, strategy, Echo)?;
    for _ in 0..3 {
        let running = server.spawn()?;
        running.stop();
        server = running.join()?;
    }
    server.stop_handle().stop();
    server.serve_forever()?;
    server.close()?;
    Ok(())
}

macro_rules! under {
    ($($name:ident: $transport:ty, $strategy:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn one_is_answered() -> Result {
                super::one_is_answered::<$transport, _>($strategy)
            }

            #[test]
            fn many_are_answered() -> Result {
                super::many_are_answered::<$transport, _>($strategy)
            }

            #[test]
            fn a_stop_ends_the_wait() -> Result {
                super::a_stop_ends_the_wait::<$transport, _>($strategy)
            }
        }
    )*};
}

under! {
    streams_sync: Memory, OneByOne;
    streams_threading: Memory, Threading::new();
    streams_fresh_threads: Memory, Threading::new().fresh_threads(true);
    streams_pool: Memory, ThreadPool::new(3);
    streams_pool_of_one: Memory, ThreadPool::new(1);
    packets_sync: MemoryDatagrams, OneByOne;
    packets_threading: MemoryDatagrams, Threading::new();
    packets_pool: MemoryDatagrams, ThreadPool::new(3);
}

#[test]
fn a_request_has_the_story_that_it_has_over_sockets() -> Result {
    story::play_over::<Memory, _>(|| OneByOne, false, true)?;
    story::play_over::<Memory, _>(Threading::new, false, false)?;
    story::play_over::<Memory, _>(|| ThreadPool::new(1), false, true)
}

#[test]
fn requests_run_at_once_where_they_may() -> Result {
    const TOGETHER: usize = 20;
    let barrier = Arc::new(Barrier::new(TOGETHER));
    let memory = Memory::options().bind("10.0.0.1:0")?;
    let server = Server::new_fn(memory, Threading::new(), move |_conn| {
        barrier.wait();
        Ok(())
    })?;
    let running = server.spawn()?;
    let server = running.local_addr()?;
    let clients = (0..TOGETHER).map(|_| connect(Link::new(), server));
    for mut client in clients.collect::<io::Result<Vec<_>>>()? {
        assert_eq!(client.read(&mut [0])?, 0);
    }
    running.close()?;
    Ok(())
}

#[test]
fn there_is_no_descriptor() -> Result {
    struct Looks;
    impl<R: Request> Handler<R> for Looks {
        fn verify_request(&self, request: &R) -> io::Result<bool> {
            assert!(request.connection().is_none() && request.cutter().is_some());
            Ok(true)
        }

        fn handle(&self, _request: &mut R) -> io::Result<Next> {
            Ok(Next::Done)
        }
    }
    let mut server = Server::new(Memory::options().bind("10.0.0.1:0")?, OneByOne, Looks)?;
    let _client = connect(Link::new(), server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    Ok(())
}

#[test]
fn much_goes_both_ways_although_there_is_room_for_little() -> Result {
    const MEGABYTES: usize = 5 << 20;
    let memory = Memory::options().bind("10.0.0.1:0")?;
    let mut server = Server::new_fn(memory, OneByOne, |conn| {
        let mut bytes = vec![0; MEGABYTES];
        conn.read_exact(&mut bytes)?;
        io::Write::write_all(conn, &bytes)
    })?;
    let client = connect(Link::new().reads_of(100_000), server.local_addr()?)?;
    let (tell, told) = channel();
    let bytes: Vec<u8> = (0..MEGABYTES).map(|at| (at % 251) as u8).collect();
    let sent = bytes.clone();
    let thread = thread::spawn(move || -> io::Result<()> {
        io::Write::write_all(&mut &client, &sent)?;
        let mut got = Vec::new();
        (&client).read_to_end(&mut got)?;
        tell.send(got).map_err(io::Error::other)
    });
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert!(told.recv()? == bytes);
    thread.join().map_err(|_| "the client panicked")??;
    Ok(())
}
