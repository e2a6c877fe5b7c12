//! Rows in PostgreSQL: killed processes, a killed database, and the wake-up.
//!
//! `TABLE_ROWS` says how many rows the long one has: 10,000 without it, and 100,000 for the figure.

mod support;

use std::env;
use std::time::Instant;

use support::cluster::Cluster;
use support::crew::Crew;
use support::{Count, Outcome, Served, handled};

#[test]
fn neither_killed_processes_nor_a_killed_database_lose_a_row() -> Outcome {
    let Some(mut cluster) = Cluster::start()? else { return Ok(()) };
    let rows = env::var("TABLE_ROWS").ok().map_or(Ok(10_000), |rows| rows.parse())?;
    let table = cluster.table();
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("output");
    table.fill(rows, "sleep 1")?;
    let begun = Instant::now();
    let mut crew = Crew::start(&table, 4, &output, &["--workers", "4", "--lease", "3"])?;
    let mut crashed = false;
    crew.kill_until_done(|kills| {
        // Once, when there has been time to begin.
        if kills == 8 && !crashed {
            crashed = true;
            cluster.crash()?;
        }
        Ok(())
    })?;
    let count = table.count()?;
    eprintln!("{} kills, {crashed} of the database, {:?}: {count:?}", crew.kills, begun.elapsed());
    let all = rows as u64;
    assert_eq!((count.rows, count.finished, count.open, count.aside), (all, all, 0, 0));
    assert_eq!(handled(&output)?.0.len(), rows, "each was handled at least once");
    assert!(crashed && count.reclaimed > 0, "nobody was killed with a row in hand");
    Ok(())
}

#[test]
fn rows_wake_whoever_waits_for_some() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let table = cluster.table();
    table.fill(1, "{}")?;
    for strategy in ["sync", "thread-pool", "forking", "pre-forking"] {
        // Nobody looks by the clock.
        let words = ["--interval", "3600000", "--batch", "1", "--strategy", strategy];
        let mut served = Served::start(&table, &words)?;
        let before = table.count()?.rows;
        for round in 1..=3 {
            // Any client of the database may add rows.
            cluster.say("INSERT INTO requests (body) VALUES ('by psql')")?;
            served.has_finished(before + round).map_err(|error| format!("{strategy}: {error}"))?;
        }
        served.stop().map_err(|error| format!("{strategy}: {error}"))?;
    }
    Ok(())
}

#[test]
fn each_row_is_finished_once_and_failures_are_set_aside() -> Outcome {
    let Some(cluster) = Cluster::start()? else { return Ok(()) };
    let table = cluster.table();
    let mut all = Count::default();
    for strategy in ["sync", "threading", "forking", "fork-server", "pre-forking+thread-pool"] {
        table.fill(200, "{}")?;
        table.fill(2, "fail")?;
        table.fill(2, "fail-once")?;
        let words = ["serve", "--until-empty", "--tries", "2", "--backoff", "0.05"];
        table.run(&[&words[..], &["--interval", "20", "--strategy", strategy]].concat())?;
        all.rows += 204;
        all.finished += 202;
        all.reclaimed += 4;
        all.aside += 2;
        assert_eq!(table.count()?, all, "{strategy}");
    }
    Ok(())
}
