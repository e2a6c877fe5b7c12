//! The command line: what is to be measured, and how thoroughly.

use std::time::Duration;

use lexopt::prelude::*;

use crate::measure::Kind;
use crate::measure::counts::Counting;
use crate::measure::living::Crowd;
use crate::measure::machine::Machine;
use crate::measure::rates::Grid;
use crate::measure::sequence::Sequence;
use crate::support::Fallible;
use crate::support::role::{Strategy, Transport};

const PARTS: [&str; 4] = ["counts", "instructions", "rates", "growth"];

/// What is said on the command line.
#[derive(Debug, Default)]
pub struct Asked {
    parts: Vec<String>,
    transports: Vec<Transport>,
    strategies: Vec<Strategy>,
    rounds: Option<usize>,
    pub quick: bool,
    /// Cargo says that it is a benchmark, and not a test that it does not break.
    bench: bool,
}

impl Asked {
    pub fn parse() -> Fallible<Self> {
        let mut asked = Self::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("quick") => asked.quick = true,
                Long("bench") => asked.bench = true,
                Long("rounds") => asked.rounds = Some(parser.value()?.parse()?),
                Value(word) => asked.name(&word.string()?)?,
                other => return Err(other.unexpected().into()),
            }
        }
        asked.quick |= !asked.bench;
        Ok(asked)
    }

    fn name(&mut self, word: &str) -> Fallible<()> {
        if PARTS.contains(&word) {
            self.parts.push(word.into());
        } else if let Ok(transport) = word.parse() {
            self.transports.push(transport);
        } else if let Ok(strategy) = word.parse() {
            self.strategies.push(strategy);
        } else {
            return Err(format!("{word} is no part, transport or strategy").into());
        }
        Ok(())
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|named| named == part)
    }

    /// The servers that a part is about; none, where it is not wanted.
    pub fn kinds(&self, part: &str) -> Vec<Kind> {
        let named = |word: Transport| self.transports.is_empty() || self.transports.contains(&word);
        let chosen = |word: Strategy| self.strategies.is_empty() || self.strategies.contains(&word);
        let mut kinds = Vec::new();
        for &transport in Transport::ALL.iter().filter(|transport| named(**transport)) {
            for &strategy in Strategy::ALL.iter().filter(|strategy| chosen(**strategy)) {
                kinds.push(Kind { transport, strategy });
            }
        }
        kinds.retain(|kind| kind.strategy.serves(kind.transport));
        kinds.retain(|kind| part == "rates" || !kind.strategy.serves_elsewhere());
        kinds.retain(|_| self.wants(part));
        kinds
    }

    pub fn counting(&self) -> Counting {
        Counting { counts: self.kinds("counts"), instructions: self.kinds("instructions") }
    }

    pub fn grid(&self) -> Grid {
        let (kinds, rounds) = (self.kinds("rates"), self.rounds());
        let (payloads, callers, kept, time) = if self.quick {
            (vec![20], vec![1, 16], vec![1, 16], 20)
        } else {
            (vec![20, 1024, 8192], vec![1, 16, 64], vec![1, 16, 64, 256], 150)
        };
        Grid { kinds, payloads, callers, kept, rounds, time: Duration::from_millis(time) }
    }

    /// Connections that live, as many as there may be.
    pub fn crowd(&self) -> Fallible<Crowd> {
        let (most, time) = if self.quick { (100, 20) } else { (10_000, 150) };
        let most = Machine::allow_connections(most)? as usize;
        let fewer = [1, 10, 100, 1000].into_iter().filter(|number| *number < most);
        let numbers = fewer.chain([most]).collect();
        let (kinds, rounds) = (self.kinds("growth"), self.rounds());
        Ok(Crowd { kinds, numbers, rounds, time: Duration::from_millis(time) })
    }

    pub fn sequence(&self) -> Sequence {
        let (requests, parts) = if self.quick { (2_000, 4) } else { (1_000_000, 20) };
        let (kinds, at_most) = (self.kinds("growth"), Duration::from_secs(120));
        Sequence { kinds, requests, at_most, parts }
    }

    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 7 }).max(1)
    }
}
