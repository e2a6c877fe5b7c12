//! Registration with a port mapper, as that sees it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::thread;

use socketserver::rpc::{Call, Endpoint, Endpoints, Fault, Program, Protocol, Registered, Rpc};
use socketserver::{LocalAddr, Running, Server, Sync, Tcp, Threading, Transport};

use crate::Result;
use crate::program::{Both, PROGRAM, both, handler};

type Mapping = (u32, u32, u32, u32);

/// A port mapper that keeps what is said to it, and takes whatever is not refused.
#[derive(Default)]
struct Mapper {
    calls: Mutex<Vec<(u32, Mapping)>>,
    there: Mutex<Vec<Mapping>>,
    refuses: bool,
    elsewhere: Mutex<Option<u32>>,
}

impl Program for Mapper {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program == 100_000).then_some(2..=2)
    }

    fn call(&self, call: &mut Call<'_>) -> std::result::Result<(), Fault> {
        let mapping: Mapping = call.arguments()?;
        self.calls.lock().unwrap().push((call.procedure(), mapping));
        match call.procedure() {
            1 => {
                self.there.lock().unwrap().push(mapping);
                call.reply(&!self.refuses)
            }
            2 => call.reply(&true),
            3 => call.reply(&self.port(mapping)),
            _ => Err(Fault::ProcUnavail),
        }
    }
}

impl Mapper {
    fn port(&self, (program, version, protocol, _): Mapping) -> u32 {
        let there = self.there.lock().unwrap();
        let found = there.iter().find(|(a, b, c, _)| (*a, *b, *c) == (program, version, protocol));
        self.elsewhere.lock().unwrap().or(found.map(|mapping| mapping.3)).unwrap_or(0)
    }

    fn heard(&self) -> Vec<(u32, Mapping)> {
        std::mem::take(&mut self.calls.lock().unwrap())
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

/// What is said when both are registered for two versions.
fn set(both: &Both) -> Result<Vec<(u32, Mapping)>> {
    let (tcp, udp) = both.local_addr()?;
    let (tcp, udp) = (tcp.port().into(), udp.port().into());
    Ok((2..=3)
        .flat_map(|version| {
            [
                (2, (PROGRAM, version, 0, 0)),
                (1, (PROGRAM, version, 6, tcp)),
                (1, (PROGRAM, version, 17, udp)),
            ]
        })
        .collect())
}

/// And when that is undone.
fn unset() -> Vec<(u32, Mapping)> {
    (2..=3)
        .flat_map(|version| [(3, (PROGRAM, version, 6, 0)), (2, (PROGRAM, version, 0, 0))])
        .collect()
}

#[test]
fn it_is_there_from_the_beginning_until_the_server_is_closed() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let both = both()?;
    let (wanted, (tcp, _)) = (set(&both)?, both.local_addr()?);
    let registered = Registered::new(both, rpcbind, PROGRAM, 2..=3)?;
    assert_eq!(mapper.calls.lock().unwrap().clone(), wanted);
    let server = Server::new(registered, Sync, handler())?.spawn()?;
    assert_eq!(crate::caller::over_tcp(tcp, &crate::caller::call(7, PROGRAM, 2, 0))?.len(), 24);
    server.close()?;
    assert_eq!(mapper.heard()[wanted.len()..], unset());
    running.close()?;
    Ok(())
}

#[test]
fn it_goes_with_a_transport_that_is_dropped() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let both = both()?;
    let count = set(&both)?.len();
    drop(Registered::new(both, rpcbind, PROGRAM, 2..=3)?);
    assert_eq!(mapper.heard()[count..], unset());
    running.close()?;
    Ok(())
}

#[test]
fn what_another_has_registered_since_is_left_alone() -> Result {
    let (mapper, running, rpcbind) = mapper(Mapper::default())?;
    let registered = Registered::new(both()?, rpcbind, PROGRAM, 2..=2)?;
    mapper.heard();
    *mapper.elsewhere.lock().unwrap() = Some(1);
    registered.server_close()?;
    assert_eq!(mapper.heard(), [(3, (PROGRAM, 2, 6, 0))]);
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
    assert_eq!(found(Protocol::Tcp).map(|at| at.port), Some(ports.0.port()));
    assert_eq!(found(Protocol::Udp).map(|at| at.port), Some(ports.1.port()));
    mapper.heard();
    outer.server_close()?;
    let programs = mapper.heard().iter().map(|(_, mapping)| mapping.0).collect::<Vec<_>>();
    assert_eq!(programs, [PROGRAM + 1, PROGRAM + 1, PROGRAM, PROGRAM]);
    running.close()?;
    Ok(())
}

#[test]
fn what_goes_wrong_is_said_when_it_is_made() -> Result {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let error = Registered::new(both()?, free, PROGRAM, 2..=2).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&free.to_string()), "{error}");

    let (mapper, running, rpcbind) = mapper(Mapper { refuses: true, ..Mapper::default() })?;
    let error = Registered::new(both()?, rpcbind, PROGRAM, 2..=2).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    // Nothing of it is left.
    assert_eq!(mapper.heard().last(), Some(&(2, (PROGRAM, 2, 0, 0))));
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
            let mut call = [0; 4 + 40 + 16];
            client.read_exact(&mut call)?;
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
