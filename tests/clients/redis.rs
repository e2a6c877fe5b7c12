//! What loads Redis.

use crate::served::{Served, Tested};
use crate::tool::{failed, run};
use crate::{Client, connections, workers};

pub(crate) const CLIENTS: &[Client] = &[
    ("redis_benchmark", &["which", "redis-benchmark"], |strategy| benchmark(strategy, "1")),
    ("redis_benchmark_pipelined", &["which", "redis-benchmark"], |strategy| {
        benchmark(strategy, "16")
    }),
];

/// It ends with the first reply that is an error.
fn benchmark(strategy: &str, at_once: &str) -> Tested {
    let options = ["--strategy", strategy, "--workers", workers(strategy), "--mode", "resp"];
    let server = Served::start(&[&options[..], &["--addr", "127.0.0.1:0"]].concat())?;
    let (_, port) = server.address.rsplit_once(':').ok_or("no port")?;
    let command = ["redis-benchmark", "-p", port, "-n", "2000", "-c", connections(strategy)];
    let command = [&command[..], &["-P", at_once, "--csv"]].concat();
    for (test, results) in [(&["-t", "ping,set,get,incr"][..], 5), (&["ECHO", "hello"], 1)] {
        let command = [&command[..], test].concat();
        let said = run(&command)?;
        // A line for each test, under one of titles.
        let lines = said.lines().filter(|line| line.starts_with('"')).count();
        if lines != 1 + results || said.contains("ERR") || said.contains("Could not fetch") {
            return Err(failed(&command, &lines, &said));
        }
    }
    Ok(())
}
