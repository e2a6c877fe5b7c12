//! `Tls<Tcp>` beside the loop that one writes by hand with rustls: what the server's thread takes of
//! its processor for a request, and for a handshake, in rounds by turns.
//!
//! `cargo bench --features tls --bench tls`

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use socketserver::rustls::client::Resumption;
use socketserver::rustls::crypto::ring;
use socketserver::rustls::pki_types::CertificateDer;
use socketserver::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use socketserver::{Handler, Next, Server, Sync, Tcp, Tls};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + std::marker::Sync>>;

const ROUNDS: usize = 15;

/// So many connections, with so many exchanges of so many bytes each.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    connections: usize,
    exchanges: usize,
    bytes: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "64 bytes", connections: 1, exchanges: 20_000, bytes: 64 },
    Load { name: "16 KiB", connections: 1, exchanges: 2_000, bytes: 16 * 1024 },
    Load { name: "handshake", connections: 300, exchanges: 1, bytes: 2 },
];

/// Sends each line back.
struct Echo;

impl<R: BufRead + Write> Handler<R> for Echo {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        Ok(if echo(request)? { Next::Again } else { Next::Done })
    }
}

fn echo(request: &mut (impl BufRead + Write)) -> io::Result<bool> {
    let mut line = Vec::new();
    if request.read_until(b'\n', &mut line)? == 0 {
        return Ok(false);
    }
    request.write_all(&line)?;
    Ok(true)
}

fn by_hand(listener: &TcpListener, config: &Arc<ServerConfig>, connections: usize) -> Result {
    for _ in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut tls = StreamOwned::new(ServerConnection::new(config.clone())?, stream);
        // Which ends a silent client, if not a slow one.
        tls.sock.set_read_timeout(Some(Duration::from_secs(10)))?;
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        tls.sock.set_read_timeout(None)?;
        while echo(&mut tls)? {}
        tls.conn.send_close_notify();
        tls.flush()?;
        // As the twins of the plain servers end, and Python's.
        tls.sock.shutdown(Shutdown::Write)?;
    }
    Ok(())
}

fn with_server(tcp: Tcp, config: &Arc<ServerConfig>, connections: usize) -> Result {
    let mut server = Server::new(Tls::new(tcp, config.clone()), Sync, Echo)?;
    for _ in 0..connections {
        server.handle_request()?;
    }
    server.close()?;
    Ok(())
}

/// What the thread of a server takes of its processor to serve a load.
fn took(
    load: Load,
    client: &Arc<ClientConfig>,
    serve: impl FnOnce(TcpListener) -> Result + Send,
) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::scope(|scope| {
        let server = scope.spawn(move || -> Result<Duration> {
            let before = own_time()?;
            serve(listener)?;
            Ok(own_time()? - before)
        });
        ask(address, load, client)?;
        server.join().map_err(|_| "the server panicked")?
    })
}

fn own_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn ask(address: SocketAddr, load: Load, config: &Arc<ClientConfig>) -> Result {
    let line = [vec![b'x'; load.bytes - 1], vec![b'\n']].concat();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let name = "localhost".try_into()?;
        let mut tls = StreamOwned::new(ClientConnection::new(config.clone(), name)?, stream);
        for _ in 0..load.exchanges {
            tls.write_all(&line)?;
            let mut answer = Vec::with_capacity(load.bytes);
            tls.read_until(b'\n', &mut answer)?;
            assert_eq!(answer.len(), load.bytes);
        }
        tls.conn.send_close_notify();
        tls.flush()?;
        assert_eq!(tls.fill_buf()?, b"");
    }
    Ok(())
}

fn configured() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = made.signing_key.serialize_der();
    let certificate: CertificateDer<'static> = made.cert.into();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.try_into()?)?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each makes a whole handshake.
    client.resumption = Resumption::disabled();
    Ok((Arc::new(server), Arc::new(client)))
}

fn main() -> Result {
    let (server, client) = configured()?;
    println!("{:>10} {:>12} {:>12} {:>7}", "load", "by hand, us", "Tls<Tcp>, us", "ratio");
    for load in LOADS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let hand =
                took(load, &client, |listener| by_hand(&listener, &server, load.connections))?;
            let own = took(load, &client, |listener| {
                with_server(Tcp::from_socket(listener)?, &server, load.connections)
            })?;
            rounds.push((hand, own));
        }
        let count = u32::try_from(load.connections * load.exchanges)?;
        let each = |time: Duration| (time / count).as_secs_f64() * 1e6;
        let hand = median(rounds.iter().map(|(hand, _)| each(*hand)));
        let own = median(rounds.iter().map(|(_, own)| each(*own)));
        let ratio = median(rounds.iter().map(|(hand, own)| own.as_secs_f64() / hand.as_secs_f64()));
        println!("{:>10} {hand:>12.2} {own:>12.2} {ratio:>7.3}", load.name);
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
