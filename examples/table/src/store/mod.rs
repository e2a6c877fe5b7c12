//! Where the rows are.
//!
//! | column | |
//! | --- | --- |
//! | `id` | |
//! | `body` | what is asked for |
//! | `due` | from when on it may be claimed; a claim puts it off by the lease; none at the end |
//! | `claims` | how often it has been claimed |
//! | `settled` | the number of the last claim whose end is written down |
//! | `failures` | how often its handler has failed |
//! | `finished_count` | how often it has been handled: more than once where a lease was too short, or the process that had it was killed before it could say so |
//! | `error` | what its handler said when it last failed |

mod postgres;
mod sqlite;

pub(crate) use postgres::Postgres;
pub(crate) use sqlite::Sqlite;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

/// Which table.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    /// Opens the table; where there is none, makes one.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Store>> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(Sqlite::open(path)?),
            Self::Postgres(config) => Box::new(Postgres::open(config)?),
        })
    }
}

/// A row that this process has claimed.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) id: i64,
    /// Which claim of the row it is, the first being 1.
    pub(crate) number: i32,
    pub(crate) body: String,
}

/// How a claim has ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) id: i64,
    pub(crate) number: i32,
    /// Why, where it has failed.
    pub(crate) error: Option<String>,
}

/// What is done about a row whose handler fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    /// So many failures, and it is set aside.
    pub(crate) limit: i32,
    /// How long it has to wait after the first failure; after each further one, twice as long, and an
    /// hour at most.
    pub(crate) pause: Duration,
}

/// A table of requests.
pub(crate) trait Store: Send {
    /// Adds so many rows; `{}` in the body is the number of each.
    fn fill(&mut self, count: i64, body: &str) -> io::Result<()>;

    /// Claims rows that are due, at most so many. No other claim has them for as long as the lease.
    fn claim(&mut self, most: usize, lease: Duration) -> io::Result<Vec<Claim>>;

    /// Writes down how claims have ended. What has been written down already changes nothing, so
    /// where it is not known whether it has, it is done again.
    fn settle(&mut self, ends: &[End], retry: Retry) -> io::Result<()>;

    /// Gives back claims that nobody has begun with: they are due now.
    fn release(&mut self, claims: &[Claim]) -> io::Result<()>;

    fn count(&mut self) -> io::Result<Count>;

    /// Readable when rows have been added, where the database tells.
    fn news(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What has become of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) rows: i64,
    /// Neither finished nor set aside.
    pub(crate) open: i64,
    pub(crate) finished: i64,
    /// Finished more than once.
    pub(crate) again: i64,
    /// Claimed more than once.
    pub(crate) reclaimed: i64,
    /// Set aside, with their errors.
    pub(crate) aside: i64,
}

/// What each store selects for it.
const COUNT: &str = "SELECT count(*), count(due), \
     count(CASE WHEN finished_count > 0 THEN 1 END), \
     count(CASE WHEN finished_count > 1 THEN 1 END), \
     count(CASE WHEN claims > 1 THEN 1 END), \
     count(CASE WHEN due IS NULL AND finished_count = 0 THEN 1 END) FROM requests";

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, open, finished, again, reclaimed, aside } = self;
        write!(
            f,
            "rows {rows}, open {open}, finished {finished}, finished more than once {again}, \
             claimed more than once {reclaimed}, set aside {aside}"
        )
    }
}
