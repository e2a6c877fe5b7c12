//! What a request costs as requests add up.

use std::time::{Duration, Instant};

use super::Kind;
use super::generator::{Generator, Until};
use super::machine::Machine;
use super::progress::Progress;
use super::rates::Workload;
use super::server::Server;
use crate::support::Fallible;
use crate::support::role::{Load, Transport, Who};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub kinds: Vec<Kind>,
    /// How many one server gets.
    pub requests: usize,
    /// The longest that these may take.
    pub at_most: Duration,
    /// So many parts of the sequence are looked at by themselves.
    pub parts: usize,
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

impl Sequence {
    /// How many steps there will be, and how long all of them take, roughly.
    pub fn plan(&self) -> (usize, Duration) {
        let steps = self.chosen().count();
        (steps, self.step() * steps as u32)
    }

    /// What they share makes them stand for the others.
    fn chosen(&self) -> impl Iterator<Item = Kind> {
        let ip = |kind: &Kind| matches!(kind.transport, Transport::Tcp | Transport::Udp);
        self.kinds.iter().copied().filter(ip)
    }

    fn step(&self) -> Duration {
        self.at_most.min(Duration::from_micros(30) * self.requests as u32)
    }

    /// Ours alone: the same server all the time.
    pub fn measure(
        &self,
        machine: &Machine,
        progress: &mut Progress,
    ) -> Fallible<Vec<(Kind, Vec<Part>)>> {
        let mut all = Vec::new();
        for kind in self.chosen() {
            progress.step(&format!("{kind}, {} requests", self.requests), self.step())?;
            all.push((kind, self.in_parts(kind, machine)?));
        }
        Ok(all)
    }

    fn in_parts(&self, kind: Kind, machine: &Machine) -> Fallible<Vec<Part>> {
        let server = Server::start(kind.role(Who::Ours, Load::Clients, 0), machine)?;
        let mut generator = Generator::new(&Workload::usual(kind), &server.address)?;
        let (began, mut requests, mut parts) = (Instant::now(), 0, Vec::new());
        while parts.len() < self.parts && began.elapsed() < self.at_most {
            let part = Until::Requests(self.requests / self.parts);
            let (processor, count) = server.cost(&mut generator, part)?;
            requests += count;
            parts.push(Part { requests, processor, resident: server.resident()? });
        }
        server.stop()?;
        Ok(parts)
    }
}
