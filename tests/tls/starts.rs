//! Clients that begin wrongly, or not at all: each is a classified failure and a clean end, and the
//! server serves the next.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crossbeam_channel::Receiver;
use socketserver::{
    Concurrency, FailureKind, HandshakeReason, Selecting, Stage, Sync, Tcp, Threading, Tls,
};

use crate::common::authority::BOTH;
use crate::common::client;
use crate::common::teller::{Teller, Told, told};
use crate::support::net;
use crate::{NAME, Result, Served, serve, serve_with};

/// A fatal alert in the clear.
fn is_alert(said: &[u8]) -> bool {
    matches!(said, [21, 3, _, 0, 2, 2, _])
}

fn assert_alive<C: Concurrency<Tls<Tcp>, Teller>>(served: &Served<C>) -> Result {
    for version in BOTH {
        let config = served.authority.client(&[version], None)?;
        let mut client = client::connect(served.address, config, NAME)?;
        assert_eq!(client::ask(&mut client, "alive\n")?, "alive\n");
        client::farewell(&mut client)?;
        assert_eq!(client::rest(&mut client)?, "");
    }
    Ok(())
}

/// The client's first flight, as rustls has it.
fn hello<C: Concurrency<Tls<Tcp>, Teller>>(served: &Served<C>) -> Result<Vec<u8>> {
    let config = served.authority.client(&BOTH, None)?;
    let mut client = client::over(std::io::Cursor::new(Vec::new()), config, NAME)?;
    let mut bytes = Vec::new();
    while client.get_mut().conn.wants_write() {
        client.get_mut().conn.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

fn handshake(from: &Receiver<Told>, reason: HandshakeReason) -> Result {
    let (stage, kind, why, text) = told(from)?;
    assert_eq!(
        (stage, kind, why),
        (Stage::Establish, FailureKind::Handshake, Some(reason)),
        "{text}"
    );
    assert!(text.starts_with("establishing the request: the TLS handshake failed: "), "{text}");
    Ok(())
}

/// What the server says to a client that says this and no more.
fn said_to<C: Concurrency<Tls<Tcp>, Teller>>(start: &[u8], served: &Served<C>) -> Result<Vec<u8>> {
    let mut client = net::connect(served.address)?;
    client.write_all(start)?;
    client.shutdown(Shutdown::Write)?;
    Ok(net::all(&client)?)
}

fn what_is_not_tls<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    // A hello of SSL 2.0, of which the first two bytes are its length (RFC 6101, E.1).
    let mut ancient = vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10];
    ancient.extend([0x5a; 37]);
    for start in [
        b"GET / HTTP/1.1\r\nhost: server.example\r\n\r\n".to_vec(),
        ancient,
        vec![0; 16 * 1024],
        vec![0xff; 100],
    ] {
        let said = said_to(&start, &served)?;
        assert!(is_alert(&said), "{said:?} to {:?}", &start[..4]);
        handshake(&served.failures, HandshakeReason::NotTls)?;
        assert_alive(&served)?;
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

fn a_start_that_breaks_off<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let whole = hello(&served)?;
    for part in [0, 1, 4, 5, whole.len() / 2, whole.len() - 1, whole.len()] {
        let said = said_to(&whole[..part], &served)?;
        assert_eq!(said.is_empty(), part < whole.len(), "{part}: {said:?}");
        let (stage, kind, ..) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Establish, FailureKind::PeerGone), "after {part}");
    }
    assert_alive(&served)?;
    assert_eq!(served.end()?, []);
    Ok(())
}

/// What looks like TLS, and does not begin a handshake.
fn what_is_no_hello<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let (server_hello, huge) = ([2, 0, 0, 0], [1, 0xff, 0xff, 0xff]);
    for (kind, body) in [
        (20, &[1][..]),
        (21, &[2, 40]),
        (21, &[1, 0]),
        (22, &[]),
        (22, &server_hello),
        (22, &huge),
        (22, &[1, 0, 0, 4, 3, 3, 0, 0]),
        (23, b"hello"),
    ] {
        let record = [&[kind, 3, 1, 0, u8::try_from(body.len())?], body].concat();
        let said = said_to(&record, &served)?;
        // To some of it rustls says nothing.
        assert!(said.is_empty() || is_alert(&said), "{said:?} to {kind} {body:?}");
        handshake(&served.failures, HandshakeReason::Other)?;
    }
    assert_alive(&served)?;
    assert_eq!(served.end()?, []);
    Ok(())
}

/// A record for each byte, which RFC 8446, 5.1, allows.
fn a_start_in_many_records<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let whole = hello(&served)?;
    let records: Vec<u8> = whole[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let said = said_to(&records, &served)?;
    assert_eq!(said.first(), Some(&22), "{said:?}");
    assert_eq!(told(&served.failures)?.1, FailureKind::PeerGone, "it left after that");
    assert_eq!(served.end()?, []);
    Ok(())
}

fn a_start_byte_by_byte<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let slow = client::Trickle(net::connect(served.address)?);
    let mut client = client::over(slow, served.authority.client(&BOTH, None)?, NAME)?;
    assert_eq!(client::ask(&mut client, "slowly\n")?, "slowly\n");
    client::farewell(&mut client)?;
    assert_eq!(client::rest(&mut client)?, "");
    assert_eq!(served.end()?, []);
    Ok(())
}

/// A client that is silent, one that sends half of its hello, and one that goes on byte by byte.
fn the_deadline<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve_with(|tcp, authority| {
        Ok(Tls::new(tcp, authority.server(NAME)?).handshake(Duration::from_millis(200)))
    })?;
    let whole = hello(&served)?;
    for part in [0, whole.len() / 2, whole.len()] {
        let mut client = net::connect(served.address)?;
        client.write_all(&whole[..part])?;
        let said = net::all(&client)?;
        assert_eq!(said.is_empty(), part < whole.len(), "{part}: {said:?}");
        let (stage, kind, _, text) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Establish, FailureKind::TimedOut), "{text}");
        assert!(text.contains("timed out"), "{text}");
    }
    let mut client = net::connect(served.address)?;
    client.set_nodelay(true)?;
    for byte in whole.iter().cycle() {
        // Each byte is waited for a little less than the deadline of a single read would be.
        let failed = served.failures.recv_timeout(Duration::from_millis(20));
        if let Ok((stage, kind, ..)) = failed {
            assert_eq!((stage, kind), (Stage::Establish, FailureKind::TimedOut));
            break;
        }
        client.write_all(&[*byte])?;
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

/// The deadline is over with the handshake.
fn the_deadline_is_lifted<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let time = Duration::from_millis(400);
    let served: Served<C> =
        serve_with(|tcp, authority| Ok(Tls::new(tcp, authority.server(NAME)?).handshake(time)))?;
    let config = served.authority.client(&BOTH, None)?;
    let mut client = client::connect(served.address, config, NAME)?;
    assert_eq!(client::ask(&mut client, "before\n")?, "before\n");
    let nothing = served.failures.recv_timeout(2 * time);
    assert!(nothing.is_err(), "{nothing:?}");
    assert_eq!(client::ask(&mut client, "after\n")?, "after\n");
    drop(client);
    served.running.close()?;
    Ok(())
}

/// Those that say nothing, and what becomes of the others meanwhile.
fn silent_ones_hold_up_nobody<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let silent = (0..50)
        .map(|_| net::connect(served.address))
        .collect::<std::io::Result<Vec<TcpStream>>>()?;
    assert_alive(&served)?;
    drop(silent);
    for _ in 0..50 {
        let (stage, kind, ..) = told(&served.failures)?;
        assert_eq!((stage, kind), (Stage::Establish, FailureKind::PeerGone));
    }
    assert_eq!(served.end()?, []);
    Ok(())
}

/// One more handshake than there may be.
fn the_share_of_handshakes<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve_with(|tcp, authority| {
        Ok(Tls::new(tcp, authority.server(NAME)?).handshakes_at_once(2))
    })?;
    let config = || served.authority.client(&BOTH, None);
    // Of those that are through, there may be any number.
    let mut through = client::connect(served.address, config()?, NAME)?;
    assert_eq!(client::ask(&mut through, "here\n")?, "here\n");
    let silent = [0; 3].map(|_| net::connect(served.address));
    handshake(&served.failures, HandshakeReason::Crowded)?;
    assert_eq!(client::ask(&mut through, "still\n")?, "still\n");
    drop(silent);
    for _ in 0..2 {
        assert_eq!(told(&served.failures)?.1, FailureKind::PeerGone);
    }
    assert_alive(&served)?;
    client::farewell(&mut through)?;
    assert_eq!(client::rest(&mut through)?, "");
    assert_eq!(served.end()?, []);
    Ok(())
}

crate::under! {
    Threading, Selecting<Sync>, Selecting<Threading>:
    what_is_not_tls
    what_is_no_hello
    a_start_in_many_records
    a_start_that_breaks_off
    a_start_byte_by_byte
    the_deadline
    the_deadline_is_lifted
    silent_ones_hold_up_nobody
    the_share_of_handshakes
}
