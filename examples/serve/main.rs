//! The current directory over HTTP, and the lattice at the command line.
//!
//! `cargo run --release --example serve` is `python -m http.server`, on this crate. With options it
//! is any of the twelve servers, for trying and for measuring: `-- --help` has them.

mod cli;
mod count;
mod echo;
mod files;
mod limits;
#[cfg(feature = "tls")]
mod secured;
mod signals;

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, ErrorKind, Write};
use std::net;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net as unix;
use std::path::Path;
use std::process::ExitCode;

use socketserver::{
    Concurrency, Connection, ForkServer, Forking, Guarded, Handler, LocalAddr, Options, Server,
    StreamTransport, Sync, Tcp, Threading, Transport, Udp, UnixDatagram, UnixStream,
};

use cli::{Asked, Cli, Endpoint, Mode, Strategy};
use count::{Counted, InFlight};
use echo::{Echo, Once, Packets};
use files::{Ahead, Files};
use signals::Signals;

/// Holds the head of a response, so that a small file leaves together with it.
const RESPONSE_BUFFER: usize = 16 * 1024;

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

/// The lattice.
fn serve(cli: &Cli) -> io::Result<()> {
    use Strategy as S;
    #[cfg(feature = "tls")]
    if let Some(certified) = &cli.tls {
        return secured::serve(cli, certified);
    }
    match (&cli.endpoint, cli.strategy) {
        (Endpoint::Tcp(at), S::Sync) => connections(tcp(cli, *at)?, Sync, cli),
        (Endpoint::Tcp(at), S::Threading) => connections(tcp(cli, *at)?, Threading::new(), cli),
        (Endpoint::Tcp(at), S::Forking) => connections(tcp(cli, *at)?, Forking::new(), cli),
        (Endpoint::Tcp(at), S::ForkServer) => connections(tcp(cli, *at)?, ForkServer::new(), cli),
        (Endpoint::Udp(at), S::Sync) => packets(udp(cli, *at)?, Sync),
        (Endpoint::Udp(at), S::Threading) => packets(udp(cli, *at)?, Threading::new()),
        (Endpoint::Udp(at), S::Forking) => packets(udp(cli, *at)?, Forking::new()),
        (Endpoint::Udp(at), S::ForkServer) => packets(udp(cli, *at)?, ForkServer::new()),
        (Endpoint::Unix(at), S::Sync) => connections(unix(cli, at)?, Sync, cli),
        (Endpoint::Unix(at), S::Threading) => connections(unix(cli, at)?, Threading::new(), cli),
        (Endpoint::Unix(at), S::Forking) => connections(unix(cli, at)?, Forking::new(), cli),
        (Endpoint::Unix(at), S::ForkServer) => connections(unix(cli, at)?, ForkServer::new(), cli),
        (Endpoint::Unixgram(at), S::Sync) => packets(unixgram(cli, at)?, Sync),
        (Endpoint::Unixgram(at), S::Threading) => packets(unixgram(cli, at)?, Threading::new()),
        (Endpoint::Unixgram(at), S::Forking) => packets(unixgram(cli, at)?, Forking::new()),
        (Endpoint::Unixgram(at), S::ForkServer) => packets(unixgram(cli, at)?, ForkServer::new()),
    }
}

fn tcp(cli: &Cli, at: net::SocketAddr) -> io::Result<Tcp> {
    tuned(Tcp::options(), cli).bind(at)
}

fn unix(cli: &Cli, at: &Path) -> io::Result<UnixStream> {
    tuned(UnixStream::options(), cli).bind(at)
}

fn udp(cli: &Cli, at: net::SocketAddr) -> io::Result<Udp> {
    let options = Udp::options();
    match cli.bufsize {
        Some(size) => options.max_packet_size(size).bind(at),
        None => options.bind(at),
    }
}

fn unixgram(cli: &Cli, at: &Path) -> io::Result<UnixDatagram> {
    let options = UnixDatagram::options();
    match cli.bufsize {
        Some(size) => options.max_packet_size(size).bind(at),
        None => options.bind(at),
    }
}

fn tuned<T: StreamTransport>(options: Options<T>, cli: &Cli) -> Options<T> {
    let options = options.request_queue_size(cli.backlog);
    match cli.mode {
        Mode::Files => options.wbufsize(RESPONSE_BUFFER),
        Mode::Once => options.rbufsize(cli.stream_bufsize()),
        // It has a buffer of its own.
        Mode::Echo => options.rbufsize(0),
    }
}

/// A server of connections, with the handler of the mode.
fn connections<T, C>(transport: T, concurrency: C, cli: &Cli) -> io::Result<()>
where
    T: Transport<Request: BufRead + Write + AsFd + Connection + Ahead> + LocalAddr<Addr: Shown>,
    C: InFlight
        + Concurrency<T, Counted<Guarded<Files>>>
        + Concurrency<T, Counted<Once>>
        + Concurrency<T, Counted<Echo>>,
{
    let signals = Signals::new()?;
    match cli.mode {
        Mode::Files => {
            let files = Files::new(&cli.dir, signals.heard()?)?;
            let place = transport.local_addr()?.place();
            let folder = files.folder().display();
            note(&format!("{folder} at {place} (Ctrl-C stops it)"));
            run(transport, concurrency, files::deadlines().guard(files)?, &signals)
        }
        Mode::Once => run(transport, concurrency, Once, &signals),
        Mode::Echo => run(transport, concurrency, Echo::new(cli.stream_bufsize()), &signals),
    }
}

/// A server of packets.
fn packets<T, C>(transport: T, concurrency: C) -> io::Result<()>
where
    T: Transport + LocalAddr<Addr: Shown>,
    Packets: Handler<T::Request>,
    C: InFlight + Concurrency<T, Counted<Packets>>,
{
    run(transport, concurrency, Packets, &Signals::new()?)
}

/// Puts the server together, serves until a signal comes, and finishes what is in flight.
fn run<T, C, H>(transport: T, concurrency: C, handler: H, signals: &Signals) -> io::Result<()>
where
    T: Transport + LocalAddr<Addr: Shown>,
    C: InFlight + Concurrency<T, Counted<H>>,
    H: Handler<T::Request>,
{
    let mut server = Server::new(transport, concurrency, Counted::new(handler))?;
    signals.stop(&server.stop_handle())?;
    announce(&server.local_addr()?)?;
    server.serve_forever()?;

    let taken = server.handler().taken();
    let in_flight = server.concurrency().in_flight();
    if in_flight > 0 {
        let what = "finishing what is in flight; a second signal cuts it off";
        note(&format!("{what} ({in_flight})"));
    }
    server.close()?;
    note(&format!("stopped; requests taken and finished: {taken}"));
    Ok(())
}

/// Tells whoever started this that clients may come, and where to.
fn announce(address: &impl Shown) -> io::Result<()> {
    let mut line = OsString::from("LISTENING ");
    line.push(address.shown());
    line.push("\n");
    say(line)
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

/// An address as a client is given it.
trait Shown {
    fn shown(&self) -> OsString;

    /// The same for a browser, where there is such a thing.
    fn place(&self) -> String;
}

impl Shown for net::SocketAddr {
    fn shown(&self) -> OsString {
        self.to_string().into()
    }

    fn place(&self) -> String {
        format!("http://{self}/")
    }
}

impl Shown for unix::SocketAddr {
    fn shown(&self) -> OsString {
        self.as_pathname().map(Into::into).unwrap_or_default()
    }

    fn place(&self) -> String {
        self.shown().to_string_lossy().into_owned()
    }
}
