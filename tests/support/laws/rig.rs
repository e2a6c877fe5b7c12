//! A server of any transport and strategy, behind one object.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockAddr;
use socketserver::{
    Beside, Concurrency, Drain, FinishInChild, ForkServer, Forking, Limits, LocalAddr, Many,
    Outcome, PreForking, Resumable, Running, Selectable, Selecting, Server, StopHandle, Tcp,
    ThreadPool, Threading, Transport, Udp, UnixDatagram, UnixStream,
};

use super::WATCHDOG;
use super::client::Wire;
use super::mixin::Mixin;
use super::model::{MOST_CLIENTS, Setting};
use super::teller::Teller;
use super::watched::{Inner, Visit, Watched};
use super::world::World;

pub trait Rig {
    fn address(&self) -> SockAddr;
    /// A stop handle of the server, which does not serve now.
    fn handle(&self) -> StopHandle;
    /// Serves on a thread from here on.
    fn spawn(&mut self) -> StopHandle;
    /// Waits for the end of that.
    fn join(&mut self);
    /// Serves until a stop.
    fn serve_forever(&mut self);
    fn handle_request(&mut self) -> Outcome;
    fn close(&mut self);
}

pub fn build(world: &Arc<World>, setting: &Setting) -> io::Result<Box<dyn Rig>> {
    let path = world.place.path().join("s");
    let unix = SockAddr::unix(&path)?;
    let ip = |address: io::Result<std::net::SocketAddr>| address.map(SockAddr::from);
    match setting.wire {
        Wire::Tcp => {
            let transport = Tcp::options().bind("127.0.0.1:0")?;
            let address = ip(transport.local_addr())?;
            streams(world, setting, transport, address)
        }
        Wire::Udp => {
            let transport = Udp::options().bind("127.0.0.1:0")?;
            let address = ip(transport.local_addr())?;
            with(world, setting, transport, address)
        }
        Wire::UnixStream => streams(world, setting, UnixStream::options().bind(path)?, unix),
        Wire::UnixDatagram => with(world, setting, UnixDatagram::options().bind(path)?, unix),
        Wire::Beside => {
            let tcp = || Tcp::options().bind("127.0.0.1:0");
            let many = Many::new([tcp()?, tcp()?])?;
            let address = ip(many.local_addr().map(|all| all[1]))?;
            let transport = Beside::new(UnixStream::options().bind(path)?, many)?;
            streams(world, setting, transport, address)
        }
    }
}

fn streams<T>(
    world: &Arc<World>,
    setting: &Setting,
    transport: T,
    address: SockAddr,
) -> io::Result<Box<dyn Rig>>
where
    T: Resumable<Request: Inner + Selectable + Send> + AsFd + Send + Sync + 'static,
{
    match setting.mixin {
        Mixin::Selecting => {
            boxed(world, setting, transport, address, Selecting::new(socketserver::Sync))
        }
        Mixin::SelectingPool => {
            let pool = ThreadPool::new(2).idle_timeout(Duration::ZERO);
            boxed(world, setting, transport, address, Selecting::new(pool))
        }
        Mixin::SelectingThreads => {
            boxed(world, setting, transport, address, Selecting::new(Threading::new()))
        }
        Mixin::PreForkingSelecting => {
            let strategy = PreForking::new(1, Selecting::new(socketserver::Sync))?;
            boxed(world, setting, transport, address, strategy)
        }
        _ => with(world, setting, transport, address),
    }
}

fn with<T>(
    world: &Arc<World>,
    setting: &Setting,
    transport: T,
    address: SockAddr,
) -> io::Result<Box<dyn Rig>>
where
    T: Resumable<Request: Inner + Send> + Send + Sync + 'static,
{
    match setting.mixin {
        Mixin::Sync | Mixin::Selecting | Mixin::SelectingThreads | Mixin::SelectingPool => {
            boxed(world, setting, transport, address, socketserver::Sync)
        }
        Mixin::Threading => boxed(world, setting, transport, address, Threading::new()),
        Mixin::ThreadPool => {
            let pool = ThreadPool::new(MOST_CLIENTS).idle_timeout(Duration::ZERO);
            boxed(world, setting, transport, address, pool)
        }
        Mixin::ThreadPoolOne => boxed(world, setting, transport, address, ThreadPool::new(1)),
        Mixin::Forking | Mixin::ForkingRefused => {
            boxed(world, setting, transport, address, Forking::new())
        }
        Mixin::ForkingOne => {
            boxed(world, setting, transport, address, Forking::new().max_children(1)?)
        }
        Mixin::ForkServer => boxed(world, setting, transport, address, ForkServer::new()),
        Mixin::FinishInChild => {
            boxed(world, setting, transport, address, FinishInChild::new(Forking::new()))
        }
        Mixin::FinishInChildOfHelper => {
            boxed(world, setting, transport, address, FinishInChild::new(ForkServer::new()))
        }
        Mixin::PreForking | Mixin::PreForkingSelecting => {
            let strategy = PreForking::new(1, socketserver::Sync)?;
            boxed(world, setting, transport, address, strategy)
        }
        Mixin::PreForkingPool => {
            let pool = ThreadPool::new(MOST_CLIENTS).idle_timeout(Duration::ZERO);
            let strategy = PreForking::new(1, pool)?;
            world.workers.get_or_init(|| strategy.workers());
            boxed(world, setting, transport, address, strategy)
        }
    }
}

fn boxed<T, C>(
    world: &Arc<World>,
    setting: &Setting,
    transport: T,
    address: SockAddr,
    strategy: C,
) -> io::Result<Box<dyn Rig>>
where
    T: Transport<Request: Inner + Send> + Send + Sync + 'static,
    C: Concurrency<Watched<T>, Teller> + Send + 'static,
{
    let transport = Watched { inner: transport, world: Arc::clone(world) };
    let mut server = Server::with_stop(transport, strategy, |stop| Teller {
        world: Arc::clone(world),
        stop,
        hooks_panic: setting.hooks_panic,
        since: Instant::now(),
    })?;
    server = server.counters(&world.counters);
    if setting.books {
        let limits = Limits::<Watched<T>>::new()
            .at_once(1000)
            .per_source(1000, |visit: &Visit<T::Request>| visit.guest.client)
            .rate(1_000_000, Duration::from_secs(1));
        server = server.limits(limits)?.drain(Drain::new());
    }
    let forks = setting.mixin.forks();
    if forks {
        // Where there can be no thread to watch the loop, the loop has to watch itself.
        server = server.service_interval(WATCHDOG);
    }
    Ok(Box::new(Machine { idle: Some(server), running: None, address, forks }))
}

struct Machine<T: Transport, C> {
    idle: Option<Server<Watched<T>, C, Teller>>,
    running: Option<Running<Watched<T>, C, Teller>>,
    address: SockAddr,
    forks: bool,
}

impl<T, C> Machine<T, C>
where
    T: Transport<Request: Inner + Send> + Send + Sync + 'static,
    Teller: socketserver::Handler<Visit<T::Request>>,
    C: Concurrency<Watched<T>, Teller> + Send + 'static,
{
    fn server(&self) -> &Server<Watched<T>, C, Teller> {
        self.idle.as_ref().unwrap()
    }

    /// Has the server do something that has to come to an end.
    fn run<V: Send + 'static>(
        &mut self,
        what: &str,
        run: impl FnOnce(&mut Server<Watched<T>, C, Teller>) -> io::Result<V> + Send + 'static,
    ) -> V {
        let mut server = self.idle.take().unwrap();
        let work = move || {
            let value = run(&mut server);
            (server, value)
        };
        let (server, value) = if self.forks { work() } else { within(what, work) };
        let world = Arc::clone(&server.handler().world);
        self.idle = Some(server);
        assert!(!world.overdue.load(SeqCst), "{what} did not return");
        value.unwrap()
    }
}

impl<T, C> Rig for Machine<T, C>
where
    T: Transport<Request: Inner + Send> + Send + Sync + 'static,
    C: Concurrency<Watched<T>, Teller> + Send + 'static,
{
    fn address(&self) -> SockAddr {
        self.address.clone()
    }

    fn handle(&self) -> StopHandle {
        self.server().stop_handle()
    }

    fn spawn(&mut self) -> StopHandle {
        let running = self.idle.take().unwrap().spawn().unwrap();
        let stop = running.stop_handle();
        self.running = Some(running);
        stop
    }

    fn join(&mut self) {
        let running = self.running.take().unwrap();
        self.idle = Some(within("serve_forever", || running.join()).unwrap());
    }

    fn serve_forever(&mut self) {
        self.run("serve_forever", Server::serve_forever);
        self.server().handler().world.wait_for_workers();
    }

    fn handle_request(&mut self) -> Outcome {
        self.run("handle_request", |server| server.handle_request_timeout(Duration::ZERO))
    }

    fn close(&mut self) {
        let server = self.idle.take().unwrap();
        let closed = if self.forks { server.close() } else { within("close", || server.close()) };
        closed.unwrap();
    }
}

/// Runs on another thread what might hang, which that is then left to.
fn within<V: Send + 'static>(what: &str, run: impl FnOnce() -> V + Send + 'static) -> V {
    let (send, receive) = channel();
    let thread = thread::spawn(move || drop(send.send(run())));
    match receive.recv_timeout(WATCHDOG) {
        Ok(value) => {
            thread.join().unwrap();
            value
        }
        Err(RecvTimeoutError::Timeout) => panic!("{what} did not return"),
        Err(RecvTimeoutError::Disconnected) => panic!("{what} panicked"),
    }
}
