//! The same calls under every strategy of one process, over IP and over Unix sockets.

use std::io::Write;
use std::net::Shutdown;

use socketserver::rpc::Rpc;
use socketserver::{
    Concurrency, Selecting, Server, Sync, ThreadPool, Threading, UnixDatagram, UnixStream,
};

use crate::Result;
use crate::caller::{call, over_tcp, over_udp, record, words};
use crate::program::{Both, Example, PROGRAM, handler, serve};
use crate::support::net::{Reach, all};

const TEXT: &[u8] = b"\0\0\0\x05hello\0\0\0";

fn echo(xid: u32) -> Vec<u8> {
    [&call(xid, PROGRAM, 2, 1), TEXT].concat()
}

fn echoed(xid: u32) -> Vec<u8> {
    [&words([xid, 1, 0, 0, 0, 0]), TEXT].concat()
}

fn both_are_served<C>(strategy: C) -> Result
where
    C: Concurrency<Both, Rpc<Example>> + Send + 'static,
{
    let (running, tcp, udp) = serve(strategy)?;
    for xid in 0..20 {
        assert_eq!(over_tcp(tcp, &echo(xid))?, echoed(xid));
        assert_eq!(over_udp(udp, &echo(xid))?, echoed(xid));
    }
    running.close()?;
    Ok(())
}

#[test]
fn one_server_has_connections_and_packets() -> Result {
    both_are_served(Sync)?;
    both_are_served(Threading::new())?;
    both_are_served(ThreadPool::new(2))
}

fn unix_is_served<C>(strategy: C) -> Result
where
    C: Concurrency<UnixStream, Rpc<Example>> + Send + 'static,
{
    let dir = tempfile::tempdir()?;
    let running = Server::new(UnixStream::open(dir.path())?, strategy, handler())?.spawn()?;
    let at = running.local_addr()?;
    let mut client = UnixStream::send(&at, dir.path(), &record(&echo(7)))?;
    // Whoever calls over a Unix socket has no port.
    client.write_all(&record(&call(8, PROGRAM, 3, 5)))?;
    client.shutdown(Shutdown::Write)?;
    let wanted = [record(&echoed(7)), record(&words([8, 1, 0, 0, 0, 0, 0, 3]))].concat();
    assert_eq!(all(client)?, wanted);
    running.close()?;
    Ok(())
}

#[test]
fn unix_sockets_have_both_too() -> Result {
    unix_is_served(Threading::new())?;
    unix_is_served(Selecting::new(Sync))?;
    unix_is_served(Selecting::new(ThreadPool::new(2)))?;
    let dir = tempfile::tempdir()?;
    let running = Server::new(UnixDatagram::open(dir.path())?, Sync, handler())?.spawn()?;
    let at = running.local_addr()?;
    assert_eq!(UnixDatagram::ask(&at, dir.path(), &echo(7))?, echoed(7));
    running.close()?;
    Ok(())
}
