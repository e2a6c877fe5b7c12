//! Registration with a port mapper, as that sees it.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use socketserver::rpc::{
    Bounded, Call, Endpoint, Endpoints, Fault, Garbage, Program, Protocol, Registered, Rpc, Xdr,
};
use socketserver::{
    AddressFamily, Beside, LocalAddr, Running, Server, Sync, Tcp, Threading, Transport, Udp,
};

use crate::Result;
use crate::program::{Both, PROGRAM, both, handler};

type Word = Bounded<String, 100>;
/// A program, its version, the kind of its address, that, and whose it is.
type Mapping = (u32, u32, Word, Word, Word);

fn word(text: &str) -> Word {
    Word::new(text.to_owned()).expect("it is short")
}

fn mapping(program: u32, version: u32, netid: &str, address: &str) -> Mapping {
    (program, version, word(netid), word(address), word(""))
}

/// An rpcbind that keeps what is said to it, and takes whatever is not refused.
#[derive(Default)]
struct Mapper {
    calls: Mutex<Vec<(u32, Option<Mapping>)>>,
    there: Mutex<Vec<Mapping>>,
    refuses_packets: bool,
    lists_nothing: AtomicBool,
}

/// A linked list.
struct Listed(Vec<Mapping>);

impl Xdr for Listed {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.0.iter().for_each(|mapping| Some(mapping.clone()).encode(bytes));
        false.encode(bytes);
    }

    fn decode(_: &mut &[u8]) -> std::result::Result<Self, Garbage> {
        Err(Garbage)
    }
}

impl Program for Mapper {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program == 100_000).then_some(4..=4)
    }

    fn call(&self, call: &mut Call<'_>) -> std::result::Result<(), Fault> {
        let procedure = call.procedure();
        let mapping = if procedure == 4 { None } else { Some(call.arguments::<Mapping>()?) };
        self.calls.lock().unwrap().push((procedure, mapping.clone()));
        let mut there = self.there.lock().unwrap();
        match (procedure, mapping) {
            (1, Some(mapping)) if !self.refuses_packets || *mapping.2 != "udp" => {
                // Whose it is.
                there.push((mapping.0, mapping.1, mapping.2, mapping.3, word("superuser")));
                call.reply(&true)
            }
            (1, _) => call.reply(&false),
            (2, Some(gone)) => {
                let before = there.len();
                there.retain(|(a, b, c, ..)| (a, b, c) != (&gone.0, &gone.1, &gone.2));
                call.reply(&(there.len() < before))
            }
            (4, _) if !self.lists_nothing.load(Ordering::SeqCst) => {
                call.reply(&Listed(there.clone()))
            }
            _ => Err(Fault::ProcUnavail),
        }
    }
}

impl Mapper {
    fn heard(&self) -> Vec<(u32, Option<Mapping>)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// What is there, without its owner.
    fn there(&self) -> Vec<Mapping> {
        let there = self.there.lock().unwrap();
        there.iter().map(|(a, b, c, d, _)| mapping(*a, *b, c, d)).collect()
    }
}

type Runs = Running<Tcp, Threading, Rpc<Arc<Mapper>>>;

fn mapper(mapper: Mapper) -> Result<(Arc<Mapper>, Runs, SocketAddr)> {
    let mapper = Arc::new(mapper);
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let running = Server::new(tcp, Threading::new(), Rpc::new(Arc::clone(&mapper)))?.spawn()?;
    let at = running.local_addr()?;
    Ok((mapper, running, at))
}

/// A universal address.
fn universal(ip: &str, port: u16) -> String {
    format!("{ip}.{}.{}", port / 256, port % 256)
}

/// Both in two versions.
fn mappings(both: &Both) -> Result<Vec<Mapping>> {
    let (tcp, udp) = both.local_addr()?;
    let at = |version, netid, port| mapping(PROGRAM, version, netid, &universal("127.0.0.1", port));
    let each = |version| [at(version, "tcp", tcp.port()), at(version, "udp", udp.port())];
    Ok((2..=3).flat_map(each).collect())
}

/// What is said when they are registered.
fn set(mappings: &[Mapping]) -> Vec<(u32, Option<Mapping>)> {
    let each = |mapping: &Mapping| [2, 1].map(|procedure| (procedure, Some(mapping.clone())));
    mappings.iter().flat_map(each).collect()
}

/// And when that is undone.
fn unset(mappings: &[Mapping]) -> Vec<(u32, Option<Mapping>)> {
    let each = mappings.iter().map(|mapping| (2, Some(mapping.clone())));
    [(4, None)].into_iter().chain(each).collect()
}

#[test]
fn it_is_there_from_the_beginning_until_the_server_is_closed() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let both = both()?;
    let (wanted, (tcp, _)) = (mappings(&both)?, both.local_addr()?);
    let registered = Registered::new(both, rpcbind, PROGRAM, 2..=3)?;
    assert_eq!(mapper.heard(), set(&wanted));
    assert_eq!(mapper.there(), wanted);
    let server = Server::new(registered, Sync, handler())?.spawn()?;
    assert_eq!(crate::caller::over_tcp(tcp, &crate::caller::call(7, PROGRAM, 2, 0))?.len(), 24);
    server.close()?;
    assert_eq!(mapper.heard(), unset(&wanted));
    assert_eq!(mapper.there(), []);
    running.close()?;
    Ok(())
}

#[test]
fn it_goes_with_a_transport_that_is_dropped() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let both = both()?;
    let wanted = mappings(&both)?;
    drop(Registered::new(both, rpcbind, PROGRAM, 2..=3)?);
    assert_eq!(mapper.heard(), [set(&wanted), unset(&wanted)].concat());
    running.close()?;
    Ok(())
}

/// Over IPv6 alone, and by one socket for both: that is found by both.
#[test]
fn ipv6_is_registered_too() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    for (address, family, ips) in [
        ("[::1]:0", AddressFamily::V6, &[("6", "::1")][..]),
        ("[::]:0", AddressFamily::V6, &[("6", "::")]),
        ("[::]:0", AddressFamily::Dual, &[("6", "::"), ("", "0.0.0.0")]),
        ("[::ffff:127.0.0.1]:0", AddressFamily::Dual, &[("", "127.0.0.1")]),
    ] {
        let tcp = Tcp::options().address_family(family).bind(address)?;
        let udp = Udp::options().address_family(family).bind(address)?;
        let both = Beside::new(tcp, udp)?;
        let (tcp, udp) = both.local_addr()?;
        let ports = [("tcp", tcp.port()), ("udp", udp.port())];
        let wanted = ports.into_iter().flat_map(|(over, port)| {
            let of = move |(v6, ip): &(&str, &str)| {
                mapping(PROGRAM, 1, &format!("{over}{v6}"), &universal(ip, port))
            };
            ips.iter().map(of)
        });
        let wanted: Vec<_> = wanted.collect();
        let registered = Registered::new(both, rpcbind, PROGRAM, 1..=1)?;
        assert_eq!(mapper.there(), wanted);
        drop(registered);
        assert_eq!(mapper.there(), []);
    }
    running.close()?;
    Ok(())
}

#[test]
fn what_a_killed_process_has_left_is_replaced() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    mapper.there.lock().unwrap().push(mapping(PROGRAM, 2, "tcp", "0.0.0.0.0.7"));
    let both = both()?;
    let wanted = mappings(&both)?;
    let registered = Registered::new(both, rpcbind, PROGRAM, 2..=3)?;
    assert_eq!(mapper.there(), wanted);
    drop(registered);
    running.close()?;
    Ok(())
}

#[test]
fn what_another_has_registered_since_is_left_alone() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let registered = Registered::new(both()?, rpcbind, PROGRAM, 2..=2)?;
    let others = [
        mapping(PROGRAM, 2, "tcp", "127.0.0.1.0.7"),
        mapping(PROGRAM, 2, "udp6", "::1.0.7"),
        mapping(PROGRAM + 1, 2, "udp", "127.0.0.1.0.7"),
        mapping(PROGRAM, 3, "udp", "127.0.0.1.0.7"),
    ];
    mapper.there.lock().unwrap().retain(|mapping| *mapping.2 == "udp");
    mapper.there.lock().unwrap().extend(others.clone());
    registered.server_close()?;
    assert_eq!(mapper.there(), others);
    running.close()?;
    Ok(())
}

#[test]
fn two_programs_are_registered_one_around_the_other() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let inner = Registered::new(both()?, rpcbind, PROGRAM, 2..=2)?;
    let outer = Registered::new(inner, rpcbind, PROGRAM + 1, 1..=1)?;
    let endpoints = outer.endpoints()?;
    let ports = outer.local_addr()?;
    assert_eq!(endpoints.len(), 2);
    let found = |protocol| endpoints.iter().find(|at: &&Endpoint| at.protocol == protocol);
    assert_eq!(found(Protocol::Tcp).map(|at| at.address), Some(ports.0));
    assert_eq!(found(Protocol::Udp).map(|at| at.address), Some(ports.1));
    mapper.heard();
    outer.server_close()?;
    let heard = mapper.heard();
    let programs = heard.iter().filter_map(|(_, mapping)| mapping.as_ref().map(|it| it.0));
    let wanted = [PROGRAM + 1, PROGRAM + 1, PROGRAM, PROGRAM];
    assert_eq!(programs.collect::<Vec<_>>(), wanted);
    running.close()?;
    Ok(())
}

#[test]
fn what_goes_wrong_is_said_when_it_is_made() -> Result {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let error = Registered::new(both()?, free, PROGRAM, 2..=2).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&free.to_string()), "{error}");

    let (mapper, running, rpcbind) = mapper(Mapper { refuses_packets: true, ..Mapper::default() })?;
    let error = Registered::new(both()?, rpcbind, PROGRAM, 2..=2).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    // Connections, which it has taken, are undone.
    assert_eq!(mapper.there(), []);
    running.close()?;
    Ok(())
}

#[test]
fn what_could_not_be_undone_is_said_when_it_is_closed() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let registered = Registered::new(both()?, rpcbind, PROGRAM, 2..=2)?;
    mapper.lists_nothing.store(true, Ordering::SeqCst);
    let error = registered.server_close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains(&PROGRAM.to_string()), "{error}");
    running.close()?;
    Ok(())
}

/// Whatever is said in place of a reply.
#[test]
fn nonsense_from_the_port_mapper_is_an_error() -> Result {
    let nonsense = [
        &b""[..],
        b"\x80\0\0\x04abcd",
        b"\xff\xff\xff\xff",
        // Denied, and a reply to another call.
        b"\x80\0\0\x14\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x05",
        b"\x80\0\0\x1c\0\0\0\x09\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        // No results.
        b"\x80\0\0\x18\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let rpcbind = listener.local_addr()?;
    let mapper = thread::spawn(move || -> io::Result<()> {
        for answer in nonsense {
            let (mut client, _) = listener.accept()?;
            crate::caller::next(&mut client)?;
            client.write_all(answer)?;
        }
        Ok(())
    });
    for answer in nonsense {
        let error = Registered::new(both()?, rpcbind, PROGRAM, 2..=2).map(drop).unwrap_err();
        let kinds = [ErrorKind::InvalidData, ErrorKind::UnexpectedEof];
        assert!(kinds.contains(&error.kind()), "{answer:?}: {error:?}");
    }
    mapper.join().expect("it panicked")?;
    Ok(())
}
