//! Rows in a file, served by one process and by several.

mod support;

use std::process::{Command, Stdio};

use support::crew::Crew;
use support::{Count, Outcome, Served, Table, end_well, handled};

const STRATEGIES: [&str; 8] = [
    "sync",
    "threading",
    "thread-pool",
    "forking",
    "fork-server",
    "pre-forking",
    "pre-forking+threading",
    "pre-forking+thread-pool",
];

/// A table in a folder of its own.
fn table() -> Result<(tempfile::TempDir, Table), std::io::Error> {
    let folder = tempfile::tempdir()?;
    let table = Table::sqlite(&folder.path().join("table.sqlite"));
    Ok((folder, table))
}

#[test]
fn each_row_is_finished_once_under_every_strategy() -> Outcome {
    for strategy in STRATEGIES {
        let (folder, table) = table()?;
        let output = folder.path().join("output");
        table.fill(300, "{}")?;
        let words = ["serve", "--until-empty", "--workers", "2", "--batch", "40"];
        let more = ["--strategy", strategy, "--output", output.to_str().unwrap_or_default()];
        table.run(&[&words[..], &more].concat()).map_err(|error| format!("{strategy}: {error}"))?;
        let all = Count { rows: 300, finished: 300, ..Count::default() };
        assert_eq!(table.count()?, all, "{strategy}");
        let (rows, times) = handled(&output)?;
        assert_eq!((rows.len(), times), (300, 300), "{strategy}");
    }
    Ok(())
}

#[test]
fn a_row_that_fails_is_tried_again_and_then_set_aside() -> Outcome {
    for strategy in ["sync", "thread-pool", "forking", "fork-server"] {
        let (folder, table) = table()?;
        let output = folder.path().join("output");
        table.fill(3, "fail because of {}")?;
        table.fill(2, "panic")?;
        table.fill(4, "fail-once")?;
        table.fill(5, "{}")?;
        let retries = ["--tries", "3", "--backoff", "0.05", "--interval", "20"];
        let words = ["serve", "--until-empty", "--strategy", strategy];
        let more = ["--output", output.to_str().unwrap_or_default()];
        let mut child =
            table.command(&[&words[..], &retries, &more].concat()).stderr(Stdio::null()).spawn()?;
        end_well(&mut child).map_err(|error| format!("{strategy}: {error}"))?;
        let all = Count { rows: 14, finished: 9, reclaimed: 9, aside: 5, ..Count::default() };
        assert_eq!(table.count()?, all, "{strategy}");
        assert_eq!(handled(&output)?.1, 9, "{strategy}");
    }
    Ok(())
}

#[test]
fn a_stop_gives_back_what_nobody_has_begun_with() -> Outcome {
    for strategy in ["sync", "threading", "pre-forking", "pre-forking+thread-pool"] {
        let (folder, table) = table()?;
        let output = folder.path().join("output");
        let output = output.to_str().unwrap_or_default();
        // Far too many for the time there is, and a lease that nobody waits for.
        table.fill(2000, "sleep 5")?;
        let words = ["--lease", "3600", "--interval", "20", "--output", output];
        let mut served = Served::start(&table, &[&words[..], &["--strategy", strategy]].concat())?;
        served.has_finished(1).map_err(|error| format!("{strategy}: {error}"))?;
        served.stop().map_err(|error| format!("{strategy}: {error}"))?;
        let count = table.count()?;
        assert!(count.open > 0, "{strategy}: {count:?}");
        assert_eq!(count.finished + count.open, 2000, "{strategy}: {count:?}");
        assert_eq!(handled(output.as_ref())?.1 as u64, count.finished, "each end is written down");
        table.run(&["serve", "--until-empty", "--strategy", "threading"])?;
        let count = table.count()?;
        assert_eq!((count.finished, count.again), (2000, 0), "{strategy}");
    }
    Ok(())
}

#[test]
fn rows_that_come_later_are_found() -> Outcome {
    let (_folder, table) = table()?;
    let mut served = Served::start(&table, &["--interval", "20"])?;
    for round in 1..=3 {
        table.fill(10, "{}")?;
        served.has_finished(10 * round)?;
    }
    served.stop()
}

#[test]
fn of_killed_processes_no_row_is_lost() -> Outcome {
    const ROWS: usize = 4000;
    let (folder, table) = table()?;
    let output = folder.path().join("output");
    table.fill(ROWS, "sleep 1")?;
    let terms = ["--strategy", "sync", "--batch", "20", "--lease", "1", "--interval", "50"];
    let mut crew = Crew::start(&table, 4, &output, &terms)?;
    crew.kill_until_done(|_| Ok(()))?;
    let count = table.count()?;
    eprintln!("{} kills: {count:?}", crew.kills);
    let (rows, finished) = (ROWS as u64, count.finished);
    assert_eq!((count.rows, finished, count.open, count.aside), (rows, rows, 0, 0));
    assert_eq!(handled(&output)?.0.len(), ROWS, "each was handled at least once");
    assert!(crew.kills > 0 && count.reclaimed > 0, "nobody was killed with a row in hand");
    Ok(())
}

#[test]
fn a_wrong_command_line_says_what_would_be_right() -> Outcome {
    for (words, right) in [
        (&["serve", "--strategy", "magic"][..], "thread-pool"),
        (&["dance"], "by-hand"),
        (&["--batch", "0"], "from 1"),
        (&["--lease", "never"], "seconds"),
        (&["--wrong"], "--until-empty"),
    ] {
        let said = Command::new(env!("CARGO_BIN_EXE_table")).args(words).output()?;
        assert_eq!(said.status.code(), Some(2), "{words:?}");
        let said = String::from_utf8(said.stderr)?;
        assert!(said.contains(right), "{words:?}: {said}");
    }
    Ok(())
}
