//! Servers of lines, and their clients, for the tests of how a server ends.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use socketserver::{
    Concurrency, Counters, Drain, Handler, Next, ReadLine, Report, Running, Server, Tcp, TcpRequest,
};

use super::net::{PATIENCE, connect};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Echoes line after line; tells each time it is called.
pub struct Lines(pub Sender<()>);

impl Handler<TcpRequest> for Lines {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        self.0.send(()).map_err(io::Error::other)?;
        let mut line = Vec::new();
        conn.read_bytes_bounded(&mut line, 100)?;
        conn.write_all(&line)?;
        Ok(if line.is_empty() { Next::Done } else { Next::Again })
    }
}

pub type Lined<C> = (Running<Tcp, C, Lines>, SocketAddr, Receiver<()>, Counters);

pub fn lines<C: Concurrency<Tcp, Lines> + Send + 'static>(
    strategy: C,
    drain: Option<Drain>,
) -> Result<Lined<C>> {
    let (tell, called) = unbounded();
    let counters = Counters::new()?;
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, strategy, Lines(tell))?.counters(&counters);
    if let Some(drain) = drain {
        server = server.drain(drain);
    }
    let running = server.spawn()?;
    let address = running.local_addr()?;
    Ok((running, address, called, counters))
}

/// A client whose request is in the handler.
pub fn client(to: SocketAddr, called: &Receiver<()>) -> Result<TcpStream> {
    let client = connect(to)?;
    called.recv_timeout(PATIENCE)?;
    Ok(client)
}

/// Sends this, and waits for the same.
pub fn exchange(client: &TcpStream, line: &[u8]) -> Result {
    (&*client).write_all(line)?;
    let mut answer = vec![0; line.len()];
    (&*client).read_exact(&mut answer)?;
    assert_eq!(answer, line);
    Ok(())
}

/// A client whose connection is idle.
pub fn idle(to: SocketAddr, called: &Receiver<()>) -> Result<TcpStream> {
    let client = client(to, called)?;
    exchange(&client, b"one\n")?;
    called.recv_timeout(PATIENCE)?;
    Ok(client)
}

/// What became of requests, without the time.
pub fn numbers(report: Report) -> [usize; 4] {
    [report.finished, report.cut, report.abandoned, report.refused]
}

/// Closes on a thread of its own.
pub fn closing<C, H>(running: Running<Tcp, C, H>) -> Receiver<io::Result<Report>>
where
    C: Concurrency<Tcp, H> + Send + 'static,
    H: Handler<TcpRequest> + Send + Sync + 'static,
{
    let (tell, told) = bounded(1);
    thread::spawn(move || tell.send(running.close()));
    told
}
