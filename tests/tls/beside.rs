//! TLS beside connections in the clear, over TCP and a Unix socket, in one server.

use std::io::Write;
use std::os::unix::net as unix;

use socketserver::{
    Beside, Concurrency, Counters, Handler, Next, ReadLine, Selecting, Server, Sync, Tcp,
    ThreadPool, Threading, Tls, UnixStream, line_missing,
};

use crate::common::authority::{Authority, BOTH};
use crate::common::client;
use crate::support::net::{PATIENCE, all, connect};
use crate::{NAME, Result};

type Four = Beside<Beside<Tcp, Tls<Tcp>>, Beside<UnixStream, Tls<UnixStream>>>;

/// Answers lines until there is none.
struct Lines;

impl<R: std::io::BufRead + Write> Handler<R> for Lines {
    fn handle(&self, conn: &mut R) -> std::io::Result<Next> {
        let mut line = String::new();
        if conn.read_line_bounded(&mut line, 100)? == 0 {
            return Ok(Next::Done);
        }
        conn.write_all(line.as_bytes())?;
        Ok(Next::Again)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }
}

fn four<C: Concurrency<Four, Lines> + Send + 'static>(strategy: C) -> Result {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new("an authority")?;
    let tcp = || Tcp::options().bind("127.0.0.1:0");
    let unix = |name| UnixStream::options().bind(dir.path().join(name));
    let ip = Beside::new(tcp()?, Tls::new(tcp()?, authority.server(NAME)?))?;
    let within = Beside::new(unix("clear")?, Tls::new(unix("tls")?, authority.server(NAME)?))?;
    let counters = Counters::new()?;
    let server = Server::new(Beside::new(ip, within)?, strategy, Lines)?.counters(&counters);
    let running = server.spawn()?;
    let ((clear, secured), _) = running.local_addr()?;
    let over_unix = |name| -> Result<unix::UnixStream> {
        let client = unix::UnixStream::connect(dir.path().join(name))?;
        client.set_read_timeout(Some(PATIENCE))?;
        Ok(client)
    };
    // It says nothing for as long as the others are served.
    let silent = connect(secured)?;
    for _ in 0..5 {
        let config = || authority.client(&BOTH, None);
        let mut client = client::connect(secured, config()?, NAME)?;
        assert_eq!(client::ask(&mut client, "over TLS\n")?, "over TLS\n");
        client::farewell(&mut client)?;
        assert_eq!(client::rest(&mut client)?, "");
        let mut client = client::over(over_unix("tls")?, config()?, NAME)?;
        assert_eq!(client::ask(&mut client, "within\n")?, "within\n");
        client::farewell(&mut client)?;
        assert_eq!(client::rest(&mut client)?, "");
        let mut client = connect(clear)?;
        client.write_all(b"in the clear\n")?;
        client.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(all(client)?, b"in the clear\n");
        let mut client = over_unix("clear")?;
        client.write_all(b"here\n")?;
        client.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(all(client)?, b"here\n");
    }
    drop(silent);
    running.close()?;
    assert_eq!((counters.accepted(), counters.finished()), (21, 20), "{counters}");
    Ok(())
}

#[test]
fn all_four_are_served() -> Result {
    four(Threading::new())?;
    four(ThreadPool::new(3))?;
    four(Selecting::new(Sync))?;
    four(Selecting::new(Threading::new()))
}
