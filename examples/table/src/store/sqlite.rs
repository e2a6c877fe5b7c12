//! A table in a file, for processes of one machine.
//!
//! SQLite has one writer at a time, and tells nobody of new rows: they are found at the next look.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use super::{COUNT, Claim, Count, End, Retry, Store};

/// How long one waits for another that writes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one waits where it has to try again.
const A_MOMENT: Duration = Duration::from_millis(5);

/// `due` is in milliseconds since 1970, as SQLite has no type for it.
const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS requests (
        id INTEGER PRIMARY KEY,
        body TEXT NOT NULL,
        due INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
        claims INTEGER NOT NULL DEFAULT 0,
        settled INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        finished_count INTEGER NOT NULL DEFAULT 0,
        error TEXT
    );
    CREATE INDEX IF NOT EXISTS requests_due ON requests (due) WHERE due IS NOT NULL;";

const FILL: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
    INSERT INTO requests (body) SELECT replace(?2, '{}', n) FROM numbers";

const CLAIM: &str = "
    UPDATE requests SET due = ?2, claims = claims + 1
    WHERE id IN (SELECT id FROM requests WHERE due <= ?1 ORDER BY due LIMIT ?3)
    RETURNING id, claims, body";

const FINISH: &str = "
    UPDATE requests
    SET finished_count = finished_count + 1, settled = ?2, due = NULL, error = NULL
    WHERE id = ?1 AND settled <> ?2";

const FAIL: &str = "
    UPDATE requests SET failures = failures + 1, settled = ?2, error = ?3,
        due = CASE WHEN failures + 1 < ?4 THEN ?5 + min(?6 << min(failures, 20), 3600000) END
    WHERE id = ?1 AND claims = ?2 AND settled <> ?2";

const RELEASE: &str =
    "UPDATE requests SET due = ?3 WHERE id = ?1 AND claims = ?2 AND settled <> ?2";

pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let opened = Connection::open(path).and_then(|connection| {
            connection.busy_timeout(PATIENCE)?;
            into_wal(&connection)?;
            connection.execute_batch(CREATE)?;
            Ok(connection)
        });
        opened.map(Self).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }
}

/// Has readers and the writer not wait for each other. Of two that do this at once, one is told that the
/// database is locked, and SQLite does not wait by itself there.
fn into_wal(connection: &Connection) -> rusqlite::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < until =>
            {
                thread::sleep(A_MOMENT);
            }
            other => return other,
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl Store for Sqlite {
    fn fill(&mut self, count: i64, body: &str) -> io::Result<()> {
        self.0.execute(FILL, params![count, body]).map(drop).map_err(io::Error::other)
    }

    fn claim(&mut self, most: usize, lease: Duration) -> io::Result<Vec<Claim>> {
        let (now, most) = (now(), i64::try_from(most).unwrap_or(i64::MAX));
        let claimed = || {
            let mut claim = self.0.prepare_cached(CLAIM)?;
            let rows = claim.query_map(params![now, now + millis(lease), most], |row| {
                Ok(Claim { id: row.get(0)?, number: row.get(1)?, body: row.get(2)? })
            })?;
            rows.collect::<Result<_, _>>()
        };
        claimed().map_err(|error: rusqlite::Error| io::Error::other(error))
    }

    fn settle(&mut self, ends: &[End], retry: Retry) -> io::Result<()> {
        let mut settle = || {
            let writes = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for End { id, number, error } in ends {
                let _ = match error {
                    None => writes.prepare_cached(FINISH)?.execute(params![id, number])?,
                    Some(error) => {
                        let (limit, pause) = (retry.limit, millis(retry.pause));
                        writes.prepare_cached(FAIL)?.execute(params![
                            id,
                            number,
                            error,
                            limit,
                            now(),
                            pause
                        ])?
                    }
                };
            }
            writes.commit()
        };
        settle().map_err(io::Error::other)
    }

    fn release(&mut self, claims: &[Claim]) -> io::Result<()> {
        let mut release = || {
            let writes = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for Claim { id, number, .. } in claims {
                writes.prepare_cached(RELEASE)?.execute(params![id, number, now()])?;
            }
            writes.commit()
        };
        release().map_err(io::Error::other)
    }

    fn count(&mut self) -> io::Result<Count> {
        let counted = self.0.query_row(COUNT, [], |row| {
            Ok(Count {
                rows: row.get(0)?,
                open: row.get(1)?,
                finished: row.get(2)?,
                again: row.get(3)?,
                reclaimed: row.get(4)?,
                aside: row.get(5)?,
            })
        });
        counted.map_err(io::Error::other)
    }
}
