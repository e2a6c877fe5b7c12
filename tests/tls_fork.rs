//! Connections through TLS where each has a process of its own. Each case runs in a process with one
//! thread.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/tls/mod.rs"]
mod common;
mod support;

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::authority::{Authority, BOTH};
use common::client;
use common::teller::Teller;
use socketserver::{
    Concurrency, Counters, FailureKind, ForkServer, Forking, Outcome, Server, Tcp, Tls, TlsConfig,
};
use support::alone;
use support::net;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NAME: &str = "server.example";

fn main() -> ExitCode {
    alone::run(&[
        ("a_conversation_under_forking", || converses(Forking::new())),
        ("a_conversation_under_fork_server", || converses(ForkServer::new())),
        ("failures_are_classified_under_forking", || fails(Forking::new())),
        ("failures_are_classified_under_fork_server", || fails(ForkServer::new())),
        ("an_upgrade_under_forking", || upgrades(Forking::new())),
        ("an_upgrade_under_fork_server", || upgrades(ForkServer::new())),
        ("a_child_of_forking_has_the_certificate_of_the_day", of_the_day),
    ])
}

fn tcp() -> Result<Tcp> {
    Ok(Tcp::options().bind("127.0.0.1:0")?)
}

fn converses<C: Concurrency<Tls<Tcp>, Teller>>(strategy: C) -> Result {
    let authority = Authority::new("an authority")?;
    let tls = Tls::new(tcp()?, authority.server(NAME)?);
    let mut server = Server::new(tls, strategy, Teller::new().0)?;
    let address = server.local_addr()?;
    for version in BOTH {
        let stream = net::connect(address)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut client = client::over(stream, authority.client(&[version], None)?, NAME)?;
        assert_eq!(client::ask(&mut client, "one\n")?, "one\n");
        assert!(client::ask(&mut client, "who\n")?.contains(NAME));
        assert_eq!(client::ask(&mut client, "bye\n")?, "goodbye\n");
        assert_eq!(client::rest(&mut client)?, "", "a clean end");
    }
    server.close()?;
    Ok(())
}

fn fails<C: Concurrency<Tls<Tcp>, Teller>>(strategy: C) -> Result {
    let authority = Authority::new("an authority")?;
    let tls = Tls::new(tcp()?, authority.server(NAME)?).handshake(Duration::from_millis(200));
    let counters = Counters::new()?;
    let mut server = Server::new(tls, strategy, Teller::new().0)?.counters(&counters);
    let address = server.local_addr()?;

    let mut noise = net::connect(address)?;
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    server.handle_request()?;
    assert!(matches!(net::all(&noise)?[..], [21, 3, _, 0, 2, 2, _]));
    drop(noise);

    let silent = net::connect(address)?;
    server.handle_request()?;
    assert_eq!(net::all(&silent)?, b"");

    let stream = net::connect(address)?;
    server.handle_request()?;
    let mut cut = client::over(stream, authority.client(&BOTH, None)?, NAME)?;
    assert_eq!(client::ask(&mut cut, "one\n")?, "one\n");
    cut.get_ref().sock.shutdown(std::net::Shutdown::Write)?;
    assert_eq!(client::hear(&mut cut)?, "sorry\n");
    assert_eq!(client::rest(&mut cut).map_err(|e| e.kind()), Err(ErrorKind::UnexpectedEof));

    server.close()?;
    for kind in [FailureKind::Handshake, FailureKind::TimedOut, FailureKind::PeerGone] {
        assert_eq!(counters.failed_by(kind), 1, "{kind:?} of {counters}");
    }
    Ok(())
}

fn upgrades<C: Concurrency<Tls<Tcp>, Teller>>(strategy: C) -> Result {
    let authority = Authority::new("an authority")?;
    let tls = Tls::new(tcp()?, authority.server(NAME)?).starting_clear();
    let mut server = Server::new(tls, strategy, Teller::new().0)?;
    let mut clear = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    clear.write_all(b"start\n")?;
    let mut answer = [0; 9];
    std::io::Read::read_exact(&mut clear, &mut answer)?;
    assert_eq!(&answer, b"go ahead\n");
    let mut client = client::over(clear, authority.client(&BOTH, None)?, NAME)?;
    assert_eq!(client::ask(&mut client, "bye\n")?, "goodbye\n");
    assert_eq!(client::rest(&mut client)?, "", "a clean end");
    server.close()?;
    Ok(())
}

fn of_the_day() -> Result {
    let authority = Authority::new("an authority")?;
    let config = TlsConfig::from(authority.server("yesterday.example")?);
    let tls = Tls::new(tcp()?, config.clone());
    let mut server = Server::new(tls, Forking::new(), Teller::new().0)?;
    config.replace(authority.server(NAME)?);
    let stream = net::connect(server.local_addr()?)?;
    server.handle_request()?;
    let mut client = client::over(stream, authority.client(&BOTH, None)?, NAME)?;
    assert_eq!(client::ask(&mut client, "bye\n")?, "goodbye\n");
    server.close()?;
    Ok(())
}
