//! A caller that knows bytes alone.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Result;
use crate::support::net::{connect, packet, packets};

/// So many 32-bit numbers, one behind the other.
pub(crate) fn words<const N: usize>(numbers: [u32; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A call without credentials: its number, the program, the version, the procedure.
pub(crate) fn call(xid: u32, program: u32, version: u32, procedure: u32) -> Vec<u8> {
    words([xid, 0, 2, program, version, procedure, 0, 0, 0, 0])
}

/// A record of one fragment.
pub(crate) fn record(message: &[u8]) -> Vec<u8> {
    fragment(message, true)
}

pub(crate) fn fragment(bytes: &[u8], last: bool) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short");
    let mark = if last { length | 0x8000_0000 } else { length };
    [&mark.to_be_bytes(), bytes].concat()
}

/// The next record, which is to be of one fragment.
pub(crate) fn next(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut mark = [0; 4];
    client.read_exact(&mut mark)?;
    let mark = u32::from_be_bytes(mark);
    assert_ne!(mark & 0x8000_0000, 0, "a reply is one fragment");
    let mut reply = vec![0; usize::try_from(mark & 0x7fff_ffff).expect("it fits")];
    client.read_exact(&mut reply)?;
    Ok(reply)
}

/// What is answered to a message over a connection.
pub(crate) fn over_tcp(to: SocketAddr, message: &[u8]) -> Result<Vec<u8>> {
    let mut client = connect(to)?;
    client.write_all(&record(message))?;
    Ok(next(&mut client)?)
}

/// What is answered to it as a packet.
pub(crate) fn over_udp(to: SocketAddr, message: &[u8]) -> Result<Vec<u8>> {
    let client = packets()?;
    client.send_to(message, to)?;
    Ok(packet(&client)?)
}
