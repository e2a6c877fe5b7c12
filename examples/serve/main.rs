//! The current directory over HTTP, and the lattice at the command line.
//!
//! `cargo run --release --example serve` is `python -m http.server`, on this crate. With options it
//! is any of the twelve servers, for trying and for measuring: `-- --help` has them.

mod arguments;
mod cli;
mod count;
mod echo;
mod files;
mod hand_over;
mod limits;
mod listeners;
mod peer;
#[cfg(feature = "proxy")]
mod proxied;
mod resp;
#[cfg(feature = "tls")]
mod secured;
#[cfg(feature = "activation")]
mod several;
mod signals;
mod supervised;
mod whole;

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::net;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net as unix;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use socketserver::{
    Concurrency, Connection, Counters, DatagramTransport, Drain, ForkServer, Forking, Guarded,
    Handler, InWorker, LocalAddr, Options, Portable, PreForking, Selectable, Selecting, Server,
    Shareable, StreamTransport, Sync, Tcp, ThreadPool, Threading, Transport, Udp, UnixDatagram,
    UnixStream,
};

use cli::{Asked, Cli, Endpoint, Mode, Strategy};
use count::{Counted, InFlight};
use echo::{Echo, Once, Packets};
use files::Files;
use listeners::{Listeners, listeners};
use resp::Resp;
use signals::Signals;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(Asked::Serve(cli)) => cli,
        Ok(Asked::Help) => {
            return say(cli::HELP).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
        Err(what) => return fail(2, &what),
    };
    limits::raise_open_files();
    match serve(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(status(&error), &error.to_string()),
    }
}

/// 2 where what was asked for can't be had, by whoever reads it; what the system says while it is
/// done is another matter.
fn status(error: &io::Error) -> u8 {
    let asked = error.kind() == ErrorKind::InvalidInput && error.raw_os_error().is_none();
    if asked { 2 } else { 1 }
}

/// The lattice: a transport, and then a strategy.
fn serve(cli: &Cli) -> io::Result<()> {
    listeners::check(cli.addressed)?;
    #[cfg(feature = "tls")]
    if let Some(certified) = &cli.tls {
        return secured::serve(cli, certified);
    }
    match &cli.endpoint {
        #[cfg(feature = "proxy")]
        Endpoint::Tcp(at) if !cli.proxies.is_empty() => {
            streams(proxied::behind(listeners::many(tcp(cli, at)?)?, &cli.proxies)?, cli)
        }
        Endpoint::Tcp(at) => match tcp(cli, at)? {
            Listeners::One(tcp) => streams(tcp, cli),
            Listeners::Several(many) => streams(many, cli),
        },
        Endpoint::Udp(at) => match udp(cli, at)? {
            Listeners::One(udp) => datagrams(udp, cli),
            Listeners::Several(many) => datagrams(many, cli),
        },
        Endpoint::Unix(at) => match unix(cli, at)? {
            Listeners::One(unix) => streams(unix, cli),
            Listeners::Several(many) => streams(many, cli),
        },
        Endpoint::Unixgram(at) => match unixgram(cli, at)? {
            Listeners::One(unixgram) => datagrams(unixgram, cli),
            Listeners::Several(many) => datagrams(many, cli),
        },
    }
}

/// What all strategies ask of a transport of connections.
fn streams<T>(transport: T, cli: &Cli) -> io::Result<()>
where
    T: Portable<Request: Connection + Selectable + Send + 'static>,
    T: AsFd + LocalAddr<Addr: Shown> + Shareable,
    Files: Handler<T::Request>,
    Resp: Handler<T::Request>,
    Once: Handler<T::Request>,
    Echo: Handler<T::Request>,
{
    match cli.strategy {
        Strategy::Sync => connections(transport, Sync, cli),
        Strategy::Threading => connections(transport, Threading::new(), cli),
        Strategy::ThreadPool => connections(transport, pool(cli), cli),
        Strategy::Forking => connections(transport, Forking::new(), cli),
        Strategy::ForkServer => connections(transport, ForkServer::new(), cli),
        Strategy::PreForking => connections(transport, processes(cli, Sync)?, cli),
        Strategy::PreForkingThreading => {
            connections(transport, processes(cli, Threading::new())?, cli)
        }
        Strategy::PreForkingThreadPool => {
            connections(transport, processes(cli, ThreadPool::default())?, cli)
        }
        Strategy::PreForkingSelecting => {
            connections(transport, processes(cli, Selecting::new(Sync))?, cli)
        }
        Strategy::Selecting => connections(transport, Selecting::new(Sync), cli),
        Strategy::SelectingThreadPool => connections(transport, Selecting::new(pool(cli)), cli),
    }
}

/// The same of packets.
fn datagrams<T>(transport: T, cli: &Cli) -> io::Result<()>
where
    T: Portable<Request: Send + 'static> + LocalAddr<Addr: Shown> + Shareable,
    Packets: Handler<T::Request>,
{
    match cli.strategy {
        Strategy::Sync => packets(transport, Sync, cli),
        Strategy::Threading => packets(transport, Threading::new(), cli),
        Strategy::ThreadPool => packets(transport, pool(cli), cli),
        Strategy::Forking => packets(transport, Forking::new(), cli),
        Strategy::ForkServer => packets(transport, ForkServer::new(), cli),
        Strategy::PreForking => packets(transport, processes(cli, Sync)?, cli),
        Strategy::PreForkingThreading => packets(transport, processes(cli, Threading::new())?, cli),
        Strategy::PreForkingThreadPool => {
            packets(transport, processes(cli, ThreadPool::default())?, cli)
        }
        Strategy::Selecting | Strategy::SelectingThreadPool | Strategy::PreForkingSelecting => {
            Err(io::Error::new(
                ErrorKind::InvalidInput,
                "--strategy selecting is for connections: a packet has nothing to wait for; sync and \
             thread-pool take them",
            ))
        }
    }
}

/// As large as is said, or as it is by default.
fn pool(cli: &Cli) -> ThreadPool {
    cli.workers.map_or_else(ThreadPool::default, ThreadPool::new)
}

/// As many processes as the user wants, or one for each processor.
fn processes<C: InWorker>(cli: &Cli, each: C) -> io::Result<PreForking<C>> {
    let processors = || thread::available_parallelism().map_or(1, NonZero::get);
    PreForking::new(cli.workers.unwrap_or_else(processors), each)
}

fn tcp(cli: &Cli, at: &[net::SocketAddr]) -> io::Result<Listeners<Tcp>> {
    // An answer to each of several requests that came at once is a packet of its own, and Nagle would
    // have each wait for the acknowledgement of the one before, which clients delay.
    let pipelined = matches!(cli.mode, Mode::Files | Mode::Resp);
    let options = || tuned(Tcp::options(), cli).disable_nagle_algorithm(pipelined);
    listeners(cli, at, |at| options().bind(at), |socket| options().from_socket(socket))
}

fn unix(cli: &Cli, at: &[PathBuf]) -> io::Result<Listeners<UnixStream>> {
    let options = || tuned(UnixStream::options(), cli);
    listeners(cli, at, |at| options().bind(at), |socket| options().from_socket(socket))
}

fn udp(cli: &Cli, at: &[net::SocketAddr]) -> io::Result<Listeners<Udp>> {
    let options = || sized(Udp::options(), cli);
    listeners(cli, at, |at| options().bind(at), |socket| options().from_socket(socket))
}

fn unixgram(cli: &Cli, at: &[PathBuf]) -> io::Result<Listeners<UnixDatagram>> {
    let options = || sized(UnixDatagram::options(), cli);
    listeners(cli, at, |at| options().bind(at), |socket| options().from_socket(socket))
}

fn sized<T: DatagramTransport>(options: Options<T>, cli: &Cli) -> Options<T> {
    match cli.bufsize {
        Some(size) => options.max_packet_size(size),
        None => options,
    }
}

fn tuned<T: StreamTransport>(options: Options<T>, cli: &Cli) -> Options<T> {
    let options = options.request_queue_size(cli.backlog);
    match cli.mode {
        // They answer in one piece.
        Mode::Files | Mode::Resp => options,
        Mode::Once => options.rbufsize(cli.stream_bufsize()),
        // It has a buffer of its own.
        Mode::Echo => options.rbufsize(0),
    }
}

/// A server of connections, with the handler of the mode.
fn connections<T, C>(transport: T, concurrency: C, cli: &Cli) -> io::Result<()>
where
    T: Transport<Request: Connection> + LocalAddr<Addr: Shown>,
    Files: Handler<T::Request>,
    Resp: Handler<T::Request>,
    Once: Handler<T::Request>,
    Echo: Handler<T::Request>,
    C: InFlight
        + Concurrency<T, Counted<Guarded<Files>>>
        + Concurrency<T, Counted<Guarded<Resp>>>
        + Concurrency<T, Counted<Once>>
        + Concurrency<T, Counted<Echo>>,
{
    let signals = Signals::new()?;
    match cli.mode {
        Mode::Files => {
            let about = cli.about.clone();
            let files = Files::new(&cli.dir, about, signals.stopping()?, !cli.quiet)?;
            let scheme = if cli.tls.is_some() { "https" } else { "http" };
            let place = transport.local_addr()?.place(scheme);
            let folder = files.folder().display();
            note(&format!("{folder} at {place} (Ctrl-C stops it)"));
            run(transport, concurrency, files::deadlines().guard(files)?, &signals, cli)
        }
        Mode::Resp => {
            let resp = Resp::new(signals.stopping()?);
            run(transport, concurrency, resp::deadlines().guard(resp)?, &signals, cli)
        }
        Mode::Once => run(transport, concurrency, Once, &signals, cli),
        Mode::Echo => {
            let echo = Echo::new(cli.stream_bufsize(), cli.strategy.takes_turns());
            run(transport, concurrency, echo, &signals, cli)
        }
    }
}

/// A server of packets.
fn packets<T, C>(transport: T, concurrency: C, cli: &Cli) -> io::Result<()>
where
    T: Transport + LocalAddr<Addr: Shown>,
    Packets: Handler<T::Request>,
    C: InFlight + Concurrency<T, Counted<Packets>>,
{
    run(transport, concurrency, Packets, &Signals::new()?, cli)
}

/// Puts the server together, serves until a signal comes or another process has taken over, and
/// finishes what is in flight.
fn run<T, C, H>(
    transport: T,
    concurrency: C,
    handler: H,
    signals: &Signals,
    cli: &Cli,
) -> io::Result<()>
where
    T: Transport + LocalAddr<Addr: Shown>,
    C: InFlight + Concurrency<T, Counted<H>>,
    H: Handler<T::Request>,
{
    let counters = C::TAKEN_ELSEWHERE.then(Counters::new).transpose()?;
    let mut server = Server::with_stop(transport, concurrency, |stop| {
        // Before anything is forked.
        signals.know(stop);
        Counted::new(handler)
    })?;
    if let Some(counters) = &counters {
        server = server.counters(counters);
    }
    if let Some(grace) = cli.grace {
        server = server.drain(Drain::new().announce(grace));
    }
    signals.stop(&server.stop_handle())?;
    if let Some(meeting) = &cli.meeting {
        meeting.ready(server.stop_handle())?;
    }
    announce(&server.local_addr()?)?;
    if let Err(error) = supervised::ready() {
        note(&error.to_string());
    }
    server.serve_forever()?;

    if signals.came() {
        supervised::stopping();
    } else {
        note("another process has taken over");
        signals.ring();
    }
    let in_flight = match &counters {
        Some(counters) => counters.active(),
        None => server.concurrency().in_flight() as u64,
    };
    let taken = server.handler().taken();
    if in_flight > 0 {
        let what = "finishing what is in flight; a second signal cuts it off";
        note(&format!("{what} ({in_flight})"));
    }
    server.close()?;
    let taken = counters.map_or(taken, |counters| counters.accepted());
    note(&format!("stopped; requests taken and finished: {taken}"));
    Ok(())
}

/// Tells whoever started this that clients may come, and where to.
fn announce(addresses: &impl Shown) -> io::Result<()> {
    let mut lines = OsString::new();
    for address in addresses.shown() {
        lines.push("LISTENING ");
        lines.push(address);
        lines.push("\n");
    }
    say(lines)
}

fn say(text: impl AsRef<OsStr>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref().as_bytes())?;
    stdout.flush()
}

/// One line on stderr, in one write. Where stderr is gone, the exit code has to do.
fn note(what: &str) {
    let _ = io::stderr().write_all(format!("serve: {what}\n").as_bytes());
}

fn fail(code: u8, what: &str) -> ExitCode {
    note(what);
    ExitCode::from(code)
}

/// Addresses as a client is given them.
trait Shown {
    fn shown(&self) -> Vec<OsString>;

    /// The same for a browser, where there is such a thing, by a scheme.
    fn place(&self, scheme: &str) -> String;
}

impl Shown for net::SocketAddr {
    fn shown(&self) -> Vec<OsString> {
        vec![self.to_string().into()]
    }

    fn place(&self, scheme: &str) -> String {
        format!("{scheme}://{self}/")
    }
}

impl Shown for unix::SocketAddr {
    fn shown(&self) -> Vec<OsString> {
        vec![self.as_pathname().map(Into::into).unwrap_or_default()]
    }

    fn place(&self, _scheme: &str) -> String {
        self.as_pathname().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

impl<A: Shown> Shown for Vec<A> {
    fn shown(&self) -> Vec<OsString> {
        self.iter().flat_map(A::shown).collect()
    }

    fn place(&self, scheme: &str) -> String {
        self.iter().map(|address| address.place(scheme)).collect::<Vec<_>>().join(", ")
    }
}
