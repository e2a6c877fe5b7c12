//! Every status that there is, byte by byte, over both.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use socketserver::Threading;

use crate::Result;
use crate::caller::{call, next, over_tcp, over_udp, record, words};
use crate::program::{PROGRAM, serve};
use crate::support::net::{connect, is_closed, packet, packets};

/// The same is answered over a connection and to a packet.
fn answered(message: &[u8], wanted: &[u8]) -> Result {
    let (running, tcp, udp) = serve(Threading::new())?;
    assert_eq!(over_tcp(tcp, message)?, wanted, "over a connection");
    assert_eq!(over_udp(udp, message)?, wanted, "to a packet");
    running.close()?;
    Ok(())
}

#[test]
fn success() -> Result {
    // The null procedure of the lowest version, and of the highest.
    answered(&call(7, PROGRAM, 2, 0), &words([7, 1, 0, 0, 0, 0]))?;
    answered(&call(u32::MAX, PROGRAM, 4, 0), &words([u32::MAX, 1, 0, 0, 0, 0]))?;
    // A string of five bytes, and three to make eight of them.
    let text = [&call(7, PROGRAM, 2, 1)[..], b"\0\0\0\x05hello\0\0\0"].concat();
    answered(&text, &[&words([7, 1, 0, 0, 0, 0])[..], b"\0\0\0\x05hello\0\0\0"].concat())
}

#[test]
fn prog_unavail() -> Result {
    answered(&call(7, PROGRAM + 1, 2, 0), &words([7, 1, 0, 0, 0, 1]))
}

#[test]
fn prog_mismatch() -> Result {
    answered(&call(7, PROGRAM, 1, 0), &words([7, 1, 0, 0, 0, 2, 2, 4]))?;
    answered(&call(7, PROGRAM, 5, 1), &words([7, 1, 0, 0, 0, 2, 2, 4]))
}

#[test]
fn proc_unavail() -> Result {
    answered(&call(7, PROGRAM, 3, 99), &words([7, 1, 0, 0, 0, 3]))?;
    // What has been answered before is not sent.
    answered(&call(7, PROGRAM, 3, 4), &words([7, 1, 0, 0, 0, 3]))
}

#[test]
fn garbage_args() -> Result {
    let wanted = words([7, 1, 0, 0, 0, 4]);
    for arguments in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\x05hell",
        b"\0\0\0\x05hello",
        b"\0\0\0\x05hello\0\0",
        b"\0\0\0\x11seventeen letters\0\0\0",
        b"\0\0\0\x02\xff\xfe\0\0",
        b"\0\0\0\x04four\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff1234",
        b"\x80\0\0\x01hell",
    ] {
        answered(&[&call(7, PROGRAM, 2, 1), arguments].concat(), &wanted)?;
    }
    // The null procedure takes none.
    answered(&[&call(7, PROGRAM, 2, 0)[..], &[0; 4]].concat(), &wanted)
}

#[test]
fn system_err() -> Result {
    answered(&call(7, PROGRAM, 2, 2), &words([7, 1, 0, 0, 0, 5]))
}

#[test]
fn rpc_mismatch() -> Result {
    let wanted = words([7, 1, 1, 0, 2, 2]);
    answered(&words([7, 0, 3, PROGRAM, 2, 0, 0, 0, 0, 0]), &wanted)?;
    // Another version may look otherwise behind its number.
    answered(&words([7, 0, 1]), &wanted)
}

#[test]
fn the_caller_is_known_by_its_address() -> Result {
    let (running, tcp, udp) = serve(Threading::new())?;
    let seen = |port: SocketAddr| words([7, 1, 0, 0, 0, 0, port.port().into(), 3]);
    let mut client = connect(tcp)?;
    client.write_all(&record(&call(7, PROGRAM, 3, 5)))?;
    assert_eq!(next(&mut client)?, seen(client.local_addr()?));
    drop(client);
    let client = packets()?;
    client.send_to(&call(7, PROGRAM, 3, 5), udp)?;
    let reply = packet(&client)?;
    assert_eq!(reply, seen(client.local_addr()?));
    running.close()?;
    Ok(())
}

/// What nobody can be answered to: too little, a reply, credentials that end too early.
#[test]
fn what_is_no_call_is_not_answered() -> Result {
    let (running, tcp, udp) = serve(Threading::new())?;
    let whole = call(7, PROGRAM, 2, 0);
    let reply = words([7, 1, 0, 0, 0, 0]);
    let verifier = words([7, 0, 2, PROGRAM, 2, 0, 0, 0, 0, 4]);
    let endless = words([7, 0, 2, PROGRAM, 2, 0, 1, u32::MAX, 0, 0]);
    let beginnings = (0..whole.len()).map(|length| whole[..length].to_vec());
    for message in beginnings.chain([reply, verifier, endless]) {
        let mut client = connect(tcp)?;
        client.write_all(&record(&message))?;
        assert!(is_closed(client)?, "{message:?}");
        let client = packets()?;
        client.send_to(&message, udp)?;
        // The answer to the next one is the first that comes.
        client.send_to(&call(8, PROGRAM, 2, 0), udp)?;
        let first = packet(&client)?;
        assert_eq!(first, words([8, 1, 0, 0, 0, 0]), "{message:?}");
        client.set_read_timeout(Some(Duration::from_millis(1)))?;
        let more = client.recv(&mut [0; 100]).map_err(|error| error.kind());
        assert!(matches!(more, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{more:?}");
    }
    running.close()?;
    Ok(())
}
