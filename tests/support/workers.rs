//! A server of `PreForking` in a process of its own, and its clients.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process;

use socketserver::{
    Concurrency, Counters, Handler, LocalAddr, Next, PreForking, Server, StopHandle, Tcp,
    TcpRequest, Workers,
};

use super::apart::Apart;
use super::net::connect;
use super::one_byte::tcp;
use super::processes::no_child_is_left;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Says which process it is, and then does as its client says.
pub struct Obeys {
    pub stop: StopHandle,
}

impl Handler<TcpRequest> for Obeys {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        conn.write_all(&process::id().to_ne_bytes())?;
        let mut how = [0];
        conn.read_exact(&mut how)?;
        match &how {
            b"p" => panic!("scripted"),
            b"s" => self.stop.stop(),
            _ => {}
        }
        conn.write_all(&how)?;
        Ok(Next::Done)
    }
}

/// What the test's process has of a server apart.
pub struct Seen {
    pub server: Apart,
    pub address: SocketAddr,
    pub workers: Workers,
    pub counters: Counters,
}

pub fn serve<C: Concurrency<Tcp, Obeys>>(strategy: PreForking<C>) -> Result<Seen> {
    serve_with(strategy, |stop| Obeys { stop }, |server| server)
}

/// The same with another handler, and with what `change` makes of the server.
pub fn serve_with<C: Concurrency<Tcp, H>, H: Handler<TcpRequest>>(
    strategy: PreForking<C>,
    handler: impl FnOnce(StopHandle) -> H,
    change: impl FnOnce(Server<Tcp, PreForking<C>, H>) -> Server<Tcp, PreForking<C>, H>,
) -> Result<Seen> {
    serve_on(tcp()?, strategy, handler, change)
}

/// The same on this transport.
pub fn serve_on<C: Concurrency<Tcp, H>, H: Handler<TcpRequest>>(
    tcp: Tcp,
    strategy: PreForking<C>,
    handler: impl FnOnce(StopHandle) -> H,
    change: impl FnOnce(Server<Tcp, PreForking<C>, H>) -> Server<Tcp, PreForking<C>, H>,
) -> Result<Seen> {
    let (counters, workers) = (Counters::new()?, strategy.workers());
    let (address, counts) = (tcp.local_addr()?, counters.clone());
    let server = Apart::run(move || {
        let mut server = change(Server::with_stop(tcp, strategy, handler)?).counters(&counts);
        server.serve_forever()?;
        let report = server.close()?;
        assert!(no_child_is_left());
        Ok(report.to_string())
    })?;
    Ok(Seen { server, address, workers, counters })
}

/// A client, and the process that has its request.
pub fn begin(address: SocketAddr) -> Result<(TcpStream, u32)> {
    let mut client = connect(address)?;
    let mut number = [0; 4];
    client.read_exact(&mut number)?;
    Ok((client, u32::from_ne_bytes(number)))
}

/// Has the request end in this way.
pub fn end(mut client: TcpStream, how: u8) -> Result {
    client.write_all(&[how])?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    assert_eq!(answer, [how]);
    Ok(())
}

pub fn stop(seen: Seen) -> Result<String> {
    let (client, _) = begin(seen.address)?;
    end(client, b's')?;
    seen.server.end()
}
