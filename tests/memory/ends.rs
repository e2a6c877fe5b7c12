//! How servers in memory end, and what they are not for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use socketserver::testing::{Link, Memory, MemoryDatagrams, MemoryRequest, MemoryStream};
use socketserver::{
    Begun, Concurrency, Counters, Drain, FinishInChild, Forking, Handler, Hangup, InHalves, Limits,
    Next, Outcome, PreForking, ReadLine, Refusal, Server, Sync as OneByOne, ThreadPool, Threading,
    by_ip,
};

use crate::support::net::{Echo, PATIENCE, all};
use crate::{Result, connect};

fn memory() -> io::Result<Memory> {
    Memory::options().bind("10.0.0.1:0")
}

/// Says how its read has ended.
struct Waits(Sender<io::Result<usize>>);

impl Handler<MemoryRequest> for Waits {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        self.0.send(conn.read(&mut [0; 8])).map_err(io::Error::other)?;
        Ok(Next::Done)
    }
}

/// A reader that nobody writes to is cut when the server ends, as one of a socket is.
fn a_reader_is_cut<C: Concurrency<Memory, Waits> + Send + 'static>(strategy: C) -> Result {
    let (tell, says) = channel();
    let drain = Drain::new().finish_within(Duration::ZERO);
    let running = Server::new(memory()?, strategy, Waits(tell))?.drain(drain).spawn()?;
    let client = connect(Link::new(), running.local_addr()?)?;
    client.until_waited_for()?;
    let report = running.close()?;
    assert_eq!(says.recv_timeout(PATIENCE)??, 0, "it finds the end of the input");
    assert_eq!((report.cut, report.abandoned), (1, 0), "{report}");
    assert_eq!(all(client)?, b"");
    Ok(())
}

#[test]
fn a_reader_is_cut_under_each_strategy() -> Result {
    a_reader_is_cut(OneByOne)?;
    a_reader_is_cut(Threading::new())?;
    a_reader_is_cut(Threading::new().fresh_threads(true))?;
    a_reader_is_cut(ThreadPool::new(2))
}

/// Echoes a line in each exchange.
struct Lines;

impl Handler<MemoryRequest> for Lines {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        let mut line = Vec::new();
        conn.read_bytes_bounded(&mut line, 80)?;
        conn.write_all(&line)?;
        Ok(if line.is_empty() { Next::Done } else { Next::Again })
    }
}

#[test]
fn who_is_idle_is_cut_first_and_who_is_not_finishes() -> Result {
    let running = Server::new(memory()?, Threading::new(), Lines)?.drain(Drain::new()).spawn()?;
    let mut idle = connect(Link::new(), running.local_addr()?)?;
    idle.write_all(b"line\n")?;
    idle.read_exact(&mut [0; 5])?;
    idle.until_waited_for()?;
    let mut busy = connect(Link::new(), running.local_addr()?)?;
    busy.write_all(b"half a ")?;
    busy.until_waited_for()?;
    let closing = thread::spawn(move || running.close());
    assert_eq!(all(idle)?, b"");
    busy.write_all(b"line\n")?;
    assert_eq!(all(busy)?, b"half a line\n");
    let report = closing.join().map_err(|_| "close panicked")??;
    assert_eq!((report.finished, report.cut), (1, 1), "{report}");
    Ok(())
}

#[test]
fn who_waits_when_the_server_ends_is_reset_and_who_comes_then_refused() -> Result {
    let server = Server::new(memory()?, OneByOne, Echo)?;
    let address = server.local_addr()?;
    let waiting = connect(Link::new(), address)?;
    server.close()?;
    let kind = |result: io::Result<_>| result.err().map(|error: io::Error| error.kind());
    assert_eq!(kind(all(waiting).map(drop)), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(MemoryStream::connect(address).map(drop)), Some(ErrorKind::ConnectionRefused));
    Memory::options().bind(address)?;
    Ok(())
}

#[test]
fn an_address_is_taken_once_and_its_queue_has_an_end() -> Result {
    let first = Memory::options().request_queue_size(2).bind("10.0.0.1:0")?;
    let server = Server::new(first, OneByOne, Echo)?;
    let address = server.local_addr()?;
    let kind = Memory::options().bind(address).err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::AddrInUse));
    // Packets have addresses of their own, as UDP has ports of its own.
    MemoryDatagrams::options().bind(address)?;
    let _waiting = [connect(Link::new(), address)?, connect(Link::new(), address)?];
    let third = connect(Link::new(), address).err().map(|error| error.kind());
    assert_eq!(third, Some(ErrorKind::WouldBlock));
    Ok(())
}

#[test]
fn a_peer_is_known_by_the_address_that_it_chose() -> Result {
    let counters = Counters::new()?;
    let limits = Limits::<Memory>::new().per_source(1, by_ip);
    let server = Server::new_fn(memory()?, Threading::new(), |conn| {
        let peer = *conn.peer();
        assert_eq!(conn.read(&mut [0])?, 0);
        write!(conn, "{peer}")
    })?;
    let running = server.limits(limits)?.counters(&counters).spawn()?;
    let address = running.local_addr()?;
    let client = |name: &str| connect(Link::new().client(name.parse().unwrap()), address);
    let one = client("203.0.113.9:4000")?;
    one.until_waited_for()?;
    let other = client("203.0.113.10:4000")?;
    other.until_waited_for()?;
    assert_eq!(all(client("203.0.113.9:4001")?)?, b"", "its address has one already");
    for (client, name) in [(one, "203.0.113.9:4000"), (other, "203.0.113.10:4000")] {
        client.shutdown(Shutdown::Write)?;
        assert_eq!(all(client)?, name.as_bytes());
    }
    running.close()?;
    assert_eq!(counters.refused_for(Refusal::Source), 1);
    Ok(())
}

#[test]
fn a_connection_can_be_given_up_to_somebody_else() -> Result {
    let (keep, kept) = channel();
    let mut server = Server::new_fn(memory()?, OneByOne, move |conn| {
        keep.send(conn.detach()?).map_err(io::Error::other)
    })?;
    let client = connect(Link::new(), server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    server.close()?;
    kept.try_recv()?.write_all(b"long after")?;
    drop(kept);
    assert_eq!(all(client)?, b"long after");
    Ok(())
}

#[test]
fn a_hangup_can_be_a_reset() -> Result {
    let memory = Memory::options().hangup(Hangup::Reset).bind("10.0.0.1:0")?;
    let mut server = Server::new(memory, OneByOne, Echo)?;
    let mut client = connect(Link::new(), server.local_addr()?)?;
    client.write_all(b"line\n")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    let kind = all(client).err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::ConnectionReset), "and the answer is lost");
    Ok(())
}

/// Would have all done in a child.
struct Later;

impl Handler<MemoryRequest> for Later {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        self.both_halves(conn)
    }
}

impl InHalves<MemoryRequest> for Later {
    type Rest = ();

    fn begin(&self, _: &mut MemoryRequest) -> io::Result<Begun<()>> {
        Ok(Begun::InChild(()))
    }

    fn finish_in_child(&self, conn: &mut MemoryRequest, (): ()) -> io::Result<Next> {
        Echo.handle(conn)
    }
}

#[test]
fn what_is_in_memory_is_not_served_in_other_processes() -> Result {
    let refused = |made: io::Result<()>| {
        let error = made.expect_err("a child has a copy");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("Threading"), "{error}");
    };
    refused(Server::new(memory()?, Forking::new(), Echo).map(drop));
    refused(Server::new(memory()?, FinishInChild::new(Forking::new()), Later).map(drop));
    refused(Server::new(memory()?, PreForking::new(1, OneByOne)?, Echo).map(drop));
    let packets = MemoryDatagrams::options().bind("10.0.0.1:0")?;
    refused(Server::new(packets, Forking::new(), Echo).map(drop));
    Ok(())
}
