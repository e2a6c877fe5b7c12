//! What is measured: a server that is a process of its own, and a generator that asks it.

pub mod asked;
pub mod caller;
pub mod ceilings;
pub mod counts;
pub mod generator;
pub mod latency;
pub mod living;
pub mod machine;
pub mod progress;
pub mod rates;
pub mod sequence;
pub mod server;

use std::fmt;

use crate::support::role::{Load, Role, Strategy, Transport, Who};

/// The middle of what several rounds have given, and their ends.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    /// Of no values, three times NaN.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let median = match values[..] {
            [] => f64::NAN,
            _ if values.len() % 2 == 1 => values[half],
            _ => (values[half - 1] + values[half]) / 2.0,
        };
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        Self { least: end(values.first()), median, most: end(values.last()) }
    }

    pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
        Self::of(values).median
    }
}

/// One of the servers, whoever has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub transport: Transport,
    pub strategy: Strategy,
}

impl Kind {
    pub fn role(self, who: Who, load: Load, count: u32) -> Role {
        let Self { transport, strategy } = self;
        Role { who, transport, strategy, load, count }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.strategy)
    }
}

/// Something of ours, and the same of its twin written by hand.
#[derive(Debug, Clone, Default)]
pub struct Pair<V> {
    pub ours: V,
    pub twin: V,
}

impl<V> Pair<V> {
    pub fn of_mut(&mut self, who: Who) -> &mut V {
        if who == Who::Twin { &mut self.twin } else { &mut self.ours }
    }
}

impl<V> Pair<Vec<V>> {
    /// Whose turn it is, in the order that the last round did not have.
    pub fn turns(&self) -> [Who; 2] {
        let turns = [Who::Ours, Who::Twin];
        if self.ours.len() % 2 == 0 { turns } else { [turns[1], turns[0]] }
    }

    /// The ratios within the rounds: the machine's moods are the same for both in each.
    pub fn ratio(&self, of: impl Fn(&V) -> f64) -> Spread {
        Spread::of(self.ours.iter().zip(&self.twin).map(|(ours, twin)| of(ours) / of(twin)))
    }
}
