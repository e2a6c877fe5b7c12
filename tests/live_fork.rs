//! The live handle where requests run in processes: `Forking`, `ForkServer`, `PreForking`. Each case
//! runs in a process of its own, which forks another one for the server.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{self, ExitCode};
use std::time::Duration;

use socketserver::{
    Concurrency, Counters, FailureKind, ForkServer, Forking, Handler, InWorker, Live, LocalAddr,
    Next, PreForking, ReadLine, Server, StopHandle, Sync, Tcp, TcpRequest, Threading,
};
use support::alone;
use support::apart::Apart;
use support::net::{PATIENCE, connect};
use support::one_byte::tcp;
use support::processes::{eventually, lives, no_child_is_left};
use support::time::let_pass;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    alone::run(&[
        ("the_parent_lists_and_cuts_children_of_forking", || parent_lists_and_cuts(Forking::new())),
        ("the_parent_lists_and_cuts_children_of_a_fork_server", || {
            parent_lists_and_cuts(ForkServer::new())
        }),
        ("a_child_of_forking_lists_and_cuts_its_siblings", child_lists_and_cuts),
        ("forking_is_suspended_and_resumed_by_a_child", suspended_by_a_child),
        ("a_fork_server_is_suspended_and_resumed_in_the_parent", suspended_in_the_parent),
        ("workers_are_suspended_and_resumed_by_one_of_them", suspended_by_a_worker),
        ("workers_of_threads_are_too", suspended_by_a_worker_of_threads),
        ("children_of_workers_are_cut_in_the_worker_that_has_them", nested),
        ("the_numbers_of_each_worker_are_known", numbers_of_workers),
    ])
}

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(50);

/// Does, line by line, as its client says; and in the parent as the desk says.
struct Obeys {
    live: Live,
    stop: StopHandle,
    /// Where the parent is asked.
    desk: UnixDatagram,
}

impl Obeys {
    fn obey(&self, command: &str) -> String {
        let (word, number) = command.split_once(' ').unwrap_or((command, "0"));
        match word {
            "pid" => process::id().to_string(),
            "suspend" => {
                self.live.suspend();
                "suspended".into()
            }
            "resume" => {
                self.live.resume();
                "resumed".into()
            }
            "cut" => self.live.cut(number.parse().unwrap()).to_string(),
            "stop" => {
                self.stop.stop();
                "stopped".into()
            }
            // Each as "number peer process".
            _ => {
                let one = |served: &socketserver::Served| {
                    let peer = served.peer.as_deref().unwrap_or("?");
                    format!("{} {peer} {}", served.id, served.process.unwrap_or(0))
                };
                self.live.list().iter().map(one).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

impl Handler<TcpRequest> for Obeys {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, 100)? == 0 {
            return Ok(Next::Done);
        }
        let answer = self.obey(String::from_utf8_lossy(&line).trim_end());
        conn.write_all(format!("{answer}\n").as_bytes())?;
        Ok(Next::Again)
    }

    fn service_actions(&self) {
        let mut command = [0; 100];
        while let Ok(count) = self.desk.recv(&mut command) {
            let answer = self.obey(&String::from_utf8_lossy(&command[..count]));
            self.desk.send(answer.as_bytes()).unwrap();
        }
    }
}

/// What the test has of a server apart.
struct Seen {
    server: Apart,
    address: SocketAddr,
    counters: Counters,
    desk: UnixDatagram,
}

/// A server that nothing wakes but its requests, and what steers it.
fn serve<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result<Seen> {
    serve_with(strategy, None)
}

/// One that looks at its desk now and then.
fn serve_with_a_desk<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result<Seen> {
    serve_with(strategy, Some(Duration::from_millis(5)))
}

fn serve_with<C: Concurrency<Tcp, Obeys>>(strategy: C, interval: Option<Duration>) -> Result<Seen> {
    let (counters, tcp) = (Counters::new()?, tcp()?);
    let (address, counts) = (tcp.local_addr()?, counters.clone());
    let (desk, theirs) = UnixDatagram::pair()?;
    desk.set_read_timeout(Some(PATIENCE))?;
    theirs.set_nonblocking(true)?;
    let server = Apart::run(move || {
        let live = Live::new()?;
        let handler = |stop| Obeys { live: live.clone(), stop, desk: theirs };
        let mut server = Server::with_stop(tcp, strategy, handler)?.counters(&counts).live(&live);
        if let Some(interval) = interval {
            server = server.service_interval(interval);
        }
        server.serve_forever()?;
        let report = server.close()?;
        assert!(no_child_is_left());
        Ok(report.to_string())
    })?;
    Ok(Seen { server, address, counters, desk })
}

impl Seen {
    /// What the parent says.
    fn ask(&self, command: &str) -> Result<String> {
        self.desk.send(command.as_bytes())?;
        let mut answer = [0; 10_000];
        let count = self.desk.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
    }

    fn client(&self) -> Result<Client> {
        Ok(Client(io::BufReader::new(connect(self.address)?)))
    }

    fn stop(self) -> Result {
        self.client()?.ask("stop")?;
        self.server.end().map(drop)
    }
}

struct Client(io::BufReader<TcpStream>);

impl Client {
    fn say(&mut self, command: &str) -> Result {
        Ok(self.0.get_ref().write_all(format!("{command}\n").as_bytes())?)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        self.say(command)?;
        self.hear()
    }

    fn address(&self) -> Result<String> {
        Ok(self.0.get_ref().local_addr()?.to_string())
    }

    fn is_at_its_end(&mut self) -> bool {
        self.0.read(&mut [0]).map_or(true, |count| count == 0)
    }
}

/// The number of the only line of a list that ends in " peer process".
fn number(list: &str, end: &str) -> Result<u64> {
    let mut lines = list.split(", ").filter_map(|line| line.strip_suffix(end));
    Ok(lines.next().ok_or_else(|| format!("no {end:?} in {list:?}"))?.trim().parse()?)
}

fn parent_lists_and_cuts<C: Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
    let seen = serve_with_a_desk(strategy)?;
    let (mut first, mut second) = (seen.client()?, seen.client()?);
    let pids = [first.ask("pid")?, second.ask("pid")?];
    let list = seen.ask("list")?;
    let end = |client: &Client, pid: &str| {
        Ok::<_, Box<dyn Error>>(format!(" {} {pid}", client.address()?))
    };
    let id = number(&list, &end(&first, &pids[0])?)?;
    number(&list, &end(&second, &pids[1])?)?;
    assert_eq!(list.split(", ").count(), 2);

    assert_eq!(seen.ask(&format!("cut {id}"))?, "true");
    assert!(first.is_at_its_end());
    let counters = &seen.counters;
    eventually("it has failed", || counters.failed_by(FailureKind::Cut) == 1)?;
    assert_eq!(seen.ask(&format!("cut {id}"))?, "false");
    assert!(!lives(pids[0].parse()?));
    // The other one goes on.
    assert_eq!(second.ask("pid")?, pids[1]);
    number(&seen.ask("list")?, &end(&second, &pids[1])?)?;
    drop(second);
    eventually("both have ended", || counters.active() == 0)?;
    assert_eq!(seen.ask("list")?, "");
    seen.stop()
}

fn child_lists_and_cuts() -> Result {
    one_cuts_another(serve(Forking::new())?, |second, list| {
        // Its own is with itself.
        number(list, &format!(" {} 0", second.address()?)).map(drop)
    })
}

/// Has one that is served find another in its list, and cut it.
fn one_cuts_another(seen: Seen, look: impl FnOnce(&Client, &str) -> Result) -> Result {
    let mut first = seen.client()?;
    let pid = first.ask("pid")?;
    let mut second = seen.client()?;
    let list = second.ask("list")?;
    let id = number(&list, &format!(" {} {pid}", first.address()?))?;
    look(&second, &list)?;
    assert_eq!(second.ask(&format!("cut {id}"))?, "true");
    assert!(first.is_at_its_end());
    eventually("it has failed", || seen.counters.failed_by(FailureKind::Cut) == 1)?;
    drop(second);
    seen.stop()
}

/// Has one that is served suspend the server and resume it, while another waits.
fn suspends_and_resumes(seen: &Seen) -> Result {
    let mut first = seen.client()?;
    first.ask("pid")?;
    for _ in 0..3 {
        let accepted = seen.counters.accepted();
        assert_eq!(first.ask("suspend")?, "suspended");
        let mut waiting = seen.client()?;
        waiting.say("pid")?;
        let_pass(A_WHILE);
        assert_eq!(seen.counters.accepted(), accepted);
        assert_eq!(first.ask("resume")?, "resumed");
        waiting.hear()?.parse::<u32>()?;
    }
    Ok(())
}

fn suspended_by_a_child() -> Result {
    let seen = serve(Forking::new())?;
    suspends_and_resumes(&seen)?;
    stops_while_suspended(seen)
}

/// The stop is heard while nothing is taken.
fn stops_while_suspended(seen: Seen) -> Result {
    let mut last = seen.client()?;
    last.ask("suspend")?;
    assert_eq!(last.ask("stop")?, "stopped");
    drop(last);
    seen.server.end().map(drop)
}

fn suspended_in_the_parent() -> Result {
    let seen = serve_with_a_desk(ForkServer::new())?;
    for round in 0..3 {
        assert_eq!(seen.ask("suspend")?, "suspended");
        let mut waiting = seen.client()?;
        waiting.say("pid")?;
        let_pass(A_WHILE);
        assert_eq!(seen.counters.accepted(), round);
        assert_eq!(seen.ask("resume")?, "resumed");
        waiting.hear()?.parse::<u32>()?;
    }
    seen.stop()
}

/// Under `Sync` the worker that resumes has its hands full, and it is the other one that has to be
/// woken.
fn suspended_by_a_worker() -> Result {
    let seen = serve(PreForking::new(2, Sync)?)?;
    suspends_and_resumes(&seen)?;
    seen.stop()
}

fn suspended_by_a_worker_of_threads() -> Result {
    let seen = serve(PreForking::new(3, Threading::new())?)?;
    suspends_and_resumes(&seen)?;
    stops_while_suspended(seen)
}

/// A worker's children are its own to list and to cut.
fn nested() -> Result {
    fn run<C: InWorker + Concurrency<Tcp, Obeys>>(strategy: C) -> Result {
        one_cuts_another(serve(PreForking::new(1, strategy)?)?, |_, _| Ok(()))
    }
    run(Forking::new())
}

fn numbers_of_workers() -> Result {
    let seen = serve(PreForking::new(2, Sync)?)?;
    let (mut first, mut second) = (seen.client()?, seen.client()?);
    let pids = [first.ask("pid")?.parse::<u32>()?, second.ask("pid")?.parse()?];
    assert_ne!(pids[0], pids[1]);
    let of = |pid: u32| {
        let all = seen.counters.processes();
        all.into_iter().find(|counts| counts.process == pid)
    };
    for pid in pids {
        let counts = of(pid).ok_or("it is not known")?;
        assert_eq!((counts.accepted, counts.active()), (1, 1));
    }
    drop(first);
    eventually("it has ended", || of(pids[0]).is_some_and(|counts| counts.finished == 1))?;
    let mut third = seen.client()?;
    assert_eq!(third.ask("pid")?.parse::<u32>()?, pids[0]);
    let counts = of(pids[0]).ok_or("it is not known")?;
    assert_eq!((counts.accepted, counts.finished, counts.active()), (2, 1, 1));
    // Whoever takes the place of one that has been killed begins with nothing.
    support::processes::signal(pids[0], nix::sys::signal::Signal::SIGKILL)?;
    eventually("it is gone", || of(pids[0]).is_none())?;
    assert_eq!(seen.counters.failed_by(FailureKind::Lost), 1);
    eventually("another has come", || {
        let all = seen.counters.processes();
        all.len() == 2 && all.iter().any(|counts| counts.process != pids[1] && counts.accepted == 0)
    })?;
    assert_eq!(seen.counters.accepted(), 3);
    drop(second);
    seen.stop()
}
