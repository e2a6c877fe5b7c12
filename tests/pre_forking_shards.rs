//! The shards of `PreForking`: each worker takes from a socket of its own, and what waits in one is
//! served whatever becomes of the worker. Each case runs in a process of its own, which forks another
//! one for the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{self, ExitCode};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, seteuid};
use socketserver::{
    Concurrency, FailureKind, ForkServer, Forking, InWorker, LocalAddr, PreForking, Server, Sync,
    Tcp, ThreadPool, Threading, Udp, UdpRequest, handler_fn,
};
use support::alone;
use support::apart::Apart;
use support::net::{assert_nobody_listens, connect, packets};
use support::processes::{descriptors, eventually, signal};
use support::workers::{Obeys, Seen, begin, end, serve_on, stop};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("each_worker_takes_from_a_socket_of_its_own", each_its_own),
        ("what_waits_for_a_worker_that_is_killed_is_served", killed),
        ("workers_that_are_restarted_leave_nothing_behind", restarted),
        ("more_workers_than_shards_share_and_fewer_there_are_not", more_and_fewer),
        ("no_shard_is_left_alone", uneven),
        ("packets_of_a_peer_go_to_one_worker", packets_of_peers),
        ("pools_have_shards_too", pools),
        ("nothing_listens_after_the_end", nothing_listens),
        ("what_can_not_be_divided_is_refused", refused),
    ])
}

fn sharded<C: Concurrency<Tcp, Obeys>>(strategy: PreForking<C>) -> Result<Seen> {
    let tcp = Tcp::options().allow_reuse_port(true).bind("127.0.0.1:0")?;
    let strategy = strategy.shards(&tcp)?;
    serve_on(tcp, strategy, |stop| Obeys { stop }, |server| server)
}

/// The sockets that listen there: what proc(5) calls the inode, and the receive queue.
fn listening(address: SocketAddr) -> Vec<(String, u32)> {
    const LISTENS: &str = "0A";
    let port = format!(":{:04X}", address.port());
    let table = BufReader::new(File::open("/proc/net/tcp").unwrap());
    let sockets = table
        .lines()
        .skip(1)
        .map(|line| line.unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    // Those that listen come first; the others may be very many.
    let listening = sockets.take_while(|fields| fields[3] == LISTENS);
    let there = listening.filter(|fields| fields[1].ends_with(&port));
    let queue = |fields: &[String]| u32::from_str_radix(&fields[4][9..], 16).unwrap();
    there.map(|fields| (fields[9].clone(), queue(&fields))).collect()
}

/// How many connections wait in each.
fn queues(address: SocketAddr) -> Vec<u32> {
    listening(address).into_iter().map(|(_, queue)| queue).collect()
}

/// Whether the process has none of them.
fn has_let_go(id: u32, address: SocketAddr) -> bool {
    let sockets = listening(address);
    let is_one = |held: &Path| {
        sockets.iter().any(|(inode, _)| held.as_os_str() == &*format!("socket:[{inode}]"))
    };
    let held = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    !held.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|held| is_one(&held))
}

/// Clients that are silent, so that each worker is busy with one and the others wait for it.
fn crowd(seen: &Seen, size: usize) -> Result<Vec<TcpStream>> {
    let workers = seen.workers.processes();
    eventually("all serve", || seen.workers.serving() == workers)?;
    let clients = (0..size).map(|_| connect(seen.address)).collect::<io::Result<Vec<_>>>()?;
    let wait = u32::try_from(size - workers)?;
    eventually("each has one", || queues(seen.address).iter().sum::<u32>() == wait)?;
    Ok(clients)
}

/// Has all end their requests; returns which worker had how many, and how many clients have lost
/// theirs.
fn finish(clients: Vec<TcpStream>) -> Result<(HashMap<u32, usize>, usize)> {
    for mut client in &clients {
        let _ = client.write_all(b"x");
    }
    let (mut by, mut lost) = (HashMap::new(), 0);
    for mut client in clients {
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        match *answer.as_slice() {
            [a, b, c, d, b'x'] => *by.entry(u32::from_ne_bytes([a, b, c, d])).or_default() += 1,
            _ if read.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true) => {
                lost += 1;
            }
            _ => return Err(format!("half an answer: {answer:?}").into()),
        }
    }
    Ok((by, lost))
}

fn each_its_own() -> Result {
    let seen = sharded(PreForking::new(3, Sync)?)?;
    let clients = crowd(&seen, 60)?;
    let waiting = queues(seen.address);
    assert!(waiting.len() == 3 && waiting.iter().all(|queue| *queue > 0), "{waiting:?}");
    let ids = seen.workers.process_ids();
    let (by, lost) = finish(clients)?;
    assert_eq!((by.len(), by.values().sum::<usize>(), lost), (3, 60, 0), "{by:?}");
    let mut had: Vec<_> = ids.iter().map(|id| by[id]).collect();
    let mut waited: Vec<_> = waiting.iter().map(|queue| *queue as usize + 1).collect();
    had.sort_unstable();
    waited.sort_unstable();
    assert_eq!(had, waited, "each has served its own, and no other");
    stop(seen)?;
    Ok(())
}

fn killed() -> Result {
    let seen = sharded(PreForking::new(2, Sync)?)?;
    for round in 1..=5 {
        let clients = crowd(&seen, 40)?;
        let id = seen.workers.process_ids()[round % 2];
        signal(id, Signal::SIGKILL)?;
        let (by, lost) = finish(clients)?;
        assert_eq!((by.values().sum::<usize>(), lost), (39, 1), "{by:?}");
        assert!(by.len() == 2 && !by.contains_key(&id), "{by:?} without {id}");
        assert_eq!(seen.counters.failed_by(FailureKind::Lost), round as u64);
    }
    stop(seen)?;
    Ok(())
}

fn restarted() -> Result {
    let seen = sharded(PreForking::new(3, Sync)?)?;
    let clients = crowd(&seen, 60)?;
    let old = seen.workers.process_ids();
    seen.workers.restart();
    // Nobody waits for those that are busy.
    eventually("others serve", || seen.workers.started() == 6 && seen.workers.serving() == 3)?;
    eventually("the old ones take no more", || old.iter().all(|id| has_let_go(*id, seen.address)))?;
    eventually("they have taken one each", || {
        queues(seen.address).iter().sum::<u32>() == 60 - 2 * 3
    })?;
    assert_eq!(queues(seen.address).len(), 3);
    let (by, lost) = finish(clients)?;
    assert_eq!((by.values().sum::<usize>(), lost), (60, 0), "{by:?}");
    assert!(old.iter().all(|id| by[id] == 1), "{by:?}: one each of {old:?}");
    assert_eq!(seen.workers.died(), 0);
    stop(seen)?;
    Ok(())
}

fn more_and_fewer() -> Result {
    let seen = sharded(PreForking::new(2, Sync)?)?;
    seen.workers.set_processes(5)?;
    let clients = crowd(&seen, 60)?;
    assert_eq!(queues(seen.address).len(), 2);
    let fewer = seen.workers.set_processes(1).expect_err("there are two shards");
    assert_eq!(fewer.kind(), ErrorKind::InvalidInput);
    assert!(fewer.to_string().contains("as many processes as there are shards"), "{fewer}");
    // Of those that are left, each shard has one, whoever is killed meanwhile.
    seen.workers.set_processes(2)?;
    signal(seen.workers.process_ids()[0], Signal::SIGKILL)?;
    let (by, lost) = finish(clients)?;
    assert_eq!((by.values().sum::<usize>(), lost), (59, 1), "{by:?}");
    let (by, lost) = finish(crowd(&seen, 40)?)?;
    assert_eq!((by.len(), by.values().sum::<usize>(), lost), (2, 40, 0), "{by:?}");
    stop(seen)?;
    Ok(())
}

fn uneven() -> Result {
    let seen = sharded(PreForking::new(2, Sync)?)?;
    let workers = &seen.workers;
    let are = |there: usize, started: usize| {
        let serve = || workers.serving() == there && workers.started() == started;
        eventually("they serve", || serve() && workers.process_ids().len() == there)
    };
    are(2, 2)?;
    // The third is in the first shard, and whoever replaces the second is the youngest.
    workers.set_processes(3)?;
    are(3, 3)?;
    signal(workers.process_ids()[1], Signal::SIGKILL)?;
    are(3, 4)?;
    workers.set_processes(2)?;
    are(2, 4)?;
    workers.set_processes(3)?;
    are(3, 5)?;
    // Two are enough, but not these two.
    seen.server.signal(Signal::SIGSTOP)?;
    signal(workers.process_ids()[1], Signal::SIGKILL)?;
    workers.set_processes(2)?;
    seen.server.signal(Signal::SIGCONT)?;
    are(2, 6)?;
    let (by, lost) = finish(crowd(&seen, 40)?)?;
    assert_eq!((by.len(), by.values().sum::<usize>(), lost), (2, 40, 0), "{by:?}");
    stop(seen)?;
    Ok(())
}

fn packets_of_peers() -> Result {
    let udp = Udp::options().allow_reuse_port(true).bind("0.0.0.0:0")?;
    let strategy = PreForking::new(2, Sync)?.shards(&udp)?;
    let (port, workers) = (udp.local_addr()?.port(), strategy.workers());
    let server = Apart::run(move || {
        let mut server = Server::with_stop(udp, strategy, |stop| {
            handler_fn(move |packet: &mut UdpRequest| {
                if packet.data() == b"s" {
                    stop.stop();
                }
                packet.reply(&process::id().to_ne_bytes())
            })
        })?;
        server.serve_forever()?;
        Ok(server.close()?.to_string())
    })?;
    eventually("both serve", || workers.serving() == 2)?;
    let mut by = HashMap::new();
    for _ in 0..40 {
        let client = packets()?;
        // It hears only what comes from where it has sent to.
        client.connect(("127.0.0.2", port))?;
        let ask = |text: &[u8]| -> Result<u32> {
            client.send(text)?;
            let mut id = [0; 4];
            client.recv(&mut id)?;
            Ok(u32::from_ne_bytes(id))
        };
        let first = ask(b"x")?;
        for _ in 0..5 {
            assert_eq!(ask(b"x")?, first, "a peer's packets stay together");
        }
        *by.entry(first).or_insert(0) += 1;
    }
    assert_eq!(by.len(), 2, "{by:?}");
    let client = packets()?;
    client.send_to(b"s", ("127.0.0.1", port))?;
    server.end()?;
    Ok(())
}

fn pools() -> Result {
    fn run<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
        let seen = sharded(PreForking::new(2, strategy)?)?;
        eventually("both serve", || seen.workers.serving() == 2)?;
        let mut by = HashMap::new();
        for _ in 0..40 {
            let (client, process) = begin(seen.address)?;
            *by.entry(process).or_insert(0) += 1;
            end(client, b'x')?;
        }
        // Those that fork have one for each request.
        assert!(by.len() >= 2, "{by:?}");
        assert_eq!(queues(seen.address).len(), 2);
        stop(seen)?;
        Ok(())
    }
    run(ThreadPool::new(3))?;
    run(Threading::new())?;
    run(Forking::new())?;
    run(ForkServer::new())
}

fn nothing_listens() -> Result {
    let tcp = Tcp::options().allow_reuse_port(true).bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    let without = descriptors()?.len() - 1;
    let strategy = PreForking::new(4, Threading::new())?.shards(&tcp)?;
    let workers = strategy.workers();
    let server = Apart::run(move || {
        let mut server = Server::with_stop(tcp, strategy, |stop| Obeys { stop })?;
        let mut listening = Vec::new();
        for _ in 0..2 {
            server.serve_forever()?;
            // Between two sessions too.
            listening.push(queues(address).len());
        }
        server.close()?;
        Ok(format!("{listening:?}"))
    })?;
    for round in 1..=2 {
        eventually("four serve", || workers.serving() == 4 && workers.started() == 4 * round)?;
        let ((held, _), (client, _)) = (begin(address)?, begin(address)?);
        end(client, b's')?;
        if round == 2 {
            // Whoever has still something to do has let go of all.
            eventually("nobody listens", || queues(address).is_empty())?;
            assert_nobody_listens(address);
        }
        end(held, b'x')?;
    }
    assert_eq!(server.end()?, "[4, 4]");
    drop(workers);
    assert_eq!(descriptors()?.len(), without, "they were moved");
    Ok(())
}

fn refused() -> Result {
    let says = |refused: io::Error, kind: ErrorKind, what: &str| {
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().contains(what), "{refused}");
    };
    let alone = Tcp::options().bind("127.0.0.1:0")?;
    let error = PreForking::new(2, Sync)?.shards(&alone).expect_err("it has its port for itself");
    says(error, ErrorKind::InvalidInput, "allow_reuse_port(true)");

    let [first, second] = [0, 1].map(|_| Tcp::options().allow_reuse_port(true).bind("[::1]:0"));
    let (first, second) = (first?, second?);
    let strategy = PreForking::new(2, Sync)?.shards(&first)?;
    let error = Server::new_fn(second, strategy, |_conn| Ok(())).expect_err("it is another");
    says(error, ErrorKind::InvalidInput, "another transport");

    let strategy = PreForking::new(2, Sync)?.shards(&first)?;
    let mut server = Server::new_fn(first, strategy, |_conn| Ok(()))?;
    let error = server.handle_request().expect_err("which of two?");
    says(error, ErrorKind::InvalidInput, "serve_forever");
    drop(server);

    if Uid::effective().is_root() {
        let root = Tcp::options().allow_reuse_port(true).bind("127.0.0.1:0")?;
        seteuid(Uid::from_raw(65534))?;
        let error = PreForking::new(2, Sync)?.shards(&root).expect_err("it is root's");
        says(error, ErrorKind::AddrInUse, "can't bind to 127.0.0.1");
    }
    Ok(())
}
