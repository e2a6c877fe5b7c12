//! Several processes that serve one table, of which one after the other is killed.

use std::error::Error;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use super::{Outcome, Table, end_well};

pub struct Crew {
    table: Table,
    words: Vec<String>,
    members: Vec<Child>,
    pub kills: usize,
}

/// Five times a second.
const BETWEEN: Duration = Duration::from_millis(200);
/// Far beyond what any of them needs.
const MOST_KILLS: usize = 600;

impl Crew {
    pub fn start(
        table: &Table,
        processes: usize,
        output: &Path,
        more: &[&str],
    ) -> Result<Self, Box<dyn Error>> {
        let words = ["serve", "--until-empty", "--output"].map(str::to_owned);
        let mut words = Vec::from(words);
        words.push(output.display().to_string());
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let mut crew = Self { table: table.clone(), words, members: Vec::new(), kills: 0 };
        for _ in 0..processes {
            crew.members.push(crew.member()?);
        }
        Ok(crew)
    }

    fn member(&self) -> Result<Child, Box<dyn Error>> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        Ok(self.table.command(&words).spawn()?)
    }

    /// Kills one after the other and puts another in its place, until one says that no row is left;
    /// then waits for the others to say the same. `between` is asked before each kill.
    pub fn kill_until_done(&mut self, mut between: impl FnMut(usize) -> Outcome) -> Outcome {
        let mut next = Instant::now() + BETWEEN;
        while self.kills < MOST_KILLS {
            between(self.kills)?;
            let at = self.kills % self.members.len();
            let victim = &mut self.members[at];
            match victim.wait_timeout(next.saturating_duration_since(Instant::now()))? {
                Some(status) if status.success() => {
                    return self.members.iter_mut().try_for_each(end_well);
                }
                // It had no database to begin with.
                Some(_) => {}
                None => {
                    victim.kill()?;
                    victim.wait()?;
                }
            }
            next += BETWEEN;
            self.kills += 1;
            self.members[at] = self.member()?;
        }
        Err(format!("rows are left after {} kills", self.kills).into())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}
