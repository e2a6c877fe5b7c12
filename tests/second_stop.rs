//! Stops after the first: which of them hurry, and which do not; and what an announcement and a
//! report have to do with when the first came.

mod support;

use std::error::Error;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};
use socketserver::{
    Concurrency, Counters, Drain, Limits, LocalAddr, Outcome, Server, Sync, Tcp, TcpServer,
    ThreadingTcpServer, WhenFull,
};
use support::lines::{Lines, client, closing, exchange, lines, numbers};
use support::net::{PATIENCE, all, connect, is_closed};
use support::processes::eventually;
use support::time::let_pass;
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(50);

/// Serves, on a thread of its own, until it is stopped; the server then comes back.
fn serving<C>(mut server: Server<Tcp, C, Lines>) -> Receiver<Server<Tcp, C, Lines>>
where
    C: Concurrency<Tcp, Lines> + Send + 'static,
{
    let (tell, told) = bounded(1);
    thread::spawn(move || server.serve_forever().is_ok().then(|| tell.send(server)));
    told
}

#[test]
fn each_stop_between_serving_and_closing_is_a_hurry() -> Result {
    for more in 1..=2 {
        let (tell, called) = unbounded();
        let server = ThreadingTcpServer::bind("127.0.0.1:0", Lines(tell))?.drain(Drain::new());
        let (address, stop) = (server.local_addr()?, server.stop_handle());
        let served = serving(server);
        let silent = client(address, &called)?;
        stop.stop();
        let server = served.recv_timeout(PATIENCE)?;
        (0..more).for_each(|_| stop.stop());
        assert_eq!(numbers(without_hanging(|| server.close())??), [0, 1, 0, 0]);
        assert_eq!(all(&silent)?, b"");
    }
    Ok(())
}

#[test]
fn a_hurry_is_no_concern_of_the_next_session() -> Result {
    let (tell, called) = unbounded();
    let server = ThreadingTcpServer::bind("127.0.0.1:0", Lines(tell))?.drain(Drain::new());
    let (address, stop) = (server.local_addr()?, server.stop_handle());
    stop.stop();
    let server = serving(server).recv_timeout(PATIENCE)?;
    stop.stop();
    assert!(stop.is_stopping() && !server.stop_handle().is_stopping());

    let served = serving(server);
    let busy = client(address, &called)?;
    stop.stop();
    let server = served.recv_timeout(PATIENCE)?;
    let (tell, closed) = bounded(1);
    thread::spawn(move || tell.send(server.close()));
    let_pass(A_WHILE);
    exchange(&busy, b"one\n")?;
    assert_eq!(numbers(closed.recv_timeout(PATIENCE)??), [1, 0, 0, 0]);
    Ok(())
}

#[test]
fn closing_what_has_been_stopped_is_no_hurry() -> Result {
    let (running, address, called, _) = lines(Sync, Some(Drain::new()))?;
    let busy = client(address, &called)?;
    running.stop();
    let closed = closing(running);
    let_pass(A_WHILE);
    exchange(&busy, b"one\n")?;
    assert_eq!(numbers(closed.recv_timeout(PATIENCE)??), [0; 4]);
    Ok(())
}

#[test]
fn an_announcement_to_a_loop_of_handle_request_ends_while_requests_come() -> Result {
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    let server = Server::new_fn(tcp, Sync, |conn| conn.write_all(b"x"))?;
    let mut server = server.drain(Drain::new().announce(A_WHILE * 4));
    let stop = server.stop_handle();
    let _asked = connect(address)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    stop.stop();
    let begun = Instant::now();
    // There is always one more.
    let mut asked = connect(address)?;
    while server.handle_request()? != Outcome::Stopped {
        assert!(begun.elapsed() < PATIENCE, "the announcement goes on");
        asked = connect(address)?;
    }
    drop(asked);
    assert!(begun.elapsed() >= A_WHILE * 4, "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_report_of_a_sync_server_begins_with_the_stop() -> Result {
    let (running, address, called, _) = lines(Sync, Some(Drain::new()))?;
    let busy = client(address, &called)?;
    running.stop();
    // Of which a busy machine may take some to hear of it.
    let_pass(A_WHILE * 4);
    exchange(&busy, b"one\n")?;
    let report = without_hanging(|| running.close())??;
    assert!(report.took >= A_WHILE, "{report:?}");
    Ok(())
}

#[test]
fn what_another_server_with_the_same_counters_refuses_is_not_in_the_report() -> Result {
    let counters = Counters::new()?;
    let mut own = TcpServer::bind_fn("127.0.0.1:0", |_conn| Ok(()))?.counters(&counters);
    own.stop_handle().stop();
    own.serve_forever()?;

    let limits = Limits::new().per_source(1, |_conn| ()).when_full(WhenFull::Refuse);
    let other = ThreadingTcpServer::bind_fn("127.0.0.1:0", |conn| conn.read(&mut [0]).map(drop))?;
    let other = other.limits(limits)?.counters(&counters).spawn()?;
    let address = other.local_addr()?;
    let _first = connect(address)?;
    assert!(is_closed(connect(address)?)?);
    eventually("it is refused", || counters.refused() == 1)?;
    assert_eq!(own.close()?.refused, 0);
    Ok(())
}
