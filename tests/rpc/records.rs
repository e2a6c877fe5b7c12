//! Records of a stream: fragments, lengths, and calls that come at once.

use std::io::Write;
use std::net::Shutdown;

use socketserver::{
    Concurrency, Counters, FailureKind, Selecting, Server, Sync, Tcp, ThreadPool, Threading,
};

use crate::Result;
use crate::caller::{call, fragment, next, record, words};
use crate::program::{Example, MOST, PROGRAM, handler};
use crate::support::net::{all, connect, is_closed};
use socketserver::rpc::Rpc;

const TEXT: &[u8] = b"\0\0\0\x05hello\0\0\0";

fn echo(xid: u32) -> Vec<u8> {
    [&call(xid, PROGRAM, 2, 1), TEXT].concat()
}

fn echoed(xid: u32) -> Vec<u8> {
    [&words([xid, 1, 0, 0, 0, 0]), TEXT].concat()
}

/// Runs under strategies that wait for a record and under those that read it.
fn under_each(test: fn(std::net::SocketAddr) -> Result) -> Result {
    under(Sync, test)?;
    under(Threading::new(), test)?;
    under(ThreadPool::new(2), test)?;
    under(Selecting::new(Sync), test)?;
    under(Selecting::new(ThreadPool::new(2)), test)
}

fn under<C>(strategy: C, test: fn(std::net::SocketAddr) -> Result) -> Result
where
    C: Concurrency<Tcp, Rpc<Example>> + Send + 'static,
{
    let tcp = Tcp::options().disable_nagle_algorithm(true).bind("127.0.0.1:0")?;
    let running = Server::new(tcp, strategy, handler())?.spawn()?;
    test(running.local_addr()?)?;
    running.close()?;
    Ok(())
}

#[test]
fn a_record_in_two_fragments_split_at_every_byte() -> Result {
    under_each(|at| {
        let (message, mut client) = (echo(7), connect(at)?);
        client.set_nodelay(true)?;
        for split in 1..message.len() {
            let (one, other) = message.split_at(split);
            client.write_all(&fragment(one, false))?;
            client.write_all(&fragment(other, true))?;
            assert_eq!(next(&mut client)?, echoed(7), "split at {split}");
        }
        // All there is in the first, and an empty one behind it.
        client.write_all(&[fragment(&message, false), fragment(b"", true)].concat())?;
        assert_eq!(next(&mut client)?, echoed(7));
        Ok(())
    })
}

#[test]
fn fragments_of_one_byte_each_sent_by_themselves() -> Result {
    under_each(|at| {
        let (message, mut client) = (echo(7), connect(at)?);
        client.set_nodelay(true)?;
        for (number, byte) in message.iter().enumerate() {
            for part in fragment(&[*byte], number + 1 == message.len()) {
                client.write_all(&[part])?;
            }
        }
        assert_eq!(next(&mut client)?, echoed(7));
        Ok(())
    })
}

#[test]
fn calls_that_come_at_once_are_answered_in_their_order() -> Result {
    under_each(|at| {
        let mut client = connect(at)?;
        let calls = (0..100).flat_map(|xid| record(&echo(xid)));
        client.write_all(&calls.collect::<Vec<_>>())?;
        for xid in 0..100 {
            assert_eq!(next(&mut client)?, echoed(xid));
        }
        // A call that fails is answered, and the connection goes on.
        client.write_all(&[record(&call(7, PROGRAM, 9, 1)), record(&echo(8))].concat())?;
        assert_eq!(next(&mut client)?, words([7, 1, 0, 0, 0, 2, 2, 4]));
        assert_eq!(next(&mut client)?, echoed(8));
        client.shutdown(Shutdown::Write)?;
        assert_eq!(all(client)?, b"");
        Ok(())
    })
}

/// The longest record there may be is read, and one that is longer is not waited for.
#[test]
fn lengths_beyond_the_bound_end_the_connection() -> Result {
    under_each(|at| {
        let longest = [&call(7, PROGRAM, 2, 1)[..], &vec![0; MOST - 40]].concat();
        let mut client = connect(at)?;
        client.write_all(&record(&longest))?;
        assert_eq!(next(&mut client)?, words([7, 1, 0, 0, 0, 4]));
        drop(client);
        let most = u32::try_from(MOST)?;
        for beginning in [
            words([most + 1]),
            words([(most + 1) | 0x8000_0000]),
            words([u32::MAX]),
            words([0x7fff_ffff]),
            // One that is empty, and is not the last.
            words([0]),
            [words([4, 7]), words([most - 3])].concat(),
            [words([4, 7]), words([u32::MAX])].concat(),
            [words([4, 7]), words([0])].concat(),
        ] {
            let mut client = connect(at)?;
            client.write_all(&beginning)?;
            assert!(is_closed(client)?, "{beginning:?}");
        }
        Ok(())
    })
}

#[test]
fn more_fragments_than_any_record_needs_end_the_connection() -> Result {
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let running = Server::new(tcp, Threading::new(), Rpc::new(Example))?.spawn()?;
    let mut client = connect(running.local_addr()?)?;
    client.write_all(&fragment(b"x", false).repeat(1024))?;
    assert!(is_closed(client)?);
    running.close()?;
    Ok(())
}

#[test]
fn how_a_connection_ends_is_told_apart() -> Result {
    let counters = Counters::new()?;
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let running = Server::new(tcp, Sync, handler())?.counters(&counters).spawn()?;
    let at = running.local_addr()?;
    let ended = |bytes: &[u8]| -> Result<_> {
        let mut client = connect(at)?;
        client.write_all(bytes)?;
        client.shutdown(Shutdown::Write)?;
        Ok(all(client)?)
    };
    assert_eq!(ended(b"")?, b"");
    assert_eq!(ended(&record(&echo(7)))?, record(&echoed(7)));
    for cut in [&record(&echo(7))[..3], &record(&echo(7))[..30], &fragment(b"abcd", false)] {
        assert_eq!(ended(cut)?, b"");
    }
    // No call, and no record.
    assert_eq!(ended(&record(b"1234"))?, b"");
    assert_eq!(ended(&words([u32::MAX]))?, b"");
    running.close()?;
    assert_eq!(counters.finished(), 2, "{counters}");
    assert_eq!(counters.failed_by(FailureKind::PeerGone), 3, "{counters}");
    assert_eq!(counters.failed_by(FailureKind::Error), 2, "{counters}");
    Ok(())
}
