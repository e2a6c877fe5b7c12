//! What a table costs that waits for a permit or for descriptors: nothing. It is seen in how often
//! the threads of the process have gone to sleep, so each case has a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Concurrency, Limits, Selecting, Server, Sync as OneByOne, Tcp, Threading};
use support::alone;
use support::gate::{Gate, gate};
use support::net::connect;
use support::time::let_pass;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// How often all threads together have waited for something.
fn sleeps() -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.ok_or("no such line")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}

/// One is in, and does nothing; another is outside, and is waited for by nobody.
fn full<C: Concurrency<Tcp, Gate> + Send + 'static>(strategy: C) -> Result {
    let (gate, keeper) = gate();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let server = Server::new(tcp, strategy, gate)?.limits(Limits::new().at_once(1))?;
    let running = server.spawn()?;
    let address = running.local_addr()?;
    let mut inside = connect(address)?;
    let mut outside = connect(address)?;
    outside.write_all(b"?")?;
    // Time for whoever looks at it to come to rest.
    let_pass(Duration::from_millis(300));
    let before = sleeps()?;
    let_pass(Duration::from_millis(500));
    let slept = sleeps()? - before;
    // The clock of `slow_down` alone would make it a hundred.
    assert!(slept < 20, "{slept} times");
    inside.write_all(b"?")?;
    for client in [&mut inside, &mut outside] {
        keeper.wait_for_one()?;
        keeper.let_go()?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer)?;
        assert_eq!(answer, b"x");
    }
    running.stop();
    running.join()?.close()?;
    Ok(())
}

fn a_full_table_sleeps() -> Result {
    full(Selecting::new(OneByOne))
}

fn a_full_table_of_threads_sleeps() -> Result {
    full(Selecting::new(Threading::new()))
}

fn main() -> ExitCode {
    alone::run(&[
        ("a_full_table_sleeps", a_full_table_sleeps),
        ("a_full_table_of_threads_sleeps", a_full_table_of_threads_sleeps),
    ])
}
