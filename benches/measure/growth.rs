//! What a request costs as connections add up, and as requests do.

use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::generator::{Generator, Until};
use super::machine::Machine;
use super::progress::Progress;
use super::rates::Workload;
use super::server::Server;
use super::{Kind, Pair};
use crate::support::Fallible;
use crate::support::client::Address;
use crate::support::role::{Load, Strategy, Transport, Who};

/// So many connections are opened before the server is asked for a sign that it has taken them;
/// fewer than wait in the shortest backlog.
const TOGETHER: usize = 64;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Growth {
    /// How many connections are alive, one number after the other.
    pub living: Vec<usize>,
    pub rounds: usize,
    /// Of the requests beside the living.
    pub time: Duration,
    /// How many requests one server gets in sequence.
    pub sequence: usize,
    /// The longest that these may take.
    pub at_most: Duration,
    /// So many parts of the sequence are looked at by themselves.
    pub parts: usize,
}

/// What so many living connections cost in one round.
#[derive(Debug, Clone)]
pub struct Living {
    pub connections: usize,
    /// Processor time of the server in which all of them have been opened.
    pub opened: Duration,
    /// Processor time of a request beside them, in microseconds.
    pub processor: f64,
    /// Of the server, in bytes.
    pub resident: u64,
}

/// The rounds of one server: in each, as many points as there are numbers of connections.
#[derive(Debug)]
pub struct Alive {
    pub kind: Kind,
    pub rounds: Pair<Vec<Vec<Living>>>,
}

/// What one part of a long sequence of requests cost.
#[derive(Debug, Clone)]
pub struct Part {
    /// How many requests there have been at its end.
    pub requests: usize,
    /// Processor time of each, in microseconds.
    pub processor: f64,
    /// Of the server, in bytes.
    pub resident: u64,
}

impl Alive {
    /// At how many numbers of connections it was measured.
    pub fn points(&self) -> usize {
        self.rounds.ours.first().map_or(0, Vec::len)
    }

    /// What the rounds have at one of them.
    pub fn at(&self, at: usize) -> Pair<Vec<Living>> {
        let of = |rounds: &[Vec<Living>]| rounds.iter().map(|round| round[at].clone()).collect();
        Pair { ours: of(&self.rounds.ours), twin: of(&self.rounds.twin) }
    }
}

impl Growth {
    /// How many steps there will be, and how long all of them take, roughly.
    pub fn plan(&self, kinds: &[Kind]) -> (usize, Duration) {
        let (living, long) = (alive(kinds).count(), in_sequence(kinds).count());
        let time = self.living_step() * (living * self.rounds) as u32;
        (living * self.rounds + long, time + self.sequence_step() * long as u32)
    }

    fn living_step(&self) -> Duration {
        let most = self.living.last().copied().unwrap_or_default();
        let opening = Duration::from_micros(200) * most as u32;
        2 * (self.time * self.living.len() as u32 + opening)
    }

    fn sequence_step(&self) -> Duration {
        self.at_most.min(Duration::from_micros(30) * self.sequence as u32)
    }

    /// Ours and by hand in turn, beside more and more living connections.
    pub fn living(
        &self,
        kinds: &[Kind],
        machine: &Machine,
        progress: &mut Progress,
    ) -> Fallible<Vec<Alive>> {
        let new = |kind| Alive { kind, rounds: Pair { ours: Vec::new(), twin: Vec::new() } };
        let mut all: Vec<Alive> = alive(kinds).map(new).collect();
        for round in 1..=self.rounds {
            for Alive { kind, rounds } in &mut all {
                let what = format!("round {round} of {}: {kind}, living connections", self.rounds);
                progress.step(&what, self.living_step())?;
                for who in rounds.turns() {
                    rounds.of_mut(who).push(self.beside_living(*kind, who, machine)?);
                }
            }
        }
        Ok(all)
    }

    fn beside_living(&self, kind: Kind, who: Who, machine: &Machine) -> Fallible<Vec<Living>> {
        let workload = Workload::usual(kind);
        let server = Server::start(kind.role(who, Load::Clients, 0), machine)?;
        let mut generator = Generator::new(&workload, &server.address)?;
        generator.run(Until::Requests(TOGETHER))?;
        let (mut open, mut points, mut opened) = (Vec::new(), Vec::new(), Duration::ZERO);
        for &connections in &self.living {
            let before = server.processor_time()?;
            while open.len() < connections {
                open.push(connect(&server.address)?);
                if open.len() % TOGETHER == 0 || open.len() == connections {
                    // What is answered has been taken after those before it.
                    generator.run(Until::Requests(1))?;
                }
            }
            opened += server.processor_time()? - before;
            let (processor, _) = cost(&server, &mut generator, Until::Time(self.time))?;
            let resident = server.resident()?;
            points.push(Living { connections, opened, processor, resident });
        }
        drop(open);
        server.stop()?;
        Ok(points)
    }

    /// Ours alone: the same server all the time.
    pub fn sequence(
        &self,
        kinds: &[Kind],
        machine: &Machine,
        progress: &mut Progress,
    ) -> Fallible<Vec<(Kind, Vec<Part>)>> {
        let mut all = Vec::new();
        for kind in in_sequence(kinds) {
            progress.step(&format!("{kind}, {} requests", self.sequence), self.sequence_step())?;
            all.push((kind, self.in_parts(kind, machine)?));
        }
        Ok(all)
    }

    fn in_parts(&self, kind: Kind, machine: &Machine) -> Fallible<Vec<Part>> {
        let server = Server::start(kind.role(Who::Ours, Load::Clients, 0), machine)?;
        let mut generator = Generator::new(&Workload::usual(kind), &server.address)?;
        let (began, mut requests, mut parts) = (Instant::now(), 0, Vec::new());
        while parts.len() < self.parts && began.elapsed() < self.at_most {
            let part = Until::Requests(self.sequence / self.parts);
            let (processor, count) = cost(&server, &mut generator, part)?;
            requests += count;
            parts.push(Part { requests, processor, resident: server.resident()? });
        }
        server.stop()?;
        Ok(parts)
    }
}

/// Only under these can connections live that nobody reads from.
fn alive(kinds: &[Kind]) -> impl Iterator<Item = Kind> {
    let threads = |kind: &Kind| kind.transport.is_stream() && kind.strategy == Strategy::Threading;
    kinds.iter().copied().filter(threads)
}

/// What they share makes them stand for the others.
fn in_sequence(kinds: &[Kind]) -> impl Iterator<Item = Kind> {
    let chosen = |kind: &Kind| matches!(kind.transport, Transport::Tcp | Transport::Udp);
    kinds.iter().copied().filter(chosen)
}

fn connect(server: &Address) -> std::io::Result<Socket> {
    let (domain, address) = match server {
        Address::Ip(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Address::Path(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect(&address)?;
    Ok(socket)
}

/// The processor time of a request in microseconds, and how many there have been.
fn cost(server: &Server, generator: &mut Generator, until: Until) -> Fallible<(f64, usize)> {
    let before = server.processor_time()?;
    let count = generator.run(until)?.latencies.len();
    let spent = server.processor_time()? - before;
    Ok((spent.as_secs_f64() * 1e6 / count as f64, count))
}
