//! What goes wrong when, to the byte and to the request.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use socketserver::testing::{Clock, Link, Memory, MemoryRequest, MemoryStream, Stall};
use socketserver::{
    Counters, FailureKind, Handler, Next, Outcome, Server, Sync as OneByOne, Threading,
};

use crate::support::net::{PATIENCE, all};
use crate::{Result, connect};

/// What a handler found: so many bytes, or this error.
type Found = std::result::Result<usize, ErrorKind>;

/// A handler that reads with plenty of room until something ends it, and says what it found.
struct Reads(Sender<Found>);

impl Handler<MemoryRequest> for Reads {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        loop {
            let found = conn.read(&mut [0; 1000]).map_err(|error| error.kind());
            self.0.send(found).map_err(io::Error::other)?;
            if !matches!(found, Ok(1..)) {
                return Ok(Next::Done);
            }
        }
    }
}

/// The same with ten bytes in one write, and again.
struct Writes(Sender<Found>);

impl Handler<MemoryRequest> for Writes {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        for _ in 0..10 {
            let found = conn.write(&[b'x'; 10]).map_err(|error| error.kind());
            self.0.send(found).map_err(io::Error::other)?;
            if found.is_err() {
                break;
            }
        }
        Ok(Next::Done)
    }
}

fn found(says: &Receiver<Found>) -> Vec<Found> {
    says.try_iter().collect()
}

/// What a server finds that reads what such a client sends, which then ends.
fn read_by(link: Link, sends: &[u8]) -> Result<Vec<Found>> {
    let (tell, says) = channel();
    let mut server = Server::new(Memory::options().bind("10.0.0.1:0")?, OneByOne, Reads(tell))?;
    let mut client = connect(link, server.local_addr()?)?;
    client.write_all(sends)?;
    client.shutdown(Shutdown::Write)?;
    server.handle_request()?;
    Ok(found(&says))
}

#[test]
fn reads_come_in_pieces_and_end_where_they_are_to() -> Result {
    assert_eq!(read_by(Link::new(), b"seven b")?, [Ok(7), Ok(0)]);
    assert_eq!(read_by(Link::new().reads_of(3), b"seven b")?, [Ok(3), Ok(3), Ok(1), Ok(0)]);
    let reset = Err(ErrorKind::ConnectionReset);
    assert_eq!(read_by(Link::new().reset_reads_at(5), b"seven b")?, [Ok(5), reset]);
    assert_eq!(read_by(Link::new().reset_reads_at(0), b"seven b")?, [reset]);
    assert_eq!(
        read_by(Link::new().reads_of(4).reset_reads_at(5), b"seven b")?,
        [Ok(4), Ok(1), reset]
    );
    assert_eq!(read_by(Link::new().reset_reads_at(8), b"seven b")?, [Ok(7), Ok(0)]);
    Ok(())
}

/// What a server finds that writes to such a client, and what that has got.
fn written_by(link: Link) -> Result<(Vec<Found>, io::Result<Vec<u8>>)> {
    let (tell, says) = channel();
    let mut server = Server::new(Memory::options().bind("10.0.0.1:0")?, OneByOne, Writes(tell))?;
    let client = connect(link, server.local_addr()?)?;
    server.handle_request()?;
    Ok((found(&says), all(client)))
}

#[test]
fn writes_are_taken_in_pieces_and_end_where_they_are_to() -> Result {
    let (found, got) = written_by(Link::new())?;
    assert_eq!((found, got?.len()), (vec![Ok(10); 10], 100));
    let (found, got) = written_by(Link::new().writes_of(4))?;
    assert_eq!((found, got?.len()), (vec![Ok(4); 10], 40));
    let (found, got) = written_by(Link::new().reset_writes_at(25))?;
    let reset = ErrorKind::ConnectionReset;
    assert_eq!(found, [Ok(10), Ok(10), Ok(5), Err(reset)]);
    assert_eq!(got.map_err(|error| error.kind()), Err(reset));
    Ok(())
}

#[test]
fn a_stall_lasts_until_it_is_released_or_its_time_is_over() -> Result {
    let (clock, (tell, says)) = (Clock::new(), channel());
    let memory = Memory::options().clock(&clock).bind("10.0.0.1:0")?;
    let running = Server::new(memory, Threading::new(), Reads(tell))?.spawn()?;
    let link = Link::new()
        .stall_reads_at(2, Stall::UntilReleased)
        .stall_reads_at(5, Stall::For(Duration::from_secs(60)));
    let mut client = connect(link, running.local_addr()?)?;
    client.write_all(b"seven b")?;
    client.until_waited_for()?;
    assert_eq!(found(&says), [Ok(2)]);
    clock.advance(Duration::from_secs(3600));
    client.until_waited_for()?;
    assert_eq!(found(&says), [], "no time ends it");
    client.release();
    client.until_waited_for()?;
    assert_eq!(found(&says), [Ok(3)]);
    clock.advance(Duration::from_secs(59));
    client.until_waited_for()?;
    assert_eq!(found(&says), [], "it is not over yet");
    clock.advance(Duration::from_secs(1));
    client.shutdown(Shutdown::Write)?;
    assert_eq!(says.recv_timeout(PATIENCE)?, Ok(2));
    assert_eq!(says.recv_timeout(PATIENCE)?, Ok(0));
    running.close()?;
    Ok(())
}

#[test]
fn a_write_stalls_too() -> Result {
    let (tell, says) = channel();
    let memory = Memory::options().bind("10.0.0.1:0")?;
    let running = Server::new(memory, Threading::new(), Writes(tell))?.spawn()?;
    let link = Link::new().stall_writes_at(12, Stall::UntilReleased);
    let client = connect(link, running.local_addr()?)?;
    client.until_waited_for()?;
    assert_eq!(found(&says), [Ok(10), Ok(2)]);
    client.release();
    assert_eq!(all(client)?.len(), 92);
    running.close()?;
    Ok(())
}

/// Counts what it is told of, and answers with a byte.
#[derive(Default)]
struct Told {
    emfile: AtomicUsize,
    others: AtomicUsize,
}

impl Handler<MemoryRequest> for Told {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        conn.write_all(b"x")?;
        Ok(Next::Done)
    }

    fn get_request_failed(&self, error: &io::Error) {
        let emfile = error.raw_os_error() == Some(Errno::EMFILE as i32);
        let count = if emfile { &self.emfile } else { &self.others };
        count.fetch_add(1, SeqCst);
    }
}

#[test]
fn the_third_request_fails_for_want_of_descriptors_and_is_served_then() -> Result {
    let memory = Memory::options().fail_get_request(3, Errno::EMFILE.into()).bind("10.0.0.1:0")?;
    let counters = Counters::new()?;
    let server = Server::new(memory, OneByOne, Told::default())?.counters(&counters);
    let running = server.spawn()?;
    for number in 1..=4 {
        let client = connect(Link::new(), running.local_addr()?)?;
        assert_eq!(all(client)?, b"x");
        assert_eq!(counters.accept_errors(), u64::from(number >= 3));
    }
    running.stop();
    let server = running.join()?;
    assert_eq!(server.handler().emfile.load(SeqCst), 1);
    assert_eq!(server.handler().others.load(SeqCst), 0);
    Ok(())
}

#[test]
fn one_that_is_aborted_while_it_waits_is_gone() -> Result {
    let aborted = || io::Error::from(Errno::ECONNABORTED);
    let memory = Memory::options().fail_get_request(1, aborted()).bind("10.0.0.1:0")?;
    let mut server = Server::new(memory, OneByOne, Told::default())?;
    let first = connect(Link::new(), server.local_addr()?)?;
    let second = connect(Link::new(), server.local_addr()?)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(all(second)?, b"x");
    assert_eq!(all(first)?, b"", "nobody has it any more");
    Ok(())
}

#[test]
fn handle_request_leaves_want_to_its_caller_and_a_broken_transport_ends_the_loop() -> Result {
    for (errno, once) in [(Errno::EMFILE, true), (Errno::EBADF, true), (Errno::EBADF, false)] {
        let memory = Memory::options().fail_get_request(1, errno.into()).bind("10.0.0.1:0")?;
        let mut server = Server::new(memory, OneByOne, Told::default())?;
        let client = connect(Link::new(), server.local_addr()?)?;
        let ended = match once {
            true => server.handle_request().map(drop),
            false => server.serve_forever(),
        };
        assert_eq!(ended.err().and_then(|error| error.raw_os_error()), Some(errno as i32));
        assert_eq!(server.handle_request()?, Outcome::Handled);
        assert_eq!(all(client)?, b"x");
    }
    Ok(())
}

#[test]
fn who_resets_or_goes_is_gone_to_the_server() -> Result {
    let counters = Counters::new()?;
    let memory = Memory::options().bind("10.0.0.1:0")?;
    let server = Server::new_fn(memory, OneByOne, |conn| {
        conn.read_exact(&mut [0; 4])?;
        conn.write_all(b"done")
    })?;
    let mut server = server.counters(&counters);
    let ways: [fn(MemoryStream); 3] = [
        |client| client.reset(),
        drop,
        |mut client| {
            client.write_all(b"four").unwrap();
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        way(connect(Link::new(), server.local_addr()?)?);
        assert_eq!(server.handle_request()?, Outcome::Failed);
        assert_eq!(counters.failed_by(FailureKind::PeerGone), number as u64 + 1);
    }
    Ok(())
}

#[test]
fn a_client_that_waits_hears_of_a_reset_that_the_server_finds() -> Result {
    let memory = Memory::options().bind("10.0.0.1:0")?;
    let mut server = Server::new_fn(memory, OneByOne, |conn| conn.write_all(b"two"))?;
    for _ in 0..200 {
        let client = connect(Link::new().reset_writes_at(1), server.local_addr()?)?;
        // It waits for as long as it takes, and is waited for only so long.
        client.set_read_timeout(None)?;
        let (tell, told) = channel();
        thread::spawn(move || {
            let _ = tell.send(None);
            let _ = tell.send(all(client).err().map(|error| error.kind()));
        });
        told.recv_timeout(PATIENCE)?;
        assert_eq!(server.handle_request()?, Outcome::Failed);
        assert_eq!(told.recv_timeout(PATIENCE)?, Some(ErrorKind::ConnectionReset));
    }
    Ok(())
}
