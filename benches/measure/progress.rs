//! Where a long run is, on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where nobody can see a line change, so often there is another.
const APART: Duration = Duration::from_secs(10);

/// So many steps, each with an expected length, since they are not equally long.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    said: Option<Instant>,
    steps: (usize, usize),
    expected: (Duration, Duration),
}

impl Progress {
    /// Of parts with so many steps, which take so long together.
    pub fn new(parts: &[(usize, Duration)]) -> Self {
        let steps = parts.iter().map(|part| part.0).sum();
        let expected = parts.iter().map(|part| part.1).sum();
        let (steps, expected) = ((0, steps), (Duration::ZERO, expected));
        Self { began: Instant::now(), said: None, steps, expected }
    }

    /// A step begins.
    pub fn step(&mut self, what: &str, expected: Duration) -> io::Result<()> {
        let left = self.left();
        self.steps.0 += 1;
        self.expected.0 += expected;
        let mut out = io::stderr();
        let line = format!("[{} of {}, {left}] {what}", self.steps.0, self.steps.1);
        if out.is_terminal() {
            write!(out, "\r\x1b[K{line}")?;
            return out.flush();
        }
        if self.said.is_some_and(|said| said.elapsed() < APART) {
            return Ok(());
        }
        self.said = Some(Instant::now());
        writeln!(out, "{line}")
    }

    /// How long the steps to come will take, if they keep to what is expected as those before did.
    fn left(&self) -> String {
        let (done, all) = (self.expected.0.as_secs_f64(), self.expected.1.as_secs_f64());
        if done == 0.0 {
            return format!("about {} left", minutes(all));
        }
        let pace = self.began.elapsed().as_secs_f64() / done;
        format!("{} left", minutes(pace * (all - done).max(0.0)))
    }

    /// Clears the line.
    pub fn end(&self) -> io::Result<()> {
        let mut out = io::stderr();
        if out.is_terminal() { write!(out, "\r\x1b[K") } else { Ok(()) }
    }
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}
