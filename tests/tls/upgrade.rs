//! Connections that begin in the clear.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socketserver::{
    Concurrency, FailureKind, HandshakeReason, Selecting, Stage, Sync, Tcp, Threading, Tls,
};

use crate::common::authority::BOTH;
use crate::common::client;
use crate::common::teller::{Teller, told};
use crate::support::net;
use crate::{NAME, Result, Served, serve_with};

fn serve<C>() -> Result<Served<C>>
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    serve_with(|tcp, authority| {
        let tls = Tls::new(tcp, authority.server(NAME)?).starting_clear();
        Ok(tls.handshake(Duration::from_millis(300)))
    })
}

/// Sends a line in the clear; the answer.
fn ask(client: &TcpStream, line: &str) -> Result<String> {
    (&mut &*client).write_all(line.as_bytes())?;
    // Byte by byte, so that nothing beyond the line is taken.
    let mut answer = String::new();
    BufReader::with_capacity(1, client).read_line(&mut answer)?;
    Ok(answer)
}

fn in_the_clear_and_then_not<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    for version in BOTH {
        let clear = net::connect(served.address)?;
        assert_eq!(ask(&clear, "hello\n")?, "hello\n");
        assert_eq!(ask(&clear, "who\n")?, "0  - -\n");
        assert_eq!(ask(&clear, "start\n")?, "go ahead\n");
        let config = served.authority.client(&[version], None)?;
        let mut client = client::over(clear, config, NAME)?;
        assert_eq!(client::ask(&mut client, "hello\n")?, "hello\n");
        assert!(client::ask(&mut client, "who\n")?.contains(NAME));
        assert_eq!(client::ask(&mut client, "bye\n")?, "goodbye\n");
        assert_eq!(client::rest(&mut client)?, "", "a clean end");
    }
    // One that stays in the clear.
    let clear = net::connect(served.address)?;
    assert_eq!(ask(&clear, "bye\n")?, "goodbye\n");
    assert_eq!(net::all(&clear)?, b"");
    assert_eq!(served.end()?, []);
    Ok(())
}

/// What comes in the clear after the command is not taken for what comes through TLS.
fn nothing_is_smuggled_in<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let clear = net::connect(served.address)?;
    assert_eq!(ask(&clear, "start\nsmuggled\n")?, "go ahead\n");
    let (stage, kind, why, text) = told(&served.failures)?;
    assert_eq!((stage, kind), (Stage::Handle, FailureKind::Handshake), "{text}");
    assert_eq!(why, Some(HandshakeReason::NotTls), "{text}");
    let said = net::all(&clear)?;
    assert!(matches!(said[..], [21, 3, _, 0, 2, 2, _]), "an alert, and no word: {said:?}");
    assert_eq!(served.end()?, []);
    Ok(())
}

/// A peer that is silent after the command.
fn the_deadline<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let mut clear = net::connect(served.address)?;
    assert_eq!(ask(&clear, "start\n")?, "go ahead\n");
    let (stage, kind, _, text) = told(&served.failures)?;
    assert_eq!((stage, kind), (Stage::Handle, FailureKind::TimedOut), "{text}");
    assert_eq!(clear.read(&mut [0; 16])?, 0, "not a word in the clear");
    assert_eq!(served.end()?, []);
    Ok(())
}

fn once<C>() -> Result
where
    C: Concurrency<Tls<Tcp>, Teller> + Default + Send + 'static,
{
    let served: Served<C> = serve()?;
    let clear = net::connect(served.address)?;
    assert_eq!(ask(&clear, "start\n")?, "go ahead\n");
    let mut client = client::over(clear, served.authority.client(&BOTH, None)?, NAME)?;
    assert_eq!(client::ask(&mut client, "start\n")?, "go ahead\n");
    let (stage, kind, _, text) = told(&served.failures)?;
    assert_eq!((stage, kind), (Stage::Handle, FailureKind::Error), "{text}");
    assert!(text.contains("speaks TLS already"), "{text}");
    drop(client);
    assert_eq!(served.end()?, []);
    Ok(())
}

crate::under! {
    Threading, Selecting<Sync>, Selecting<Threading>:
    in_the_clear_and_then_not
    nothing_is_smuggled_in
    the_deadline
    once
}
