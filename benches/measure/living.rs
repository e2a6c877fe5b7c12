//! What a request costs as connections add up.

use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::generator::{Generator, Until};
use super::machine::Machine;
use super::progress::Progress;
use super::rates::Workload;
use super::server::Server;
use super::{Kind, Pair};
use crate::support::Fallible;
use crate::support::client::Address;
use crate::support::role::{Load, Strategy, Who};

/// So many connections are opened before the server is asked for a sign that it has taken them;
/// fewer than wait in the shortest backlog.
const TOGETHER: usize = 64;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Crowd {
    pub kinds: Vec<Kind>,
    /// How many connections are alive, one number after the other.
    pub numbers: Vec<usize>,
    pub rounds: usize,
    /// Of the requests beside the living.
    pub time: Duration,
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

impl Crowd {
    /// How many steps there will be, and how long all of them take, roughly.
    pub fn plan(&self) -> (usize, Duration) {
        let steps = self.alive().count() * self.rounds;
        (steps, self.step() * steps as u32)
    }

    /// Only under these can any number of connections live that nobody reads from.
    fn alive(&self) -> impl Iterator<Item = Kind> {
        let lives = |kind: &Kind| {
            let threads = matches!(kind.strategy, Strategy::Threading | Strategy::Fresh);
            kind.transport.is_stream() && (threads || kind.strategy.selects())
        };
        self.kinds.iter().copied().filter(lives)
    }

    fn step(&self) -> Duration {
        let most = self.numbers.last().copied().unwrap_or_default();
        let opening = Duration::from_micros(200) * most as u32;
        2 * (self.time * self.numbers.len() as u32 + opening)
    }

    /// Ours and by hand in turn, beside more and more living connections.
    pub fn measure(&self, machine: &Machine, progress: &mut Progress) -> Fallible<Vec<Alive>> {
        let new = |kind| Alive { kind, rounds: Pair { ours: Vec::new(), twin: Vec::new() } };
        let mut all: Vec<Alive> = self.alive().map(new).collect();
        for round in 1..=self.rounds {
            for Alive { kind, rounds } in &mut all {
                let what = format!("round {round}: {kind}, living connections");
                progress.step(&what, self.step())?;
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
        for &connections in &self.numbers {
            let before = server.processor_time()?;
            while open.len() < connections {
                open.push(connect(&server.address)?);
                if open.len() % TOGETHER == 0 || open.len() == connections {
                    // What is answered has been taken after those before it.
                    generator.run(Until::Requests(1))?;
                }
            }
            opened += server.processor_time()? - before;
            let (processor, _) = server.cost(&mut generator, Until::Time(self.time))?;
            let resident = server.resident()?;
            points.push(Living { connections, opened, processor, resident });
        }
        drop(open);
        server.stop()?;
        Ok(points)
    }
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
