//! All of it, in the order of the wire: a proxy's header, TLS, and the client's certificate that says
//! whose the request is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/tls/mod.rs"]
mod common;
mod support;

use std::error::Error;
use std::io::{self, BufRead, Write};

use common::authority::{Authority, BOTH};
use common::client;
use socketserver::{
    Authenticated, Certificates, Concurrency, Counters, FailureKind, Handler, HasIdentity, Next,
    PeerIp, Proxied, ReadLine, Selecting, Server, Sync, Tcp, ThreadPool, Threading, Tls,
    line_missing,
};
use support::net;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Known = Certificates<fn(&[u8]) -> Option<usize>>;

const NAME: &str = "server.example";

/// Answers a line with it, behind where it comes from and whose it is.
struct Tell;

impl<R: HasIdentity<Identity = usize> + PeerIp + BufRead + Write> Handler<R> for Tell {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = String::new();
        request.read_line_bounded(&mut line, 100)?;
        let answer = format!("{} {} {line}", request.peer_ip(), request.identity()?);
        request.write_all(answer.as_bytes())?;
        Ok(Next::Done)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }
}

/// Whose certificate it is: its length, where that is what it has to be.
fn known(der: &[u8]) -> Option<usize> {
    (der.first() == Some(&0x30) && der.len() < 100_000).then_some(der.len())
}

fn in_order<C>(strategy: C) -> Result
where
    C: Concurrency<Authenticated<Tls<Proxied<Tcp>>, Known>, Tell> + Send + 'static,
{
    let (authority, clients) = (Authority::new("an authority")?, Authority::new("another")?);
    let proxied = Proxied::new(Tcp::options().bind("127.0.0.1:0")?, |_| true);
    let tls = Tls::new(proxied, authority.server_for(NAME, &clients)?);
    let transport = Authenticated::new(tls, Certificates::new(known as fn(&[u8]) -> _));
    let counters = Counters::new()?;
    let server = Server::new(transport, strategy, Tell)?.counters(&counters).spawn()?;
    let address = server.local_addr()?;
    for version in BOTH {
        for pause in [false, true] {
            let identity = clients.identity("client.example")?;
            let length = identity.0[0].len();
            let mut conn = net::connect(address)?;
            conn.set_nodelay(true)?;
            for part in b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
                .chunks(1 + 99 * usize::from(!pause))
            {
                conn.write_all(part)?;
            }
            let config = authority.client(&[version], Some(identity))?;
            let mut client = client::over(conn, config, NAME)?;
            assert_eq!(client::ask(&mut client, "who\n")?, format!("192.0.2.7 {length} who\n"));
            assert_eq!(client::rest(&mut client)?, "", "a clean end");
        }
    }
    // The handshake has failed, and nobody was asked whose it is.
    let mut conn = net::connect(address)?;
    conn.write_all(b"PROXY UNKNOWN\r\n")?;
    let mut nobody = client::over(conn, authority.client(&BOTH, None)?, NAME)?;
    assert!(client::ask(&mut nobody, "who\n").is_err());
    drop(nobody);
    server.stop();
    server.join()?.close()?;
    assert_eq!(counters.finished(), 4);
    assert_eq!(counters.failed_by(FailureKind::Handshake), 1, "{counters}");
    Ok(())
}

/// TLS asks nobody for a certificate, and so nobody has one.
#[test]
fn without_a_certificate_nobody_is_let_in() -> Result {
    let authority = Authority::new("an authority")?;
    let tls = Tls::new(Tcp::options().bind("127.0.0.1:0")?, authority.server(NAME)?);
    let transport = Authenticated::new(tls, Certificates::new(known as fn(&[u8]) -> _));
    let counters = Counters::new()?;
    let server = Server::new(transport, Threading::new(), Tell)?.counters(&counters).spawn()?;
    let config = authority.client(&BOTH, None)?;
    let mut client = client::connect(server.local_addr()?, config, NAME)?;
    assert!(client::ask(&mut client, "who\n").map_or(true, |said| said.is_empty()));
    drop(client);
    server.stop();
    server.join()?.close()?;
    assert_eq!(counters.failed_by(FailureKind::Denied), 1, "{counters}");
    Ok(())
}

#[test]
fn sync() -> Result {
    in_order(Sync)
}

#[test]
fn threading() -> Result {
    in_order(Threading::new())
}

#[test]
fn thread_pool() -> Result {
    in_order(ThreadPool::new(2))
}

#[test]
fn selecting_sync() -> Result {
    in_order(Selecting::new(Sync))
}

#[test]
fn selecting_threading() -> Result {
    in_order(Selecting::new(Threading::new()))
}
