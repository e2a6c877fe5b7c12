//! A thousand clients of TLS that connect and never begin: what they cost those who do.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socketserver::rustls::{ClientConfig, ClientConnection, StreamOwned};
use socketserver::{
    Concurrency, Counters, FailureKind, Handler, Next, ReadLine, Server, Tcp, Tls, line_missing,
};

use crate::authority::{Authority, BOTH};
use crate::footprint::{Process, lift_limit, until};
use crate::served::{Answer, LIMIT, Tested, connect};
use crate::{NAME, Rig};

const CLIENTS: usize = 1000;
/// So many handshakes may be under way at a time, where there is a limit.
const SHARE: usize = 100;
const PAGES: usize = 50;
const LINE: usize = 100;

type Secured = StreamOwned<ClientConnection, TcpStream>;

fn secured(address: &str, config: &Arc<ClientConfig>) -> Tested<Secured> {
    let conn = ClientConnection::new(config.clone(), NAME.try_into()?)?;
    Ok(StreamOwned::new(conn, connect(address)?))
}

fn say_nothing(address: &str) -> Tested<Vec<TcpStream>> {
    (0..CLIENTS).map(|_| connect(address)).collect()
}

/// How long a page takes, from before the connection to the `close_notify`.
fn page(address: &str, config: &Arc<ClientConfig>) -> Tested<Duration> {
    let begun = Instant::now();
    let mut client = secured(address, config)?;
    client.write_all(b"GET /page HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes)?;
    let took = begun.elapsed();
    let answer = Answer::parse(&bytes)?;
    assert_eq!((answer.status, answer.body.len()), (200, 100_000));
    Ok(took)
}

fn median(address: &str, config: &Arc<ClientConfig>) -> Tested<Duration> {
    let pages = (0..PAGES).map(|_| page(address, config));
    let mut pages = pages.collect::<Tested<Vec<_>>>()?;
    pages.sort();
    Ok(pages[PAGES / 2])
}

/// The descriptors of a server, those of its workers included.
fn held(server: u32) -> Tested<usize> {
    let workers = Process(server).children()?.into_iter().map(Process);
    let theirs = workers.map(Process::descriptors).sum::<Tested<usize>>()?;
    Ok(Process(server).descriptors()? + theirs)
}

/// Another gets its pages beside them.
pub(crate) fn pages(strategy: &'static str) -> Tested {
    lift_limit()?;
    let rig = Rig::start(strategy, "files", false)?;
    let (address, config) = (&rig.served.address, Arc::new(rig.servers.client(&BOTH, None)?));
    let alone = median(address, &config)?;
    let silent = say_nothing(address)?;
    until("all are taken", LIMIT, || Ok(held(rig.served.id())? >= CLIENTS))?;
    let beside = median(address, &config)?;
    println!(
        "{strategy}: a page of {} bytes takes {beside:.1?} beside {CLIENTS} silent clients, \
         {alone:.1?} without (medians of {PAGES})",
        fs::metadata(rig.path("files/page"))?.len()
    );
    drop(silent);
    page(address, &config)?;
    Ok(())
}

/// Sends each line back.
pub(crate) struct Lines;

impl<R: BufRead + Write> Handler<R> for Lines {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = String::new();
        if request.read_line_bounded(&mut line, LINE)? == 0 {
            return Ok(Next::Done);
        }
        request.write_all(line.as_bytes())?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, LINE)
    }
}

fn exchange(client: &mut BufReader<Secured>) -> Tested {
    client.get_mut().write_all(b"a line\n")?;
    let mut line = String::new();
    client.read_line(&mut line)?;
    if line == "a line\n" { Ok(()) } else { Err("it has ended".into()) }
}

/// They get their share of the server and no more: those beyond it are refused at once, and those who
/// are through are served.
pub(crate) fn share<C: Concurrency<Tls<Tcp>, Lines> + Send + 'static>(strategy: C) -> Tested {
    lift_limit()?;
    let (authority, counters) = (Authority::new("servers")?, Counters::new()?);
    let tcp = Tcp::options().request_queue_size(1024).bind("127.0.0.1:0")?;
    // The share is given back by those who have it, and not by their deadline.
    let tls = Tls::new(tcp, authority.server(NAME)?).handshakes_at_once(SHARE).handshake(2 * LIMIT);
    let server = Server::new(tls, strategy, Lines)?.counters(&counters).spawn()?;
    let (address, config) = (server.local_addr()?.to_string(), authority.client(&BOTH, None)?);
    let config = Arc::new(config);
    let mut through = BufReader::new(secured(&address, &config)?);
    exchange(&mut through)?;

    let silent = say_nothing(&address)?;
    let refused = |count: usize| {
        let what = format!("{count} are refused");
        until(&what, LIMIT, || Ok(counters.failed_by(FailureKind::Handshake) >= count as u64))
    };
    refused(CLIENTS - SHARE)?;
    exchange(&mut through)?;
    // There is no room for one who would begin.
    assert!(exchange(&mut BufReader::new(secured(&address, &config)?)).is_err());
    refused(CLIENTS - SHARE + 1)?;
    assert_eq!(counters.active(), 1 + SHARE as u64, "{counters}");

    drop(silent);
    let gone = || Ok(counters.failed_by(FailureKind::PeerGone) == SHARE as u64);
    until("the others have gone", LIMIT, gone)?;
    exchange(&mut BufReader::new(secured(&address, &config)?))?;
    exchange(&mut through)?;
    drop(through);
    server.close()?;
    assert_eq!(counters.failed_by(FailureKind::Handshake), (CLIENTS - SHARE) as u64 + 1);
    Ok(())
}
