//! Limits: how many requests are let in, and what becomes of the others; how permits come
//! back is in `permits.rs`, and what is so of processes in `books_alone.rs`.

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use socketserver::{
    Concurrency, Counters, Limits, LocalAddr, Outcome, Refusal, Refuse, Running, Server, Sync, Tcp,
    TcpRequest, ThreadPool, Threading, Transport, Udp, UnixStream, Waiter, WhenFull, by_ip,
    by_prefix,
};
use support::gate::{Gate, Keeper, gate};
use support::net::{PATIENCE, Reach, connect, is_closed};
use support::processes::eventually;
use support::time::let_pass;
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Gated<C> = Running<Tcp, C, Gate>;

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3600);

/// Serves at a gate, under `Threading`.
fn gated(limits: Limits<Tcp>) -> Result<(Gated<Threading>, SocketAddr, Keeper, Counters)> {
    let (gate, keeper) = gate();
    let counters = Counters::new()?;
    let server = Server::new(Tcp::options().bind("127.0.0.1:0")?, Threading::new(), gate)?;
    let running = server.limits(limits)?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    Ok((running, address, keeper, counters))
}

fn is_served(client: TcpStream) -> Result<bool> {
    Ok(Tcp::receive(client)? == b"x")
}

/// A client with this address.
fn connect_from(from: [u8; 4], to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::from(from), 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// So many requests at a gate that lets in `most`: never more are inside, and all are served.
fn never_more_than<T, C>(strategy: C, at_once: usize, most: usize) -> Result
where
    T: Reach<Client: Send> + Send + std::marker::Sync + 'static,
    T::Request: Write,
    C: Concurrency<T, Gate> + Send + 'static,
{
    let dir = tempfile::tempdir()?;
    let (gate, keeper) = gate();
    let counters = Counters::new()?;
    let server = Server::new(T::open(dir.path())?, strategy, gate)?;
    let running = server.limits(Limits::new().at_once(at_once))?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    let client = |_| {
        let client = T::send(&address, dir.path(), b"?")?;
        Ok(thread::spawn(move || T::receive(client)))
    };
    let clients = (0..10).map(client).collect::<io::Result<Vec<_>>>()?;

    for _ in 0..most {
        keeper.wait_for_one()?;
    }
    let_pass(A_WHILE);
    assert!(!keeper.has_one_come());
    assert_eq!(counters.active(), most as u64);
    for _ in most..10 {
        keeper.let_go()?;
        keeper.wait_for_one()?;
    }
    (0..most).try_for_each(|_| keeper.let_go())?;
    for client in clients {
        assert_eq!(client.join().map_err(|_| "a client panicked")??, b"x");
    }
    running.close()?;
    assert_eq!(keeper.most(), most);
    assert_eq!((counters.accepted(), counters.finished(), counters.active()), (10, 10, 0));
    Ok(())
}

#[test]
fn threads_are_never_more_than_may_be_at_once_over_tcp() -> Result {
    never_more_than::<Tcp, _>(Threading::new(), 3, 3)
}

#[test]
fn a_pool_has_no_more_at_once_than_either_allows() -> Result {
    never_more_than::<Tcp, _>(ThreadPool::new(8).idle_timeout(Duration::ZERO), 3, 3)?;
    never_more_than::<UnixStream, _>(ThreadPool::new(2), 3, 2)?;
    never_more_than::<Udp, _>(ThreadPool::new(2), 3, 2)
}

#[test]
fn threads_are_never_more_than_may_be_at_once_over_unix_sockets() -> Result {
    never_more_than::<UnixStream, _>(Threading::new(), 3, 3)
}

#[test]
fn threads_are_never_more_than_may_be_at_once_over_udp() -> Result {
    never_more_than::<Udp, _>(Threading::new(), 3, 3)
}

#[test]
fn a_sync_server_has_one_at_once_whatever_it_may_have() -> Result {
    never_more_than::<Tcp, _>(Sync, 1, 1)?;
    never_more_than::<UnixStream, _>(Sync, 3, 1)?;
    never_more_than::<Udp, _>(Sync, 1, 1)
}

#[test]
fn one_too_many_is_closed_without_a_word() -> Result {
    let (running, address, keeper, counters) =
        gated(Limits::new().at_once(1).when_full(WhenFull::Refuse))?;
    let first = connect(address)?;
    keeper.wait_for_one()?;

    let second = connect(address)?;
    assert_eq!(support::net::all(second)?, b"", "a clean end");
    keeper.let_go()?;
    assert!(is_served(first)?);
    running.close()?;
    assert_eq!((counters.accepted(), counters.finished()), (2, 1));
    assert_eq!((counters.refused(), counters.refused_for(Refusal::Full)), (1, 1));
    Ok(())
}

#[test]
fn one_too_many_is_told_so() -> Result {
    let limits = Limits::new().at_once(1).when_full(WhenFull::Refuse);
    let (running, address, keeper, _counters) =
        gated(limits.refuse(Refuse::Answer(b"busy\n".into())))?;
    let first = connect(address)?;
    keeper.wait_for_one()?;

    assert_eq!(support::net::all(connect(address)?)?, b"busy\n");
    keeper.let_go()?;
    assert!(is_served(first)?);
    running.close()?;
    Ok(())
}

#[test]
fn one_too_many_is_reset() -> Result {
    let limits = Limits::new().at_once(1).when_full(WhenFull::Refuse).refuse(Refuse::Reset);
    let (running, address, keeper, _counters) = gated(limits)?;
    let first = connect(address)?;
    keeper.wait_for_one()?;

    // As early as in connect, which looks whether all is well.
    let refused = connect(address).and_then(|mut client| client.read(&mut [0]));
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    keeper.let_go()?;
    assert!(is_served(first)?);
    running.close()?;
    Ok(())
}

#[test]
fn one_too_many_is_left_waiting_for_its_time_and_no_longer() -> Result {
    let patience = A_WHILE * 3;
    let limits = Limits::new().at_once(1).when_full(WhenFull::RefuseAfter(patience));
    let (running, address, keeper, counters) = gated(limits)?;
    let first = connect(address)?;
    keeper.wait_for_one()?;
    // The time is that of each which waits, and not that since the server is full.
    for since in [patience / 2, patience * 2] {
        let_pass(since);
        let begun = Instant::now();
        assert!(is_closed(connect(address)?)?);
        assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
    }
    // Those that come right behind it go with it.
    let_pass(A_WHILE);
    let third = connect(address)?;
    keeper.let_go()?;
    assert!(is_served(first)?);
    keeper.let_go()?;
    assert!(is_served(third)?);
    running.close()?;
    assert_eq!((counters.finished(), counters.refused_for(Refusal::Full)), (2, 2));
    Ok(())
}

/// A TCP transport that counts how often it is asked.
struct Asked(Tcp, Arc<AtomicUsize>);

impl Transport for Asked {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        self.1.fetch_add(1, SeqCst);
        self.0.get_request()
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        self.1.fetch_add(1, SeqCst);
        self.0.wait(waiter)
    }
}

#[test]
fn a_full_server_whose_patience_is_over_does_not_spin() -> Result {
    for rate in [false, true] {
        let (gate, keeper) = gate();
        let tcp = Tcp::options().bind("127.0.0.1:0")?;
        let (address, asked) = (tcp.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let limits = Limits::new().when_full(WhenFull::RefuseAfter(Duration::from_millis(1)));
        let limits = if rate { limits.rate(1, HOUR) } else { limits.at_once(1) };
        let server = Server::new(Asked(tcp, Arc::clone(&asked)), Threading::new(), gate)?;
        let running = server.limits(limits)?.spawn()?;
        let first = connect(address)?;
        keeper.wait_for_one()?;

        assert!(is_closed(connect(address)?)?);
        let_pass(A_WHILE);
        keeper.let_go()?;
        assert!(is_served(first)?);
        running.close()?;
        assert!(asked.load(SeqCst) < 50, "asked {asked:?} times");
    }
    Ok(())
}

#[test]
fn each_address_has_its_own_places() -> Result {
    let (running, address, keeper, counters) = gated(Limits::new().per_source(1, by_ip))?;
    let first = connect_from([127, 0, 0, 1], address)?;
    keeper.wait_for_one()?;

    assert!(is_closed(connect_from([127, 0, 0, 1], address)?)?);
    let other = connect_from([127, 0, 0, 2], address)?;
    keeper.wait_for_one()?;
    keeper.let_go()?;
    keeper.let_go()?;
    assert!(is_served(first)? && is_served(other)?);
    running.close()?;
    assert_eq!((counters.finished(), counters.refused_for(Refusal::Source)), (2, 1));
    Ok(())
}

#[test]
fn each_network_has_its_own_places() -> Result {
    let (running, address, keeper, counters) =
        gated(Limits::new().per_source(1, by_prefix(24, 56)))?;
    let first = connect_from([127, 0, 0, 1], address)?;
    keeper.wait_for_one()?;

    assert!(is_closed(connect_from([127, 0, 0, 2], address)?)?);
    let other = connect_from([127, 0, 1, 1], address)?;
    keeper.wait_for_one()?;
    keeper.let_go()?;
    keeper.let_go()?;
    assert!(is_served(first)? && is_served(other)?);
    running.close()?;
    assert_eq!((counters.finished(), counters.refused_for(Refusal::Source)), (2, 1));
    Ok(())
}

#[test]
fn a_place_is_given_back_where_another_table_refuses() -> Result {
    // A key of its own for each port, and one for all.
    let limits =
        Limits::<Tcp>::new().per_source(1, |conn| conn.peer().port()).per_source(1, |_| ());
    let (running, address, keeper, counters) = gated(limits)?;
    let first = connect(address)?;
    keeper.wait_for_one()?;

    // From an address where nobody else is given ports.
    let refused = connect_from([127, 0, 0, 3], address)?;
    let from = refused.local_addr()?;
    assert!(is_closed(refused)?);
    keeper.let_go()?;
    assert!(is_served(first)?);
    // The counters say so after the place has been given back.
    let again = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    again.set_reuse_address(true)?;
    again.bind(&from.into())?;
    eventually("the place is free", || counters.active() == 0)?;
    again.connect(&address.into())?;
    again.set_read_timeout(Some(PATIENCE))?;
    keeper.wait_for_one()?;
    keeper.let_go()?;
    assert!(is_served(again.into())?);
    running.close()?;
    assert_eq!((counters.finished(), counters.refused()), (2, 1));
    Ok(())
}

#[test]
fn a_key_that_panics_refuses_and_nothing_else() -> Result {
    let asked = AtomicUsize::new(0);
    let limits = Limits::<Tcp>::new().at_once(1).per_source(1, move |_| {
        assert!(asked.fetch_add(1, SeqCst) > 0, "scripted");
    });
    let (running, address, keeper, counters) = gated(limits)?;

    assert!(is_closed(connect(address)?)?);
    let second = connect(address)?;
    keeper.let_go()?;
    assert!(is_served(second)?);
    running.close()?;
    assert_eq!((counters.finished(), counters.refused_for(Refusal::Source)), (1, 1));
    Ok(())
}

#[test]
fn what_comes_too_fast_is_refused_once_the_bucket_is_empty() -> Result {
    let limits = Limits::new().rate(2, HOUR).when_full(WhenFull::Refuse);
    let (running, address, keeper, counters) = gated(limits)?;
    (0..2).try_for_each(|_| keeper.let_go())?;
    // One after the other: between them the server looks, and finds nothing.
    for _ in 0..2 {
        assert!(is_served(connect(address)?)?);
    }

    assert!(is_closed(connect(address)?)?);
    running.close()?;
    assert_eq!((counters.finished(), counters.refused_for(Refusal::Rate)), (2, 1));
    Ok(())
}

#[test]
fn what_comes_too_fast_is_left_waiting_and_served() -> Result {
    let (running, address, keeper, counters) = gated(Limits::new().rate(1, A_WHILE))?;
    (0..4).try_for_each(|_| keeper.let_go())?;
    let begun = Instant::now();
    let clients = (0..4).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;

    for client in clients {
        assert!(is_served(client)?);
    }
    assert!(begun.elapsed() >= A_WHILE * 3, "{:?}", begun.elapsed());
    running.close()?;
    assert_eq!((counters.finished(), counters.refused()), (4, 0));
    Ok(())
}

#[test]
fn a_stop_is_heard_while_a_permit_or_a_token_is_wanted() -> Result {
    for limits in [Limits::new().at_once(1), Limits::new().rate(1, HOUR)] {
        let (running, address, keeper, _counters) = gated(limits)?;
        let first = connect(address)?;
        keeper.wait_for_one()?;
        let _second = connect(address)?;
        running.stop();
        let server = without_hanging(|| running.join())??;
        keeper.let_go()?;
        assert!(is_served(first)?);
        server.close()?;
    }
    Ok(())
}

#[test]
fn handle_request_waits_for_a_permit_no_longer_than_it_may() -> Result {
    for full in [WhenFull::LeaveInBacklog, WhenFull::Refuse] {
        let (gate, keeper) = gate();
        let tcp = Tcp::options().bind("127.0.0.1:0")?;
        let limits = Limits::new().at_once(1).when_full(full);
        let mut server = Server::new(tcp, Threading::new(), gate)?.limits(limits)?;
        let address = server.local_addr()?;
        let first = connect(address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        keeper.wait_for_one()?;

        let second = connect(address)?;
        let outcome = server.handle_request_timeout(A_WHILE)?;
        if full == WhenFull::Refuse {
            assert_eq!(outcome, Outcome::Refused);
            assert!(is_closed(second)?);
            keeper.let_go()?;
        } else {
            assert_eq!(outcome, Outcome::TimedOut);
            assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
            (0..2).try_for_each(|_| keeper.let_go())?;
            assert_eq!(server.handle_request()?, Outcome::Handled);
            assert!(is_served(second)?);
        }
        assert!(is_served(first)?);
        server.close()?;
    }
    Ok(())
}

#[test]
fn limits_that_would_let_nothing_in_are_no_limits() -> Result {
    let wrong = [
        Limits::<Tcp>::new().at_once(0),
        Limits::new().per_source(0, by_ip),
        Limits::new().rate(0, HOUR),
        Limits::new().rate(1, Duration::ZERO),
    ];
    for limits in wrong {
        let server = Server::new_fn(Tcp::options().bind("127.0.0.1:0")?, Sync, |_| Ok(()))?;
        let error = server.limits(limits).err().ok_or("taken")?;
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    Ok(())
}

#[test]
fn times_without_end_are_no_panic() -> Result {
    let limits =
        Limits::new().rate(1, Duration::MAX).when_full(WhenFull::RefuseAfter(Duration::MAX));
    let (running, address, keeper, _counters) = gated(limits)?;
    keeper.let_go()?;
    assert!(is_served(connect(address)?)?);
    let _waits = connect(address)?;
    without_hanging(|| running.close())??;
    Ok(())
}
