//! How a server ends: announced, finished, cut, abandoned, and what its report says of it; what
//! remains afterwards is looked at in `books_alone.rs`.

mod support;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use socketserver::{
    Concurrency, Counters, Drain, Handler, Limits, LocalAddr, Next, Report, Server, Sync, Tcp,
    TcpRequest, TcpServer, ThreadPool, Threading, ThreadingTcpServer, WhenFull, handler_fn,
};
use support::gate::gate;
use support::lines::{Lines, client, closing, exchange, idle, lines, numbers};
use support::net::{PATIENCE, all, connect, is_closed};
use support::processes::eventually;
use support::time::let_pass;
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn while_a_stop_is_announced_requests_are_served_and_connections_end() -> Result {
    let drain = Drain::new().announce(HOUR);
    let (running, address, called, counters) = lines(Threading::new(), Some(drain))?;
    let stop = running.stop_handle();
    let lasting = idle(address, &called)?;
    assert!(!stop.is_stopping());
    stop.stop();
    assert!(stop.is_stopping());

    // The stop came in the middle of this one, where nobody could know better than to promise another.
    exchange(&lasting, b"two\n")?;
    exchange(&lasting, b"three\n")?;
    assert_eq!(all(&lasting)?, b"", "no further exchange");
    let late = client(address, &called)?;
    exchange(&late, b"one\n")?;
    assert_eq!(all(&late)?, b"");
    // A thread is not done when its client sees the end.
    eventually("both have ended", || counters.active() == 0)?;
    // The second stop ends the announcement.
    stop.stop();
    let report = without_hanging(|| running.close())??;
    assert_eq!(numbers(report), [0; 4]);
    Ok(())
}

#[test]
fn an_announcement_ends_by_itself() -> Result {
    fn ends<C: Concurrency<Tcp, Lines> + Send + 'static>(strategy: C) -> Result {
        let (running, _, _, _) = lines(strategy, Some(Drain::new().announce(A_WHILE)))?;
        let begun = Instant::now();
        running.stop();
        let report = without_hanging(|| running.close())??;
        assert!(begun.elapsed() >= A_WHILE, "{:?}", begun.elapsed());
        assert!(report.took >= A_WHILE, "{report}");
        Ok(())
    }
    ends(Threading::new())?;
    ends(ThreadPool::new(2))?;
    ends(Sync)
}

#[test]
fn a_stop_before_serving_is_not_announced() -> Result {
    let mut server =
        TcpServer::bind_fn("127.0.0.1:0", |_| Ok(()))?.drain(Drain::new().announce(HOUR));
    server.stop_handle().stop();
    without_hanging(move || server.serve_forever())??;
    Ok(())
}

#[test]
fn idle_connections_are_cut_and_all_others_finish() -> Result {
    let (running, address, called, _) = lines(Threading::new(), Some(Drain::new()))?;
    let idle = idle(address, &called)?;
    // The second line has been received with the first.
    let unread = client(address, &called)?;
    (&unread).write_all(b"one\ntw")?;
    let mut answer = [0; 4];
    (&unread).read_exact(&mut answer)?;
    called.recv_timeout(PATIENCE)?;
    let new = client(address, &called)?;

    let closed = closing(running);
    assert_eq!(all(&idle)?, b"", "cut at once");
    exchange(&new, b"one\n")?;
    assert_eq!(all(&new)?, b"");
    (&unread).write_all(b"o\n")?;
    assert_eq!(all(&unread)?, b"two\n");
    assert_eq!(numbers(closed.recv_timeout(PATIENCE)??), [2, 1, 0, 0]);
    Ok(())
}

/// A request that becomes idle when the test says so.
struct Late {
    inner: TcpRequest,
    activity: Option<socketserver::Activity>,
    pause: Arc<(Sender<()>, Receiver<()>)>,
}

impl socketserver::Request for Late {
    fn connection(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.connection()
    }

    fn watch(&mut self, activity: &socketserver::Activity) {
        self.activity = Some(activity.clone());
    }

    fn next_exchange(&mut self) -> io::Result<()> {
        self.pause.0.send(()).map_err(io::Error::other)?;
        self.pause.1.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        if let Some(activity) = &self.activity {
            activity.idle();
        }
        Ok(())
    }
}

struct LateTcp(Tcp, Arc<(Sender<()>, Receiver<()>)>);

impl socketserver::Transport for LateTcp {
    type Request = Late;

    fn get_request(&self) -> io::Result<Option<Late>> {
        let pause = Arc::clone(&self.1);
        let late = |inner| Late { inner, activity: None, pause };
        Ok(self.0.get_request()?.map(late))
    }

    fn wait(&self, waiter: &socketserver::Waiter<'_>) -> io::Result<()> {
        self.0.wait(waiter)
    }
}

struct Again(Sender<()>);

impl Handler<Late> for Again {
    fn handle(&self, late: &mut Late) -> io::Result<Next> {
        self.0.send(()).map_err(io::Error::other)?;
        let mut byte = [0];
        let count = late.inner.read(&mut byte)?;
        Ok(if count == 0 { Next::Done } else { Next::Again })
    }
}

#[test]
fn a_connection_that_becomes_idle_after_the_others_were_cut_ends_all_the_same() -> Result {
    let ((between, is_between), (go_on, goes_on)) = (unbounded(), unbounded());
    let (tell, called) = unbounded();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    let transport = LateTcp(tcp, Arc::new((between, goes_on)));
    let server = Server::new(transport, Threading::new(), Again(tell))?;
    let running = server.drain(Drain::new()).spawn()?;
    let between = || {
        let client = client(address, &called)?;
        (&client).write_all(b"1")?;
        is_between.recv_timeout(PATIENCE)?;
        Ok::<_, Box<dyn Error>>(client)
    };
    let idle = between()?;
    go_on.send(())?;
    called.recv_timeout(PATIENCE)?;
    let late = between()?;
    let (tell, told) = bounded(1);
    thread::spawn(move || tell.send(running.close()));

    assert!(is_closed(idle)?, "those that are idle have been cut");
    go_on.send(())?;
    assert!(is_closed(late)?);
    let report = told.recv_timeout(PATIENCE)??;
    // It is cut too where those that are idle were still being gone through.
    assert!(report.finished <= 1 && report.abandoned == 0, "{report}");
    assert_eq!(report.finished + report.cut, 2, "{report}");
    Ok(())
}

#[test]
fn a_silent_peer_is_cut_off_in_time_under_threads() -> Result {
    let (running, address, called, _) =
        lines(Threading::new(), Some(Drain::new().finish_within(A_WHILE)))?;
    let silent = client(address, &called)?;
    let begun = Instant::now();
    let closed = closing(running);
    assert_eq!(all(&silent)?, b"");
    let report = closed.recv_timeout(PATIENCE)??;
    assert_eq!(numbers(report), [0, 1, 0, 0]);
    assert!(report.took >= A_WHILE && report.took <= begun.elapsed(), "{report}");
    Ok(())
}

#[test]
fn a_peer_that_does_not_take_its_last_words_is_cut_off_too() -> Result {
    let (tell, told) = unbounded();
    let handler = handler_fn(move |conn: &mut TcpRequest| {
        // More than the socket takes; it is sent when the request is over.
        conn.write_all(&vec![b'x'; 15 << 20])?;
        tell.send(()).map_err(io::Error::other)?;
        Err(io::ErrorKind::ConnectionReset.into())
    });
    let tcp = Tcp::options().wbufsize(16 << 20).bind("127.0.0.1:0")?;
    let server = Server::new(tcp, Threading::new(), handler)?;
    let running = server.drain(Drain::new().finish_within(A_WHILE)).spawn()?;
    let client = connect(running.local_addr()?)?;
    told.recv_timeout(PATIENCE)?;

    let report = closing(running).recv_timeout(PATIENCE)??;
    assert_eq!(numbers(report), [0, 1, 0, 0]);
    drop(client);
    Ok(())
}

#[test]
fn a_silent_peer_is_cut_off_in_time_by_a_server_that_is_waiting_for_it() -> Result {
    for drain in [Drain::new().finish_within(A_WHILE), Drain::new().announce(A_WHILE)] {
        // An announcement alone ends with nobody cut but those that are idle.
        let announces = drain == Drain::new().announce(A_WHILE);
        let (running, address, called, _) = lines(Sync, Some(drain))?;
        let silent = if announces { idle(address, &called)? } else { client(address, &called)? };
        let begun = Instant::now();
        let closed = closing(running);
        assert_eq!(all(&silent)?, b"");
        let report = closed.recv_timeout(PATIENCE)??;
        assert_eq!(numbers(report), [0, 1, 0, 0]);
        assert!(begun.elapsed() >= A_WHILE, "{report}");
    }
    Ok(())
}

#[test]
fn a_handler_that_does_not_look_at_its_connection_is_abandoned() -> Result {
    let (gate, keeper) = gate();
    let drain = Drain::new().finish_within(Duration::ZERO).cut_within(A_WHILE);
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let running = Server::new(tcp, Threading::new(), gate)?.drain(drain).spawn()?;
    let client = connect(running.local_addr()?)?;
    keeper.wait_for_one()?;

    let report = closing(running).recv_timeout(PATIENCE)??;
    assert_eq!(numbers(report), [0, 0, 1, 0]);
    assert!(report.took >= A_WHILE, "{report}");
    assert!(is_closed(client)?, "it has been cut");
    keeper.let_go()?;
    Ok(())
}

/// Waits until a silent client has been cut off, after one more stop and another.
fn is_hurried<C: Concurrency<Tcp, Lines> + Send + 'static>(strategy: C) -> Result<Report> {
    let (running, address, called, _) = lines(strategy, Some(Drain::new()))?;
    let silent = client(address, &called)?;
    let stop = running.stop_handle();
    let closed = closing(running);
    // When the port is closed, or in a moment under `Sync`, nothing but the hurry can help.
    let_pass(A_WHILE);
    assert!(closed.is_empty());
    stop.stop();
    assert_eq!(all(&silent)?, b"");
    Ok(closed.recv_timeout(PATIENCE)??)
}

#[test]
fn one_more_stop_is_a_hurry() -> Result {
    assert_eq!(numbers(is_hurried(Threading::new())?), [0, 1, 0, 0]);
    assert_eq!(numbers(is_hurried(ThreadPool::new(1))?), [0, 1, 0, 0]);
    assert_eq!(numbers(is_hurried(Sync)?), [0, 1, 0, 0]);
    Ok(())
}

#[test]
fn without_a_drain_stops_cut_nothing() -> Result {
    fn finishes<C: Concurrency<Tcp, Lines> + Send + 'static>(strategy: C) -> Result<Report> {
        let (running, address, called, _) = lines(strategy, None)?;
        let busy = idle(address, &called)?;
        let stop = running.stop_handle();
        let closed = closing(running);
        (0..3).for_each(|_| stop.stop());
        let_pass(A_WHILE);
        assert!(closed.is_empty());
        exchange(&busy, b"two\n")?;
        assert_eq!(all(&busy)?, b"");
        Ok(closed.recv_timeout(PATIENCE)??)
    }
    assert_eq!(numbers(finishes(Threading::new())?), [1, 0, 0, 0]);
    assert_eq!(numbers(finishes(ThreadPool::new(1))?), [1, 0, 0, 0]);
    assert_eq!(numbers(finishes(Sync)?), [0, 0, 0, 0]);
    Ok(())
}

#[test]
fn a_report_counts_each_request_once() -> Result {
    let (lasts, ends) = unbounded::<()>();
    let (tell, called) = unbounded();
    let handler = handler_fn(move |conn: &mut TcpRequest| {
        tell.send(()).map_err(io::Error::other)?;
        let mut line = String::new();
        match conn.read_line(&mut line)? {
            // Whoever says this is not going to be heard.
            _ if line == "lasts\n" => drop(ends.recv_timeout(PATIENCE)),
            _ => conn.write_all(line.as_bytes())?,
        }
        Ok(())
    });
    let drain = Drain::new().announce(HOUR).finish_within(A_WHILE * 4).cut_within(A_WHILE);
    let limits = Limits::new().at_once(4).when_full(WhenFull::Refuse);
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let server = Server::new(tcp, Threading::new(), handler)?.limits(limits)?.drain(drain);
    let running = server.spawn()?;
    let address = running.local_addr()?;
    let clients = (0..4).map(|_| client(address, &called)).collect::<Result<Vec<_>>>()?;
    assert!(is_closed(connect(address)?)?, "refused, before the stop");
    running.stop();
    assert!(is_closed(connect(address)?)?, "refused, after it");
    (&clients[0]).write_all(b"lasts\n")?;

    running.stop();
    let closed = closing(running);
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    exchange(&clients[1], b"well\n")?;
    exchange(&clients[2], b"well\n")?;
    let report = closed.recv_timeout(PATIENCE)??;
    drop(lasts);
    assert_eq!([report.finished, report.cut, report.abandoned], [2, 1, 1], "{report}");
    assert!(report.refused >= 1, "{report}");
    Ok(())
}

#[test]
fn what_an_earlier_session_has_cut_is_not_in_the_report() -> Result {
    let (tell, called) = unbounded();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    let server = Server::new(tcp, Sync, Lines(tell))?;
    let mut server = server.drain(Drain::new().finish_within(Duration::ZERO));
    let stop = server.stop_handle();
    let cut = thread::spawn(move || {
        let silent = client(address, &called).map_err(|error| error.to_string());
        stop.stop();
        silent.and_then(|silent| all(&silent).map_err(|error| error.to_string()))
    });
    server.serve_forever()?;
    assert_eq!(cut.join().map_err(|_| "the client panicked")??, b"");
    server.stop_handle().stop();
    server.serve_forever()?;
    assert_eq!(numbers(server.close()?), [0; 4]);
    Ok(())
}

#[test]
fn a_server_that_is_dropped_waits_for_nothing_and_cuts_nothing() -> Result {
    let drain = Drain::new().finish_within(Duration::ZERO).cut_within(Duration::ZERO);
    let (running, address, called, _) = lines(Threading::new(), Some(drain))?;
    let client = client(address, &called)?;
    running.stop();
    drop(without_hanging(|| running.join())??);
    exchange(&client, b"one\n")?;
    assert_eq!(all(&client)?, b"");
    Ok(())
}

#[test]
fn those_who_are_not_waited_for_are_abandoned() -> Result {
    for strategy in [Threading::new().block_on_close(false), Threading::new().daemon_threads(true)]
    {
        let (running, address, called, _) = lines(strategy, Some(Drain::new()))?;
        let client = client(address, &called)?;
        let report = without_hanging(|| running.close())??;
        assert_eq!(numbers(report), [0, 0, 1, 0]);
        exchange(&client, b"one\n")?;
    }
    Ok(())
}

/// A server that one of its own handlers closes, when it gets it.
struct Closes(Receiver<ThreadingTcpServer<Self>>, Sender<Report>, AtomicU32);

impl Handler<TcpRequest> for Closes {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        if self.2.fetch_add(1, SeqCst) == 0 {
            let server = self.0.recv_timeout(PATIENCE).map_err(io::Error::other)?;
            self.1.send(server.close()?).map_err(io::Error::other)?;
        } else {
            let mut line = String::new();
            BufReader::new(conn).read_line(&mut line)?;
        }
        Ok(Next::Done)
    }
}

#[test]
fn a_handler_closes_its_own_server_and_is_not_waited_for() -> Result {
    let ((give, given), (tell, told)) = (unbounded(), unbounded());
    let counters = Counters::new()?;
    let handler = Closes(given, tell, AtomicU32::new(0));
    let running = ThreadingTcpServer::bind("127.0.0.1:0", handler)?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    let clients = [connect(address)?, connect(address)?];
    while counters.active() < 2 {
        thread::yield_now();
    }
    running.stop();
    give.send(running.join()?)?;

    let_pass(A_WHILE);
    assert!(told.is_empty(), "the other one is waited for");
    clients.iter().try_for_each(|mut client| client.write_all(b"\n"))?;
    assert_eq!(numbers(told.recv_timeout(PATIENCE)?), [1, 0, 1, 0]);
    Ok(())
}
