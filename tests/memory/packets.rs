//! Packets in memory.

use std::io::ErrorKind;
use std::time::Duration;

use nix::errno::Errno;
use socketserver::testing::{MemoryDatagramSocket, MemoryDatagrams};
use socketserver::{Outcome, Server, Sync as OneByOne, Truncation};

use crate::Result;
use crate::support::net::{Echo, PATIENCE};

fn client() -> Result<MemoryDatagramSocket> {
    let client = MemoryDatagramSocket::bind("10.0.0.2:0")?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

#[test]
fn a_packet_is_cut_where_it_is_too_long_and_an_answer_goes_to_its_sender() -> Result {
    let packets = MemoryDatagrams::options().max_packet_size(4).bind("10.0.0.1:0")?;
    let mut server = Server::new_fn(packets, OneByOne, |packet| {
        let answer = format!("{:?} {} {}", packet.data(), packet.is_truncated(), packet.peer());
        packet.reply(answer.as_bytes())
    })?;
    let (address, clients) = (server.local_addr()?, [client()?, client()?]);
    clients[0].send_to(b"four", address)?;
    clients[1].send_to(b"and five", address)?;
    for (client, cut) in clients.iter().zip([false, true]) {
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut bytes = [0; 100];
        let (count, from) = client.recv_from(&mut bytes)?;
        let said = std::str::from_utf8(&bytes[..count])?;
        assert_eq!(from, address);
        assert!(said.ends_with(&format!("{cut} {}", client.local_addr()?)), "{said}");
    }
    assert_eq!(server.transport().truncations(), 1);
    Ok(())
}

#[test]
fn long_ones_can_be_dropped_and_too_long_ones_can_not_be_sent() -> Result {
    let options = MemoryDatagrams::options().max_packet_size(4);
    let packets = options.on_truncation(Truncation::Drop).bind("10.0.0.1:0")?;
    let mut server = Server::new(packets, OneByOne, Echo)?;
    let (address, client) = (server.local_addr()?, client()?);
    client.send_to(b"and five", address)?;
    client.send_to(b"four", address)?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(server.handle_request_timeout(Duration::ZERO)?, Outcome::TimedOut);
    let error = client.send_to(&[0; 65_508], address).err();
    assert_eq!(error.and_then(|error| error.raw_os_error()), Some(Errno::EMSGSIZE as i32));
    client.send_to(&[0; 65_507], address)?;
    server.close()?;
    let nobody = client.send_to(b"", address).err().map(|error| error.kind());
    assert_eq!(nobody, Some(ErrorKind::ConnectionRefused));
    Ok(())
}

#[test]
fn the_second_packet_fails_and_is_served_then() -> Result {
    let options = MemoryDatagrams::options().fail_get_request(2, Errno::EPROTO.into());
    let mut server = Server::new(options.bind("10.0.0.1:0")?, OneByOne, Echo)?;
    let client = client()?;
    for line in [b"one\n", b"two\n"] {
        client.send_to(line, server.local_addr()?)?;
        assert_eq!(server.handle_request()?, Outcome::Handled);
        let mut bytes = [0; 100];
        assert_eq!(client.recv_from(&mut bytes)?.0, 4);
    }
    Ok(())
}
