//! Transports, strategies and handlers as somebody else's crate would write them: with the public
//! API alone.

mod ahead;
mod channel;
#[cfg(feature = "testing")]
mod laws;
mod owning;
mod second_stage;
mod waiting;
mod wrapping;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socketserver::{Concurrency, Handler, Running, Server, Transport};

/// Far beyond what anything here needs, so that only a hang reaches it.
const FAR: Duration = Duration::from_secs(30);

/// What `run` gives, unless it hangs; then the test fails instead of hanging too.
fn in_time<V: Send + 'static>(run: impl FnOnce() -> V + Send + 'static) -> io::Result<V> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(run()));
    told.recv_timeout(FAR).map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it hangs"))
}

/// Waits until a server that has been stopped has returned, and closes it.
fn end<T, C, H>(running: Running<T, C, H>) -> io::Result<()>
where
    T: Transport + Send + Sync + 'static,
    C: Concurrency<T, H> + Send + 'static,
    H: Handler<T::Request> + Send + Sync + 'static,
{
    in_time(|| running.join().and_then(Server::close).map(drop))?
}

/// Says something over a connection, and hears all that comes back.
fn ask(address: SocketAddr, what: &str) -> io::Result<String> {
    hear(&say(address, what)?)
}

fn say(address: SocketAddr, what: &str) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(FAR))?;
    client.write_all(what.as_bytes())?;
    Ok(client)
}

fn hear(mut client: &TcpStream) -> io::Result<String> {
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    Ok(said)
}
