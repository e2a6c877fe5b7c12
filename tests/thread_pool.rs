//! `ThreadPool`: never more threads than may be, never fewer than have to be, and no request lost
//! whatever becomes of them. Each case has a process of its own, whose threads are counted.

mod support;

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use socketserver::{
    Counters, Failure, FailureKind, Handler, Next, Outcome, Running, Server, Tcp, TcpRequest,
    ThreadPool,
};
use support::alone;
use support::gate::{Gate, Keeper, gate};
use support::net::{self, PATIENCE};
use support::no_threads::allow_no_further_thread;
use support::one_byte::{release, tcp};
use support::processes::eventually;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A sanitizer has a thread of its own, from the first that is started on.
const OTHERS: usize = 1;
const NEVER: Duration = Duration::MAX;

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    net::all(net::connect(address)?)
}

/// A server at a gate, of which a thread serves beside those of the pool.
struct Gated {
    running: Running<Tcp, ThreadPool, Gate>,
    address: SocketAddr,
    keeper: Keeper,
    /// The threads before those of the pool.
    before: usize,
}

impl Gated {
    fn new(pool: ThreadPool) -> Result<Self> {
        let before = threads() + 1;
        let (gate, keeper) = gate();
        let running = Server::new(tcp()?, pool, gate)?.spawn()?;
        Ok(Self { address: running.local_addr()?, running, keeper, before })
    }

    fn clients(&self, count: usize) -> io::Result<Vec<TcpStream>> {
        (0..count).map(|_| net::connect(self.address)).collect()
    }

    /// So many clients come, and so many of them are in the handler at once.
    fn crowd(&self, count: usize, inside: usize) -> Result<Vec<TcpStream>> {
        let clients = self.clients(count)?;
        (0..inside).try_for_each(|_| self.keeper.wait_for_one())?;
        Ok(clients)
    }

    fn let_go(&self, clients: Vec<TcpStream>) -> Result {
        clients.iter().try_for_each(|_| self.keeper.let_go())?;
        for client in clients {
            assert_eq!(net::all(client)?, b"x");
        }
        Ok(())
    }

    /// Waits until the pool has so many threads.
    fn shrinks_to(&self, count: usize) -> Result {
        let most = self.before + count;
        eventually("the others end", || threads() <= most + OTHERS)?;
        assert!(threads() >= most, "{} are left, and {most} were to be", threads());
        Ok(())
    }

    fn close(self) -> Result {
        let before = self.before;
        self.running.close()?;
        eventually("none is left", || threads() < before + OTHERS)
    }
}

fn no_more_run_than_may_and_the_others_wait_for_their_turn() -> Result {
    const MOST: usize = 3;
    const CLIENTS: usize = 20;
    let gated = Gated::new(ThreadPool::new(MOST))?;
    for _ in 0..2 {
        let clients = gated.crowd(CLIENTS, MOST)?;
        assert!(threads() <= gated.before + MOST + OTHERS, "{}", threads());
        assert!(!gated.keeper.has_one_come());
        for _ in MOST..CLIENTS {
            gated.keeper.let_go()?;
            gated.keeper.wait_for_one()?;
            assert!(threads() <= gated.before + MOST + OTHERS, "{}", threads());
        }
        for _ in 0..MOST {
            gated.keeper.let_go()?;
        }
        for client in clients {
            assert_eq!(net::all(client)?, b"x");
        }
    }
    assert_eq!(gated.keeper.most(), MOST);
    gated.close()
}

fn the_least_are_there_from_the_beginning_to_the_end() -> Result {
    let gated = Gated::new(ThreadPool::new(4).min_threads(3).idle_timeout(Duration::ZERO))?;
    eventually("they are started", || threads() >= gated.before + 3)?;
    gated.shrinks_to(3)?;
    for _ in 0..20 {
        gated.let_go(gated.crowd(1, 1)?)?;
    }
    gated.shrinks_to(3)?;
    gated.close()
}

fn those_above_the_least_end_when_they_have_waited_in_vain() -> Result {
    for (least, idle) in [(1, Duration::ZERO), (2, Duration::from_millis(20))] {
        let gated = Gated::new(ThreadPool::new(8).min_threads(least).idle_timeout(idle))?;
        for _ in 0..3 {
            gated.let_go(gated.crowd(8, 8)?)?;
            gated.shrinks_to(least)?;
        }
        gated.close()?;
    }
    Ok(())
}

fn they_stay_where_they_have_time() -> Result {
    let gated = Gated::new(ThreadPool::new(8).idle_timeout(NEVER))?;
    gated.let_go(gated.crowd(8, 8)?)?;
    for _ in 0..20 {
        gated.let_go(gated.crowd(1, 1)?)?;
    }
    assert!(threads() >= gated.before + 8, "{} are left", threads());
    gated.close()
}

/// The last that waited is the first that is woken, or all would be kept by few requests.
fn those_that_few_requests_do_not_need_end() -> Result {
    let gated = Gated::new(ThreadPool::new(12).idle_timeout(Duration::from_millis(300)))?;
    gated.let_go(gated.crowd(12, 12)?)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    while threads() > gated.before + 6 + OTHERS {
        assert!(std::time::Instant::now() < deadline, "{} threads are left", threads());
        gated.let_go(gated.crowd(1, 1)?)?;
    }
    gated.close()
}

/// Whatever the others do, there has to be one for the next request.
fn the_last_that_waits_stays() -> Result {
    let gated = Gated::new(ThreadPool::new(2).idle_timeout(Duration::ZERO))?;
    for _ in 0..20 {
        let first = gated.crowd(1, 1)?;
        eventually("another one waits", || threads() >= gated.before + 2)?;
        let second = gated.crowd(1, 1)?;
        gated.let_go([first, second].into_iter().flatten().collect())?;
    }
    gated.close()
}

/// Threads come and go all the time here, and some that go have just been woken.
fn no_request_is_left_behind_by_one_that_ends() -> Result {
    const CLIENTS: usize = 4;
    const EACH: usize = 500;
    let pool = ThreadPool::new(CLIENTS).idle_timeout(Duration::ZERO);
    let running = Server::new_fn(tcp()?, pool, |conn| conn.write_all(b"x"))?.spawn()?;
    let address = running.local_addr()?;
    thread::scope(|scope| {
        let client = || (0..EACH).try_for_each(|_| ask(address).map(|all| assert_eq!(all, b"x")));
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let failed = |_| io::Error::other("a client has panicked");
        clients.into_iter().try_for_each(|client| client.join().map_err(failed)?)
    })?;
    running.close()?;
    Ok(())
}

/// Panics where it is told to.
struct Panics(Sender<FailureKind>);

impl Handler<TcpRequest> for Panics {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut byte = [0];
        conn.read_exact(&mut byte)?;
        assert_ne!(byte, *b"!", "as it is told");
        conn.write_all(&byte)?;
        Ok(Next::Done)
    }

    fn handle_error(&self, _conn: &mut TcpRequest, failure: &Failure) {
        let _ = self.0.send(failure.kind());
    }
}

fn a_panic_costs_the_pool_no_thread() -> Result {
    let (tell, told) = channel();
    let before = threads() + 1;
    let pool = ThreadPool::new(2).min_threads(2);
    let counters = Counters::new()?;
    let running = Server::new(tcp()?, pool, Panics(tell))?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    for _ in 0..10 {
        let client = net::connect(address)?;
        (&client).write_all(b"!")?;
        assert_eq!(net::all(client)?, b"");
        assert_eq!(told.recv_timeout(PATIENCE)?, FailureKind::Panic);
    }
    assert!(threads() >= before + 2);
    let clients: Vec<_> = (0..2).map(|_| net::connect(address)).collect::<io::Result<_>>()?;
    eventually("both are taken", || counters.active() == 2)?;
    for client in clients {
        release(&client)?;
        assert_eq!(net::all(client)?, b"x");
    }
    running.close()?;
    Ok(())
}

fn without_further_threads_requests_wait_for_those_there_are() -> Result {
    let gated = Gated::new(ThreadPool::new(4))?;
    let first = gated.crowd(1, 1)?;
    // Another one waits.
    let limit = allow_no_further_thread()?;
    let second = gated.crowd(1, 1)?;
    let others = gated.clients(5)?;
    gated.let_go([first, second, others].into_iter().flatten().collect())?;
    assert_eq!(gated.keeper.most(), 2);

    limit.lift()?;
    while gated.keeper.has_one_come() {
        gated.keeper.wait_for_one()?;
    }
    let clients = gated.crowd(4, 4)?;
    assert_eq!(gated.keeper.most(), 4, "there are more when there can be");
    gated.let_go(clients)?;
    gated.close()
}

fn a_thread_that_could_not_be_had_is_had_later_though_nobody_comes_back() -> Result {
    let gated = Gated::new(ThreadPool::new(2))?;
    eventually("the first is there", || threads() > gated.before)?;
    let limit = allow_no_further_thread()?;
    let first = gated.crowd(1, 1)?;
    let second = gated.clients(1)?;
    limit.lift()?;
    gated.keeper.wait_for_one()?;
    gated.let_go([first, second].into_iter().flatten().collect())?;
    gated.close()
}

/// Says when there is no thread.
struct Tells(Sender<String>);

impl Handler<TcpRequest> for Tells {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(b"x")?;
        Ok(Next::Done)
    }

    fn get_request_failed(&self, error: &io::Error) {
        let _ = self.0.send(error.to_string());
    }
}

fn without_any_thread_it_serves_when_there_is_one() -> Result {
    let (tell, told) = channel();
    let (go, gone) = channel::<()>();
    let mut server = Server::new(tcp()?, ThreadPool::new(4).stack_size(64 << 20), Tells(tell))?;
    let (stop, address) = (server.stop_handle(), server.local_addr()?);
    let serving = thread::spawn(move || {
        let _ = gone.recv();
        server.serve_forever().and_then(|()| server.close())
    });
    let client = net::connect(address)?;
    let limit = allow_no_further_thread()?;
    go.send(())?;
    assert!(!told.recv_timeout(PATIENCE)?.is_empty());
    limit.lift()?;
    assert_eq!(net::all(client)?, b"x");
    stop.stop();
    serving.join().map_err(|_| "it panicked")??;
    Ok(())
}

fn without_any_thread_a_stop_is_heard() -> Result {
    let (tell, told) = channel();
    let pool = ThreadPool::new(1).stack_size(1 << 47);
    let running = Server::new(tcp()?, pool, Tells(tell))?.spawn()?;
    told.recv_timeout(PATIENCE)?;
    running.close()?;
    Ok(())
}

fn a_size_that_makes_no_sense_is_said_when_the_server_is_made() -> Result {
    let wrong = [
        (ThreadPool::new(0), "0 threads"),
        (ThreadPool::new(1).min_threads(0), "min_threads of 0"),
        (ThreadPool::new(1).min_threads(2), "more than the most"),
    ];
    for (pool, what) in wrong {
        let error = Server::new_fn(tcp()?, pool, |_conn| Ok(())).err().ok_or("it is taken")?;
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(what), "{error}");
    }
    Server::new_fn(tcp()?, ThreadPool::new(2).min_threads(2), |_conn| Ok(()))?.close()?;
    Server::new_fn(tcp()?, ThreadPool::default(), |_conn| Ok(()))?.close()?;
    Ok(())
}

fn it_is_resized_while_it_serves() -> Result {
    let pool = ThreadPool::new(1).idle_timeout(NEVER);
    let size = pool.size();
    let gated = Gated::new(pool)?;
    let mut clients = gated.crowd(5, 1)?;
    assert!(!gated.keeper.has_one_come());
    // Nobody comes or leaves, and two of those that wait are taken.
    size.set(1, 3)?;
    (0..2).try_for_each(|_| gated.keeper.wait_for_one())?;
    assert_eq!(gated.keeper.most(), 3);
    // Those that are too many end with what they have.
    size.set(1, 1)?;
    (0..2).try_for_each(|_| gated.keeper.let_go())?;
    gated.shrinks_to(1)?;
    assert!(!gated.keeper.has_one_come());
    gated.keeper.let_go()?;
    gated.keeper.wait_for_one()?;
    gated.keeper.let_go()?;
    gated.keeper.wait_for_one()?;
    assert_eq!(gated.keeper.most(), 3);
    // More, that all wait; and fewer, though none of them has anything to do.
    size.set(4, 8)?;
    eventually("they are started", || threads() >= gated.before + 4)?;
    let last = clients.split_off(4);
    gated.let_go(last)?;
    for max in [3, 1] {
        size.set(1, max)?;
        gated.shrinks_to(max)?;
    }
    for client in clients {
        assert_eq!(net::all(client)?, b"x");
    }
    let one_more = gated.crowd(2, 1)?;
    gated.keeper.let_go()?;
    gated.keeper.wait_for_one()?;
    gated.keeper.let_go()?;
    drop(one_more);
    assert!(size.set(2, 1).is_err() && size.set(0, 1).is_err());
    assert_eq!((size.min(), size.max()), (1, 1));
    gated.close()
}

fn handle_request_handles_where_it_is_called() -> Result {
    let here = thread::current().id();
    let mut server = Server::new_fn(tcp()?, ThreadPool::new(2), move |conn| {
        conn.write_all(&[u8::from(thread::current().id() == here)])
    })?;
    let client = net::connect(server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(net::all(client)?, [1]);
    server.close()?;
    Ok(())
}

/// A thread that waits holds the transport, and must not when it is closed; one that runs a request
/// goes on, while the server serves again, and at close it is waited for.
fn a_stop_leaves_what_runs_and_the_server_serves_again() -> Result {
    let Gated { running, address, keeper, before } = Gated::new(ThreadPool::new(3).min_threads(3))?;
    let connect = || net::connect(address);
    let (first, second) = (connect()?, connect()?);
    (0..2).try_for_each(|_| keeper.wait_for_one())?;
    running.stop();
    let server = running.join()?;
    // The one that served is gone too.
    eventually("their threads alone are left", || threads() <= before + 1 + OTHERS)?;
    assert_eq!(server.concurrency().active(), 2);

    let queued = connect()?;
    let running = server.spawn()?;
    keeper.wait_for_one()?;
    (0..3).try_for_each(|_| keeper.let_go())?;
    for client in [first, second, queued] {
        assert_eq!(net::all(client)?, b"x");
    }
    let last = connect()?;
    keeper.wait_for_one()?;
    running.stop();
    let server = running.join()?;
    keeper.let_go()?;
    server.close()?;
    assert_eq!(net::all(last)?, b"x");
    net::assert_nobody_listens(address);
    eventually("none is left", || threads() < before + OTHERS)
}

fn main() -> ExitCode {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => { &[$((stringify!($case), $case),)*] };
    }
    alone::run(cases![
        no_more_run_than_may_and_the_others_wait_for_their_turn,
        the_least_are_there_from_the_beginning_to_the_end,
        those_above_the_least_end_when_they_have_waited_in_vain,
        they_stay_where_they_have_time,
        those_that_few_requests_do_not_need_end,
        the_last_that_waits_stays,
        no_request_is_left_behind_by_one_that_ends,
        a_panic_costs_the_pool_no_thread,
        without_further_threads_requests_wait_for_those_there_are,
        a_thread_that_could_not_be_had_is_had_later_though_nobody_comes_back,
        without_any_thread_it_serves_when_there_is_one,
        without_any_thread_a_stop_is_heard,
        a_size_that_makes_no_sense_is_said_when_the_server_is_made,
        it_is_resized_while_it_serves,
        handle_request_handles_where_it_is_called,
        a_stop_leaves_what_runs_and_the_server_serves_again,
    ])
}
