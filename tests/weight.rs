//! What the types weigh, in bytes: what is not used, nothing.

use std::io::{self, Write};
use std::time::Duration;

use socketserver::{
    Counters, Drain, Event, Failure, Forking, Handler, Limits, Next, Options, Running, Selecting,
    Server, Session, StopHandle, Sync, Tcp, TcpRequest, ThreadPool, Threading, Udp, UdpRequest,
    UnixDatagram, UnixDatagramRequest, UnixStream, UnixStreamRequest, Worker, handler_fn,
};

/// A handler with nothing in it.
struct Stateless;

impl<R> Handler<R> for Stateless {
    fn handle(&self, _request: &mut R) -> io::Result<Next> {
        Ok(Next::Done)
    }
}

/// A handler with much in it.
struct Heavy(#[expect(dead_code, reason = "only its size counts")] [u8; 4096]);

#[test]
fn unused_slots_weigh_nothing() {
    let closure = |_: &mut TcpRequest| Ok(());
    assert_eq!(size_of::<Sync>(), 0);
    assert_eq!(size_of::<Stateless>(), 0);
    assert_eq!(size_of_val(&handler_fn(closure)), 0);

    // What every server has: its two halves, the end of its session, its interval, and whether it
    // keeps books.
    let own = 5 * size_of::<usize>() + size_of::<Option<Duration>>();
    assert_eq!(size_of::<Server<Tcp, Sync, Stateless>>(), own);
    assert_eq!(size_of::<Server<Tcp, Threading, Stateless>>(), own + size_of::<Threading>());
    assert_eq!(size_of::<Server<Tcp, ThreadPool, Stateless>>(), own + size_of::<ThreadPool>());
    assert_eq!(size_of::<Server<Tcp, Forking, Stateless>>(), own + size_of::<Forking>());
}

#[test]
fn a_closure_as_a_handler_weighs_what_it_captures() {
    let bytes = [0_u8; 24];
    let closure = move |conn: &mut TcpRequest| conn.write_all(&bytes);
    assert_eq!(size_of_val(&closure), 24);
    assert_eq!(size_of_val(&handler_fn(closure)), 24);
}

#[test]
fn a_server_weighs_the_same_whatever_it_serves() {
    let light = size_of::<Server<Tcp, Sync, Stateless>>();
    assert_eq!(size_of::<Server<Tcp, Sync, Heavy>>(), light);
    assert_eq!(size_of::<Server<Udp, Sync, Stateless>>(), light);
    assert_eq!(size_of::<Server<UnixStream, Sync, Stateless>>(), light);
    assert_eq!(size_of::<Server<UnixDatagram, Sync, Stateless>>(), light);
}

#[test]
fn what_moves_to_other_threads_weighs_a_pointer_and_a_number() {
    assert_eq!(size_of::<Worker<Stateless>>(), size_of::<usize>() + size_of::<u64>());
    assert_eq!(size_of::<Worker<Heavy>>(), size_of::<Worker<Stateless>>());
    assert_eq!(size_of::<Session<Udp, Heavy>>(), size_of::<Session<Tcp, Stateless>>());
    assert_eq!(size_of::<StopHandle>(), size_of::<usize>() + size_of::<u64>());
}

/// The features of the crate add nothing to what does not use them: the same sizes whatever they are,
/// so the test is one where it runs with all of them and with none. But `testing`, which is for tests
/// alone, has options of its own.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn features_that_are_not_used_weigh_nothing() {
    macro_rules! weigh {
        ($($type:ty: $bytes:literal,)*) => {$(
            assert_eq!(size_of::<$type>(), $bytes, "{}", stringify!($type));
        )*};
    }
    weigh! {
        TcpRequest: 200,
        UnixStreamRequest: 288,
        UdpRequest: 56,
        UnixDatagramRequest: 144,
        Tcp: 112,
        Udp: 8,
        UnixStream: 152,
        UnixDatagram: 56,
        Server<Tcp, Sync, Stateless>: 56,
        Server<Tcp, Threading, Stateless>: 104,
        Server<Tcp, Forking, Stateless>: 136,
        Server<Tcp, Selecting<Sync>, Stateless>: 72,
        Running<Tcp, Sync, Stateless>: 48,
        Session<Tcp, Stateless>: 272,
        Worker<Stateless>: 16,
        StopHandle: 16,
        Failure: 24,
        Event: 2,
        Limits<Tcp>: 136,
        Drain: 48,
        Counters: 16,
    }
    if !cfg!(feature = "testing") {
        weigh! { Options<Tcp>: 136, }
    }
}
