//! The command line.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::arguments::{choice, number, text, value};
use crate::compare::Rounds;
use crate::desk::Terms;
use crate::store::{Database, Retry};

pub(crate) const HELP: &str = "\
table: requests that are rows of a table

Usage: table [COMMAND] [OPTIONS]

  serve      claims rows that are due, has them handled, and acknowledges them; as
             many processes as are wanted may, on one table [default]
  fill       adds rows
  report     says what has become of the rows
  by-hand    what serve does, without a server: one row after the other, until
             none is left
  compare    serve beside by-hand, in turns: rows per second

  --sqlite FILE    the table is in this file [default: table.sqlite]
  --postgres CONF  it is in PostgreSQL: \"host=/run/postgresql user=me dbname=mine\",
                   or a URL

for serve:
  --strategy S     sync, threading, thread-pool [default], forking, fork-server,
                   pre-forking, pre-forking+threading or pre-forking+thread-pool
  --workers N      how many threads thread-pool has, or processes pre-forking
                   [default: 4]
  --batch N        how many rows one process has in hand at most [default: 100]
  --lease S        how many seconds a claim holds: longer than a batch takes
                   [default: 30]
  --interval MS    how often to look for rows of which nobody tells: those that
                   are tried again, and in SQLite all [default: 200]
  --tries N        a row that has failed so often is set aside, with its error
                   [default: 5]
  --backoff S      how many seconds a row has to wait when it has failed, twice as
                   many each further time, an hour at most [default: 1]
  --output FILE    the number of each row that has been handled is added to it
  --until-empty    ends when no row is left

for fill:
  --rows N         how many [default: 1000]
  --body TEXT      what they say, with {} for the number: `fail WHY`, `fail-once`,
                   `panic` and `sleep MS` do that, anything else is no trouble
                   [default: {}]

for compare:
  --rows N, --rounds N  so many rows for each, in so many rounds [default: 7]

A row whose process is killed is claimed again when its lease is over, so each is
finished at least once; `report` says how many were more than once. On SIGTERM or
SIGINT, serve claims no more, finishes what it has begun, and gives back the rest.
";

const OPTIONS: &str = "--sqlite, --postgres, --strategy, --workers, --batch, --lease, --interval, \
                       --tries, --backoff, --output, --until-empty, --rows, --body, --rounds, --help";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Serve,
    Fill,
    Report,
    ByHand,
    Compare,
    Help,
}

#[derive(Clone, Copy)]
pub(crate) enum Strategy {
    Sync,
    Threading,
    ThreadPool,
    Forking,
    ForkServer,
    PreForking,
    PreForkingThreading,
    PreForkingThreadPool,
}

/// What the user wants.
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) terms: Terms,
    pub(crate) strategy: Strategy,
    pub(crate) workers: usize,
    pub(crate) output: Option<PathBuf>,
    pub(crate) rounds: Rounds,
    pub(crate) body: String,
}

impl Asked {
    fn new() -> Self {
        let terms = Terms {
            database: Database::Sqlite(PathBuf::from("table.sqlite")),
            batch: 100,
            lease: Duration::from_secs(30),
            retry: Retry { limit: 5, pause: Duration::from_secs(1) },
            interval: Duration::from_millis(200),
            until_empty: false,
        };
        Self {
            command: Command::Serve,
            terms,
            strategy: Strategy::ThreadPool,
            workers: 4,
            output: None,
            rounds: Rounds { rows: 1000, rounds: 7 },
            body: "{}".to_owned(),
        }
    }
}

/// Reads the command line.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub(crate) fn parse() -> Result<Asked, String> {
    let mut asked = Asked::new();
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next().map_err(|error| hinted(&error))? {
        let terms = &mut asked.terms;
        match arg {
            Arg::Value(command) => {
                let all = [
                    ("serve", Command::Serve),
                    ("fill", Command::Fill),
                    ("report", Command::Report),
                    ("by-hand", Command::ByHand),
                    ("compare", Command::Compare),
                ];
                asked.command = choice("the command", &command.to_string_lossy(), all)?;
            }
            Arg::Long("sqlite") => {
                terms.database = Database::Sqlite(value(&mut parser)?.into());
            }
            Arg::Long("postgres") => terms.database = Database::Postgres(text(&mut parser)?),
            Arg::Long("strategy") => {
                let all = [
                    ("sync", Strategy::Sync),
                    ("threading", Strategy::Threading),
                    ("thread-pool", Strategy::ThreadPool),
                    ("forking", Strategy::Forking),
                    ("fork-server", Strategy::ForkServer),
                    ("pre-forking", Strategy::PreForking),
                    ("pre-forking+threading", Strategy::PreForkingThreading),
                    ("pre-forking+thread-pool", Strategy::PreForkingThreadPool),
                ];
                asked.strategy = choice("--strategy", &text(&mut parser)?, all)?;
            }
            Arg::Long("workers") => asked.workers = number(&mut parser, "--workers", 512)?,
            Arg::Long("batch") => terms.batch = number(&mut parser, "--batch", 10_000)?,
            Arg::Long("lease") => terms.lease = seconds(&mut parser, "--lease")?,
            Arg::Long("interval") => {
                let millis = number(&mut parser, "--interval", 3_600_000)?;
                terms.interval = Duration::from_millis(millis);
            }
            Arg::Long("tries") => terms.retry.limit = number(&mut parser, "--tries", 1000)?,
            Arg::Long("backoff") => terms.retry.pause = seconds(&mut parser, "--backoff")?,
            Arg::Long("output") => asked.output = Some(text(&mut parser)?.into()),
            Arg::Long("until-empty") => terms.until_empty = true,
            Arg::Long("rows") => asked.rounds.rows = number(&mut parser, "--rows", 100_000_000)?,
            Arg::Long("rounds") => asked.rounds.rounds = number(&mut parser, "--rounds", 1000)?,
            Arg::Long("body") => asked.body = text(&mut parser)?,
            Arg::Long("help") | Arg::Short('h') => asked.command = Command::Help,
            other => return Err(hinted(&other.unexpected())),
        }
    }
    Ok(asked)
}

fn hinted(error: &dyn Display) -> String {
    format!("{error}; the options are {OPTIONS}")
}

fn seconds(parser: &mut Parser, option: &str) -> Result<Duration, String> {
    let given = text(parser)?;
    let seconds = given.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        format!("{option} {given:?} has to be seconds, from 0.001 to 86400 (a day)")
    })?;
    Ok(Duration::from_secs_f64(seconds))
}
