//! Where Python and the crate differ on purpose.

use crate::scenario::{Run, Strategy, Transport};
use crate::story::Aspect;

/// A row of the table.
#[derive(Debug)]
pub struct Difference {
    pub transports: &'static [Transport],
    pub strategies: &'static [Strategy],
    pub scenarios: &'static [&'static str],
    pub aspect: Aspect,
    pub python: &'static str,
    pub rust: &'static str,
    /// With the identifiers of the parity table.
    pub why: &'static str,
}

/// What differs, and how it is on the two sides: Python's, and this one.
pub type Found<'a> = (Aspect, &'a str, &'a str);

impl Difference {
    pub fn found(&self) -> Found<'static> {
        (self.aspect, self.python, self.rust)
    }

    pub fn concerns(&self, run: Run) -> bool {
        self.transports.contains(&run.transport)
            && self.strategies.contains(&run.strategy)
            && self.scenarios.contains(&run.scenario.name)
    }
}

pub const DIFFERENCES: &[Difference] = &[];
