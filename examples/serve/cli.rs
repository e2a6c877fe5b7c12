//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::arguments::{choice, number, text, value};
use crate::files::About;
use crate::hand_over::Meeting;
use crate::listeners;

pub(crate) const HELP: &str = "\
serve: the files of a directory over HTTP, and every server of the crate

Usage: serve [OPTIONS]

Without options it serves the current directory at http://127.0.0.1:8000/, each
connection on a thread of its own.

  --dir D        the directory to serve [default: the current one]
  --addr A       where to listen [default: 127.0.0.1:8000]: IP:PORT for tcp and
                 udp, with port 0 for a free one; a path for unix and unixgram;
                 given more than once, at all of them
  --transport T  tcp        connections over IP [default]
                 udp        packets over IP
                 unix       connections over a Unix socket
                 unixgram   packets over a Unix socket
  --strategy S   sync       one request after the other
                 threading  each request on a thread of its own [default]
                 thread-pool  the same on a limited number of threads
                 forking    each request in a process of its own
                 fork-server  the same, forked from a helper
                 pre-forking  in several processes, one after the other in each
                 pre-forking+threading  the same, each on a thread of its own
                 pre-forking+thread-pool  the same, with a pool each
                 pre-forking+selecting  for connections: in a table each
                 selecting  for connections: in a table while they wait
                 selecting+thread-pool  the same, with a pool to work at it
  --mode M       files      HTTP/1.1: GET and HEAD of the files [default]
                 once       one line is sent back, then the connection closes
                 echo       all that comes is sent back, until the peer ends;
                            packets are echoed whatever the mode, but files
                            and resp, which they can't have
                 resp       what Redis speaks: PING, GET, SET and a few more,
                            kept in memory, by each process for itself
  --tls CERT.pem KEY.pem
                 connections through TLS, with this certificate (and those that
                 prove it) and its key; needs --features tls
  --client-ca CA.pem
                 with --tls: clients need a certificate of one of these
  --backlog N    how many connections may wait to be accepted [default: 1024]
  --bufsize N    how much is read at a time by once and echo [default: 8192];
                 for packets, the longest that is taken whole [default: 65535]
  --proxy-from CIDR
                 for tcp, and as often as there are networks: connections come
                 from these, through proxies that say whose they are, by the
                 PROXY protocol; others are refused; needs --features proxy
  --ready PATH   with files: a GET of this path is answered with 200 while the
                 server is to be sent requests, and with 503 once it is to end
  --whoami PATH  with files: a GET of this path is answered with the client's
                 address and port
  --grace S      the end is announced so many seconds before: connections are
                 taken meanwhile, so that whoever asks --ready can send them
                 elsewhere, and those that last are told that they end
  --hand-over PATH
                 an upgrade without a gap: takes over the sockets of the serve
                 that was started with the same PATH, which then finishes what
                 it has and ends, and offers them to the next; needs --features
                 activation
  --quiet        no line on stderr for each exchange of files
  --workers N    how many processes pre-forking has [default: as many as there
                 are processors], or how many threads a thread-pool has at most
                 [default: four more than there are processors, and at most 32];
                 the others have no such number, and it does nothing
  -h, --help     this text

Once bound it prints `LISTENING <address>` on stdout, a line for each address.
Sockets that it was started with (LISTEN_FDS) take the place of those of --addr,
and a service manager is told how it is (NOTIFY_SOCKET); that needs --features
activation. On SIGTERM or SIGINT it takes nothing new, finishes what is in
flight and exits with 0; a second signal ends it at once.
";

const OPTIONS: &str = "--transport, --strategy, --mode, --addr, --backlog, --bufsize, --workers, \
                       --dir, --proxy-from, --tls, --client-ca, --ready, --whoami, --grace, \
                       --hand-over, --quiet, --help";
pub(crate) const NOT_FOR_PACKETS: &str =
    "--tls is for connections: use it with --transport tcp or unix";
/// More would be no buffer but an attempt to run out of memory.
const LARGEST_BUFFER: usize = 64 * 1024 * 1024;

/// What the user wants.
pub(crate) enum Asked {
    Serve(Box<Cli>),
    Help,
}

/// A server.
pub(crate) struct Cli {
    pub(crate) endpoint: Endpoint,
    /// Whether --addr was given.
    pub(crate) addressed: bool,
    pub(crate) strategy: Strategy,
    pub(crate) mode: Mode,
    pub(crate) backlog: u32,
    pub(crate) bufsize: Option<usize>,
    pub(crate) workers: Option<usize>,
    pub(crate) dir: PathBuf,
    pub(crate) quiet: bool,
    pub(crate) about: About,
    /// For how long a stop is announced.
    pub(crate) grace: Option<Duration>,
    /// Where those meet who follow each other.
    pub(crate) meeting: Option<Meeting>,
    /// The networks of proxies.
    #[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "they are refused without"))]
    pub(crate) proxies: Vec<String>,
    pub(crate) tls: Option<Certified>,
}

/// What TLS needs.
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "it is refused without"))]
pub(crate) struct Certified {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Whose certificates clients need, if they need any.
    pub(crate) clients: Option<PathBuf>,
}

/// A transport, and addresses that go with it.
pub(crate) enum Endpoint {
    Tcp(Vec<SocketAddr>),
    Udp(Vec<SocketAddr>),
    Unix(Vec<PathBuf>),
    Unixgram(Vec<PathBuf>),
}

#[derive(Clone, Copy)]
pub(crate) enum Strategy {
    Sync,
    Threading,
    ThreadPool,
    Forking,
    ForkServer,
    PreForking,
    PreForkingThreading,
    PreForkingThreadPool,
    PreForkingSelecting,
    Selecting,
    SelectingThreadPool,
}

impl Strategy {
    /// Whether connections take turns, exchange by exchange.
    pub(crate) fn takes_turns(self) -> bool {
        matches!(self, Self::Selecting | Self::SelectingThreadPool | Self::PreForkingSelecting)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Files,
    Once,
    Echo,
    Resp,
}

#[derive(Clone, Copy)]
enum Transport {
    Tcp,
    Udp,
    Unix,
    Unixgram,
}

impl Cli {
    /// How much is read from a connection at a time.
    pub(crate) fn stream_bufsize(&self) -> usize {
        self.bufsize.unwrap_or(8192)
    }
}

/// Reads the command line.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub(crate) fn parse() -> Result<Asked, String> {
    let mut transport = Transport::Tcp;
    let mut strategy = Strategy::Threading;
    let (mut mode, mut addresses, mut dir) = (None, Vec::new(), None);
    let (mut bufsize, mut workers) = (None, None);
    let (mut backlog, mut quiet, mut proxies) = (1024, false, Vec::new());
    let (mut tls, mut clients) = (None, None);
    let (mut about, mut grace, mut meeting) = (About::default(), None, None);

    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next().map_err(|error| hinted(&error))? {
        match arg {
            Arg::Long("transport") => {
                let all = [
                    ("tcp", Transport::Tcp),
                    ("udp", Transport::Udp),
                    ("unix", Transport::Unix),
                    ("unixgram", Transport::Unixgram),
                ];
                transport = choice("--transport", &text(&mut parser)?, all)?;
            }
            Arg::Long("strategy") => {
                let all = [
                    ("sync", Strategy::Sync),
                    ("threading", Strategy::Threading),
                    ("thread-pool", Strategy::ThreadPool),
                    ("forking", Strategy::Forking),
                    ("fork-server", Strategy::ForkServer),
                    ("pre-forking", Strategy::PreForking),
                    ("pre-forking+threading", Strategy::PreForkingThreading),
                    ("pre-forking+thread-pool", Strategy::PreForkingThreadPool),
                    ("pre-forking+selecting", Strategy::PreForkingSelecting),
                    ("selecting", Strategy::Selecting),
                    ("selecting+thread-pool", Strategy::SelectingThreadPool),
                ];
                strategy = choice("--strategy", &text(&mut parser)?, all)?;
            }
            Arg::Long("mode") => {
                let all = [
                    ("files", Mode::Files),
                    ("once", Mode::Once),
                    ("echo", Mode::Echo),
                    ("resp", Mode::Resp),
                ];
                mode = Some(choice("--mode", &text(&mut parser)?, all)?);
            }
            Arg::Long("addr") => addresses.push(value(&mut parser)?),
            Arg::Long("backlog") => backlog = number(&mut parser, "--backlog", u32::MAX)?,
            Arg::Long("bufsize") => {
                bufsize = Some(number(&mut parser, "--bufsize", LARGEST_BUFFER)?);
            }
            Arg::Long("workers") => {
                workers = Some(number(&mut parser, "--workers", usize::MAX)?);
            }
            Arg::Long("dir") => dir = Some(PathBuf::from(value(&mut parser)?)),
            Arg::Long("proxy-from") => proxies.push(text(&mut parser)?),
            Arg::Long("tls") => tls = Some((file(&mut parser)?, file(&mut parser)?)),
            Arg::Long("client-ca") => clients = Some(file(&mut parser)?),
            Arg::Long("ready") => about.ready = Some(target(&mut parser, "--ready")?),
            Arg::Long("whoami") => about.whoami = Some(target(&mut parser, "--whoami")?),
            Arg::Long("grace") => {
                grace = Some(seconds(&mut parser, "--grace")?);
            }
            Arg::Long("hand-over") => meeting = Some(Meeting::at(file(&mut parser)?)?),
            Arg::Long("quiet") => quiet = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
            other => return Err(hinted(&other.unexpected())),
        }
    }
    let addressed = !addresses.is_empty();
    let endpoint = endpoint(transport, &addresses)?;
    let packets = matches!(endpoint, Endpoint::Udp(_) | Endpoint::Unixgram(_));
    let needs = match mode {
        Some(Mode::Files) => Some("files is HTTP"),
        Some(Mode::Resp) => Some("resp is RESP"),
        _ => None,
    };
    if let Some(what) = needs.filter(|_| packets) {
        return Err(format!(
            "--mode {what}, which needs connections: use it with --transport tcp or unix; packets \
             can have --mode once or echo"
        ));
    }
    check_proxies(&proxies, &endpoint)?;
    let mode = mode.unwrap_or(if packets { Mode::Echo } else { Mode::Files });
    if mode != Mode::Files && (about.ready.is_some() || about.whoami.is_some()) {
        return Err("--ready and --whoami are paths of HTTP: they go with --mode files".into());
    }
    let tls = certified(tls, clients, packets)?;
    let served = dir.is_some() || mode == Mode::Files;
    let dir = dir.unwrap_or_else(|| PathBuf::from("."));
    if served {
        check_dir(&dir)?;
    }
    Ok(Asked::Serve(Box::new(Cli {
        endpoint,
        addressed,
        strategy,
        mode,
        backlog,
        bufsize,
        dir,
        workers,
        quiet,
        about,
        grace,
        meeting,
        proxies,
        tls,
    })))
}

fn check_proxies(proxies: &[String], endpoint: &Endpoint) -> Result<(), String> {
    match endpoint {
        _ if proxies.is_empty() => Ok(()),
        _ if !cfg!(feature = "proxy") => {
            Err("this serve knows no PROXY protocol: build it with --features proxy".into())
        }
        Endpoint::Tcp(_) => Ok(()),
        _ => Err("--proxy-from is for connections over IP: use it with --transport tcp".into()),
    }
}

/// What TLS needs, where it is asked for and can be had.
fn certified(
    tls: Option<(PathBuf, PathBuf)>,
    clients: Option<PathBuf>,
    packets: bool,
) -> Result<Option<Certified>, String> {
    match (tls, clients) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("--client-ca is for connections through TLS: give --tls too".into()),
        (Some(_), _) if packets => Err(NOT_FOR_PACKETS.into()),
        (Some(_), _) if !cfg!(feature = "tls") => {
            Err("this serve was built without TLS: build it with --features tls".into())
        }
        (Some((certificate, key)), clients) => Ok(Some(Certified { certificate, key, clients })),
    }
}

fn hinted(error: &dyn Display) -> String {
    format!("{error}; the options are {OPTIONS}")
}

fn file(parser: &mut Parser) -> Result<PathBuf, String> {
    value(parser).map(PathBuf::from)
}

fn seconds(parser: &mut Parser, option: &str) -> Result<Duration, String> {
    let given = text(parser)?;
    let time = given.parse().ok().and_then(|time| Duration::try_from_secs_f64(time).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| {
        format!("{option} {given:?} has to be a number of seconds above 0, such as 2 or 0.5")
    })
}

/// A path as it stands in the first line of a request.
fn target(parser: &mut Parser, option: &str) -> Result<String, String> {
    let given = text(parser)?;
    if given.starts_with('/') && !given.contains('?') {
        return Ok(given);
    }
    Err(format!("{option} {given:?} has to be a path of a URL, such as {option} /ready"))
}

fn endpoint(transport: Transport, addresses: &[OsString]) -> Result<Endpoint, String> {
    Ok(match transport {
        Transport::Tcp => Endpoint::Tcp(inet(addresses)?),
        Transport::Udp => Endpoint::Udp(inet(addresses)?),
        Transport::Unix => Endpoint::Unix(paths(addresses)?),
        Transport::Unixgram => Endpoint::Unixgram(paths(addresses)?),
    })
}

/// Literal addresses, and the one name that needs no resolver.
fn inet(addresses: &[OsString]) -> Result<Vec<SocketAddr>, String> {
    if addresses.is_empty() {
        return Ok(vec![SocketAddr::from(([127, 0, 0, 1], 8000))]);
    }
    let literal = |address: &OsString| {
        let text = address.to_string_lossy();
        let literal = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_string(),
        };
        literal.parse().map_err(|_| {
            format!(
                "--addr {text:?} is not IP:PORT, such as 127.0.0.1:8000, [::1]:8000, 0.0.0.0:8000 \
                 for all of IPv4, or 127.0.0.1:0 for any free port; paths go with --transport unix \
                 or unixgram"
            )
        })
    };
    addresses.iter().map(literal).collect()
}

fn paths(addresses: &[OsString]) -> Result<Vec<PathBuf>, String> {
    if addresses.is_empty() && !listeners::are_passed_in() {
        return Err("--transport unix and unixgram need the path of their socket: give it with \
                    --addr, such as --addr /tmp/serve.sock"
            .into());
    }
    let path = |address: &OsString| {
        if address.to_str().is_some_and(|text| text.parse::<SocketAddr>().is_ok()) {
            return Err(format!(
                "--addr {address:?} is IP:PORT, and a Unix socket has a path: use --transport tcp \
                 or udp, or ./ before a file's name that looks like that"
            ));
        }
        Ok(address.into())
    };
    addresses.iter().map(path).collect()
}

fn check_dir(dir: &Path) -> Result<(), String> {
    let wrong = match dir.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "it is not a directory".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(format!("--dir {dir:?} can't be served: {wrong}; give a directory that is there"))
}
