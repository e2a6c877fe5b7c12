//! The life of a process that has a role: binds, serves, and says on stdout what came of it.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::alarm;
use socketserver::{
    Concurrency, Datagram, DatagramSocket, Event, Forking, Handler, Next, PreForking, Selectable,
    Selecting, Server, StreamRequest, StreamSocket, Sync, Tcp, ThreadPool, Threading, Transport,
    Udp, line_missing,
};

use super::bound::Bound;
use super::client::{Address, Client};
use super::load::{Countdown, Terminated};
use super::pace::Pace;
use super::role::{Load, Role, Strategy, Who};
use super::{Fallible, allocations};
use crate::twins::{Hooks, PROCESSES, Stop, datagram, pool, selector, stream};

/// In seconds; far beyond what any role needs.
const LIMIT: u32 = 300;

/// The echo that the composed servers are given.
struct Echo<K> {
    hooks: K,
    /// The thread that takes a request also ends it, and that is when it has been served.
    ends: bool,
}

impl<K: Hooks> Echo<K> {
    fn served(&self, ended: bool) {
        if self.ends == ended {
            self.hooks.served();
        }
    }
}

impl<S: StreamSocket, A, K: Hooks> Handler<StreamRequest<S, A>> for Echo<K> {
    fn handle(&self, conn: &mut StreamRequest<S, A>) -> io::Result<Next> {
        let more = stream::echo_line(conn)?;
        if more {
            self.hooks.handled();
        }
        Ok(if more && self.hooks.again() { Next::Again } else { Next::Done })
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, stream::LONGEST - 1)
    }

    fn service_actions(&self) {
        self.served(false);
    }

    fn event(&self, event: Event) {
        if event == Event::Finished {
            self.served(true);
        }
    }
}

impl<S: DatagramSocket, A, K: Hooks> Handler<Datagram<S, A>> for Echo<K> {
    fn handle(&self, packet: &mut Datagram<S, A>) -> io::Result<Next> {
        packet.reply(packet.data())?;
        self.hooks.handled();
        Ok(Next::Done)
    }

    fn service_actions(&self) {
        self.served(false);
    }

    fn event(&self, event: Event) {
        if event == Event::Finished {
            self.served(true);
        }
    }
}

/// Plays the role.
pub fn play(role: Role) -> Fallible<()> {
    // Whatever hangs is killed, with a tracer around it or not.
    alarm::set(LIMIT);
    let directory = tempfile::tempdir()?;
    let (bound, address) = Bound::new(role.transport, directory.path())?;
    let mut clients = 0;
    let mut client = || {
        clients += 1;
        Client::new(role.transport, &address, &directory.path().join(format!("client-{clients}")))
    };
    match role.load {
        Load::Paced | Load::PingPong => {
            allocations::count()?;
            let pace = Pace::new(role, client()?, bound.as_fd().try_clone_to_owned()?)?;
            serve(role, bound, &pace)?;
            println!("{}", pace.allocations());
        }
        Load::Waiting => {
            let (countdown, _clients) = Countdown::new(role.count, client)?;
            serve(role, bound, &countdown)?;
        }
        Load::Clients | Load::Kept => {
            match &address {
                Address::Ip(address) => println!("{address}"),
                Address::Path(path) => println!("{}", path.display()),
            }
            io::stdout().flush()?;
            let heap = vec![1_u8; role.count as usize * 1024 * 1024];
            let before = cpu_time()?;
            serve(role, bound, &Terminated { kept: role.load == Load::Kept })?;
            println!("{}", cpu_time()? - before);
            drop(heap);
        }
    }
    // A child of the server must not come here, and one that did would find the directory gone.
    fs::remove_dir_all(directory.keep())?;
    Ok(())
}

/// What this process and the children it has reaped have used so far, in microseconds.
fn cpu_time() -> io::Result<i64> {
    let of = |usage: Usage| (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(of(getrusage(UsageWho::RUSAGE_SELF)?) + of(getrusage(UsageWho::RUSAGE_CHILDREN)?))
}

fn serve(role: Role, bound: Bound, hooks: &impl Hooks) -> io::Result<()> {
    match role.who {
        Who::Nobody => Ok(()),
        Who::Twin => serve_twin(role, bound, hooks),
        Who::Ours => match bound {
            Bound::Tcp(socket) => compose_stream(role, Tcp::from_socket(socket)?, hooks),
            Bound::Udp(socket) => compose(role, Udp::from_socket(socket)?, hooks),
            Bound::UnixStream(socket) => {
                compose_stream(role, socketserver::UnixStream::from_socket(socket)?, hooks)
            }
            Bound::UnixDatagram(socket) => {
                compose(role, socketserver::UnixDatagram::from_socket(socket)?, hooks)
            }
        },
    }
}

fn compose_stream<T, K>(role: Role, transport: T, hooks: &K) -> io::Result<()>
where
    T: Transport<Request: Selectable + Send + 'static> + AsFd + Send + std::marker::Sync + 'static,
    K: Hooks,
    Echo<K>: Handler<T::Request>,
{
    match role.strategy {
        Strategy::Selecting => run(transport, Selecting::new(Sync), echo(role, hooks)),
        Strategy::SelectingPool => {
            run(transport, Selecting::new(ThreadPool::new(pool::THREADS)), echo(role, hooks))
        }
        _ => compose(role, transport, hooks),
    }
}

fn echo<K: Hooks>(role: Role, hooks: &K) -> Echo<K> {
    Echo { hooks: hooks.clone(), ends: role.strategy.is_crew() }
}

fn compose<T, K>(role: Role, transport: T, hooks: &K) -> io::Result<()>
where
    T: Transport<Request: Send + 'static> + Send + std::marker::Sync + 'static,
    K: Hooks,
    Echo<K>: Handler<T::Request>,
{
    let handler = echo(role, hooks);
    match role.strategy {
        Strategy::Sync => run(transport, Sync, handler),
        Strategy::Threading => run(transport, Threading::new(), handler),
        Strategy::Fresh => run(transport, Threading::new().fresh_threads(true), handler),
        Strategy::ThreadPool => run(transport, ThreadPool::new(pool::THREADS), handler),
        Strategy::Forking => run(transport, Forking::new(), handler),
        Strategy::PreForking => run(transport, PreForking::new(PROCESSES, Sync)?, handler),
        Strategy::Selecting | Strategy::SelectingPool => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn run<T, C, K>(transport: T, concurrency: C, handler: Echo<K>) -> io::Result<()>
where
    T: Transport,
    C: Concurrency<T, Echo<K>>,
    K: Hooks,
    Echo<K>: Handler<T::Request>,
{
    let mut server = Server::new(transport, concurrency, handler)?;
    let stop = server.stop_handle();
    server.handler().hooks.arm(Box::new(move || stop.stop()));
    server.serve_forever()?;
    server.close()?;
    Ok(())
}

fn serve_twin(role: Role, bound: Bound, hooks: &impl Hooks) -> io::Result<()> {
    let stop = Arc::new(Stop::new()?);
    let to_stop = Arc::clone(&stop);
    hooks.arm(Box::new(move || to_stop.stop()));
    match bound {
        Bound::Tcp(listener) => stream_twin(role, listener, &stop, hooks),
        Bound::UnixStream(listener) => stream_twin(role, listener, &stop, hooks),
        Bound::Udp(socket) => datagram_twin(role, socket, &stop, hooks),
        Bound::UnixDatagram(socket) => datagram_twin(role, socket, &stop, hooks),
    }
}

fn stream_twin<L: stream::Listener + Send + std::marker::Sync + 'static>(
    role: Role,
    listener: L,
    stop: &Arc<Stop>,
    hooks: &impl Hooks,
) -> io::Result<()> {
    match role.strategy {
        Strategy::Selecting | Strategy::SelectingPool => selector::serve(&listener, stop, hooks),
        _ if role.load == Load::PingPong => stream::ping_pong(&listener, hooks),
        Strategy::Sync => stream::sync(&listener, stop, hooks),
        Strategy::Threading => stream::threading(listener, stop, hooks),
        Strategy::Fresh => stream::fresh(&listener, stop, hooks),
        Strategy::ThreadPool => stream::thread_pool(listener, stop, hooks),
        Strategy::Forking => stream::forking(listener, stop, hooks),
        Strategy::PreForking => stream::pre_forking(&listener, stop, hooks),
    }
}

fn datagram_twin<S: datagram::Socket>(
    role: Role,
    socket: S,
    stop: &Arc<Stop>,
    hooks: &impl Hooks,
) -> io::Result<()> {
    match role.strategy {
        Strategy::Sync => datagram::sync(&socket, stop, hooks),
        Strategy::Threading => datagram::threading(socket, stop, hooks),
        Strategy::Fresh => datagram::fresh(socket, stop, hooks),
        Strategy::ThreadPool => datagram::thread_pool(socket, stop, hooks),
        Strategy::Forking => datagram::forking(&socket, stop, hooks),
        Strategy::PreForking | Strategy::Selecting | Strategy::SelectingPool => {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
