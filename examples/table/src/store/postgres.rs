//! A table in PostgreSQL, for processes of any number of machines.
//!
//! Rows that another claims at the moment are passed over (`FOR UPDATE SKIP LOCKED`), and whoever
//! adds rows wakes those who wait for some (`LISTEN`, and a trigger that says `NOTIFY`). The clock is
//! the database's.
//!
//! The client is `tokio-postgres`, which the `postgres` crate is a wrapper of, on a runtime of this
//! thread alone: only so does the socket stay ours to wait at. (`postgres` has neither that nor a way
//! to be interrupted while it waits for a notification, so it would take a thread, and a process that
//! is to fork must have no other.)

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, Error, NoTls, Statement};

use super::{COUNT, Claim, Count, End, Retry, Store};

/// How long the database may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What several processes begin with at a time, one after the other.
const CREATE: &str = "
    BEGIN;
    SELECT pg_advisory_xact_lock(hashtext('socketserver requests'));
    CREATE TABLE IF NOT EXISTS requests (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        body text NOT NULL,
        due timestamptz DEFAULT now(),
        claims integer NOT NULL DEFAULT 0,
        settled integer NOT NULL DEFAULT 0,
        failures integer NOT NULL DEFAULT 0,
        finished_count integer NOT NULL DEFAULT 0,
        error text
    );
    CREATE INDEX IF NOT EXISTS requests_due ON requests (due) WHERE due IS NOT NULL;
    CREATE OR REPLACE FUNCTION tell_of_requests() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN NOTIFY requests; RETURN NULL; END';
    CREATE OR REPLACE TRIGGER tell_of_requests AFTER INSERT ON requests
        FOR EACH STATEMENT EXECUTE FUNCTION tell_of_requests();
    COMMIT";

const FILL: &str = "
    INSERT INTO requests (body) SELECT replace($2, '{}', n::text) FROM generate_series(1, $1::bigint) AS n";

/// `ARRAY`, as it is evaluated once, and the rows are then found by their index.
const CLAIM: &str = "
    UPDATE requests SET due = now() + $2 * interval '1 second', claims = claims + 1
    WHERE id = ANY (ARRAY(
        SELECT id FROM requests WHERE due <= now() ORDER BY due LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, claims, body";

const FINISH: &str = "
    UPDATE requests
    SET finished_count = finished_count + 1, settled = ended.number, due = NULL, error = NULL
    FROM unnest($1::bigint[], $2::integer[]) AS ended (id, number)
    WHERE requests.id = ended.id AND settled <> ended.number";

const FAIL: &str = "
    UPDATE requests
    SET failures = failures + 1, settled = ended.number, error = ended.error,
        due = CASE WHEN failures + 1 < $4
            THEN now() + least($5 * power(2, failures), 3600) * interval '1 second' END
    FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS ended (id, number, error)
    WHERE requests.id = ended.id AND claims = ended.number AND settled <> ended.number";

const RELEASE: &str = "
    UPDATE requests SET due = now()
    FROM unnest($1::bigint[], $2::integer[]) AS claimed (id, number)
    WHERE requests.id = claimed.id AND claims = claimed.number AND settled <> claimed.number";

pub(crate) struct Postgres {
    /// Before the runtime, on which its other half runs.
    client: Client,
    runtime: Runtime,
    /// The connection's.
    socket: OwnedFd,
    claim: Statement,
    finish: Statement,
    fail: Statement,
    release: Statement,
}

impl Postgres {
    /// Connects to the first host of `config`: a connection string (`host=… user=… dbname=…`) or a
    /// URL.
    pub(crate) fn open(config: &str) -> io::Result<Self> {
        let config: Config = config.parse().map_err(said)?;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Sockets are the runtime's from their making on.
        let _entered = runtime.handle().clone();
        let _entered = _entered.enter();
        match config.get_hosts().first() {
            Some(Host::Unix(folder)) => {
                let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")))?;
                socket.set_nonblocking(true)?;
                let ours = socket.try_clone()?.into();
                Self::over(tokio::net::UnixStream::from_std(socket)?, ours, &config, runtime)
            }
            Some(Host::Tcp(name)) => {
                let socket = TcpStream::connect((name.as_str(), port))?;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                let ours = socket.try_clone()?.into();
                Self::over(tokio::net::TcpStream::from_std(socket)?, ours, &config, runtime)
            }
            None => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "--postgres has to say where the database is, as in \"host=/run/postgresql \
                 user=me dbname=mine\"",
            )),
        }
    }

    fn over<S>(stream: S, socket: OwnedFd, config: &Config, runtime: Runtime) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, connection) = answer(&runtime, config.connect_raw(stream, NoTls))?;
        // It ends with the runtime; its errors are those of the queries.
        runtime.spawn(async move { connection.await.unwrap_or_default() });
        // Replacing a trigger would wait for all who write.
        let asked = client.query_one("SELECT to_regclass('requests') IS NULL", &[]);
        if answer(&runtime, asked)?.get(0) {
            answer(&runtime, client.batch_execute(CREATE))?;
        }
        answer(&runtime, client.batch_execute("LISTEN requests"))?;
        let [claim, finish, fail, release] = [CLAIM, FINISH, FAIL, RELEASE];
        Ok(Self {
            claim: answer(&runtime, client.prepare(claim))?,
            finish: answer(&runtime, client.prepare(finish))?,
            fail: answer(&runtime, client.prepare(fail))?,
            release: answer(&runtime, client.prepare(release))?,
            client,
            runtime,
            socket,
        })
    }
}

/// Waits for the database, but not for ever.
fn answer<V>(runtime: &Runtime, asked: impl Future<Output = Result<V, Error>>) -> io::Result<V> {
    let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    answered.map_err(|_| io::Error::from(ErrorKind::TimedOut))?.map_err(said)
}

/// An error of the client, with what the database has said.
fn said(error: Error) -> io::Error {
    match error.as_db_error() {
        Some(said) => io::Error::other(format!("{}: {}", said.severity(), said.message())),
        None => io::Error::other(error),
    }
}

impl Store for Postgres {
    fn fill(&mut self, count: i64, body: &str) -> io::Result<()> {
        answer(&self.runtime, self.client.execute(FILL, &[&count, &body])).map(drop)
    }

    fn claim(&mut self, most: usize, lease: Duration) -> io::Result<Vec<Claim>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let seconds = lease.as_secs_f64();
        let rows = answer(&self.runtime, self.client.query(&self.claim, &[&most, &seconds]))?;
        let claims = rows.iter().map(|row| {
            Ok(Claim { id: row.try_get(0)?, number: row.try_get(1)?, body: row.try_get(2)? })
        });
        claims.collect::<Result<_, _>>().map_err(said)
    }

    fn settle(&mut self, ends: &[End], retry: Retry) -> io::Result<()> {
        let (failed, finished): (Vec<_>, Vec<_>) = ends.iter().partition(|end| end.error.is_some());
        if !finished.is_empty() {
            let (ids, numbers) = pairs(finished.iter().map(|end| (end.id, end.number)));
            answer(&self.runtime, self.client.execute(&self.finish, &[&ids, &numbers]))?;
        }
        if !failed.is_empty() {
            let (ids, numbers) = pairs(failed.iter().map(|end| (end.id, end.number)));
            let errors: Vec<_> = failed.iter().map(|end| end.error.as_deref()).collect();
            let pause = retry.pause.as_secs_f64();
            answer(
                &self.runtime,
                self.client.execute(&self.fail, &[&ids, &numbers, &errors, &retry.limit, &pause]),
            )?;
        }
        Ok(())
    }

    fn release(&mut self, claims: &[Claim]) -> io::Result<()> {
        let (ids, numbers) = pairs(claims.iter().map(|claim| (claim.id, claim.number)));
        answer(&self.runtime, self.client.execute(&self.release, &[&ids, &numbers])).map(drop)
    }

    fn count(&mut self) -> io::Result<Count> {
        let row = answer(&self.runtime, self.client.query_one(COUNT, &[]))?;
        let counted = |at: usize| row.try_get(at).map_err(said);
        Ok(Count {
            rows: counted(0)?,
            open: counted(1)?,
            finished: counted(2)?,
            again: counted(3)?,
            reclaimed: counted(4)?,
            aside: counted(5)?,
        })
    }

    fn news(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

fn pairs(claims: impl Iterator<Item = (i64, i32)>) -> (Vec<i64>, Vec<i32>) {
    claims.unzip()
}
