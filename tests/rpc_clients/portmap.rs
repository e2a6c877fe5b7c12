//! The port mapper of the examples, asked for each of its procedures by bytes.

use std::io::{Read, Write};
use std::net::TcpStream;

use socketserver::rpc::{Bounded, Xdr};

use crate::served::Tested;

/// A connection to the port mapper.
struct Mapper(TcpStream);

type Word = Bounded<String, 100>;

fn word(text: &str) -> Word {
    Word::new(text.to_owned()).unwrap_or_default()
}

/// A mapping of versions 3 and 4, of program 7 in its version 1.
fn at(netid: &str, address: &str) -> impl Xdr {
    (7_u32, 1_u32, word(netid), word(address), word("nobody"))
}

impl Mapper {
    fn ask<R: Xdr>(&mut self, version: u32, procedure: u32, arguments: &impl Xdr) -> Tested<R> {
        let mut call = Vec::new();
        (7_u32, 0_u32, 2_u32, 100_000_u32, version, procedure).encode(&mut call);
        (0_u64, 0_u64).encode(&mut call);
        arguments.encode(&mut call);
        let mark = 0x8000_0000 | u32::try_from(call.len())?;
        self.0.write_all(&[&mark.to_be_bytes(), &*call].concat())?;
        let mut mark = [0; 4];
        self.0.read_exact(&mut mark)?;
        let mut reply = vec![0; usize::try_from(u32::from_be_bytes(mark) & 0x7fff_ffff)?];
        self.0.read_exact(&mut reply)?;
        let results =
            reply.strip_prefix(&b"\0\0\0\x07\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..]);
        Ok(R::decode(&mut results.ok_or_else(|| format!("{reply:?}"))?)?)
    }

    /// Where versions 3 and 4 find it; both say the same.
    fn address(&mut self, netid: &str, here: &str) -> Tested<String> {
        let [three, four] = [3, 4].map(|version| self.ask::<Word>(version, 3, &at(netid, here)));
        let (three, four) = (three?, four?);
        if three == four { Ok(four.into_inner()) } else { Err("3 is not as 4".into()) }
    }

    fn port(&mut self, protocol: u32) -> Tested<u32> {
        self.ask(2, 3, &(7_u32, 1_u32, protocol, 0_u32))
    }
}

/// One version finds what another has set, as far as it knows it.
pub(crate) fn in_all_versions(address: &str) -> Tested {
    let mut mapper = Mapper(TcpStream::connect(address)?);
    let old = |protocol: u32, port: u32| (7_u32, 1_u32, protocol, port);
    assert!(mapper.ask::<bool>(2, 1, &old(6, 513))?);
    assert!(mapper.ask::<bool>(2, 1, &old(6, 513))?, "it is there");
    assert!(!mapper.ask::<bool>(2, 1, &old(6, 514))?, "it is elsewhere");
    assert!(!mapper.ask::<bool>(2, 1, &old(99, 513))?, "there is no such protocol");
    assert!(mapper.ask::<bool>(3, 1, &at("tcp6", "::.2.1"))?);
    assert!(mapper.ask::<bool>(4, 1, &at("udp", "10.0.0.1.2.2"))?);
    assert!(!mapper.ask::<bool>(4, 1, &at("udp", "10.0.0.1.2.3"))?);

    assert_eq!((mapper.port(6)?, mapper.port(17)?, mapper.port(99)?), (513, 514, 0));
    assert_eq!(mapper.address("tcp", "192.0.2.1.0.111")?, "192.0.2.1.2.1");
    assert_eq!(mapper.address("tcp", "")?, "0.0.0.0.2.1");
    assert_eq!(mapper.address("tcp6", "fe80::1.0.111")?, "fe80::1.2.1");
    assert_eq!(mapper.address("udp", "192.0.2.1.0.111")?, "10.0.0.1.2.2");
    assert_eq!(mapper.address("udp6", "::1.0.111")?, "");

    assert!(mapper.ask::<bool>(2, 2, &old(0, 0))?);
    assert_eq!((mapper.port(6)?, mapper.port(17)?), (0, 0));
    assert_eq!(mapper.address("tcp6", "::1.0.111")?, "::1.2.1", "version 2 does not know it");
    assert!(!mapper.ask::<bool>(4, 2, &at("udp", ""))?);
    assert!(mapper.ask::<bool>(4, 1, &at("udp", "10.0.0.1.2.2"))?);
    assert!(mapper.ask::<bool>(4, 2, &at("udp", ""))?);
    assert_eq!(mapper.address("tcp6", "::1.0.111")?, "::1.2.1");
    assert!(mapper.ask::<bool>(3, 2, &at("", ""))?, "all kinds");
    assert!(!mapper.ask::<bool>(3, 2, &at("", ""))?);
    Ok(())
}
