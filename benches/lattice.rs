//! The twelve servers against the same twelve written by hand.
//!
//! `cargo bench --bench lattice`, or a part of it: `-- rates`, `-- counts`, `-- instructions`, with
//! the names of the transports and strategies that are wanted (`-- rates tcp sync threading`); and
//! `-- --quick` for a look that proves only that it runs. Each server is a process of its own: this
//! program, run again.

#[allow(dead_code, unreachable_pub, reason = "shared with the test of system calls")]
mod support;
#[allow(dead_code, unreachable_pub, reason = "shared with the test of system calls")]
mod twins;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use support::rates::{Rate, Rounds, median, sorted};
use support::role::{Load, Role, Strategy, Transport, Who};
use support::{Fallible, allocations, callgrind, exit_code, serve, strace};

/// How many requests the counts are taken over.
const COUNT: u32 = 50;

fn main() -> ExitCode {
    exit_code(match Role::of_this_process() {
        Ok(Some(role)) => serve::play(role),
        Ok(None) => measure(&env::args().skip(1).collect::<Vec<_>>()),
        Err(error) => Err(error),
    })
}

fn measure(arguments: &[String]) -> Fallible<()> {
    let said = |word: &str| arguments.iter().any(|argument| argument == word);
    let named = ["rates", "counts", "instructions"].iter().any(|part| said(part));
    // Without `--bench` it is `cargo test` that runs this, to see that it does not break.
    let quick = said("--quick") || !(named || said("--bench"));
    let wants = |part| if named { said(part) } else { !quick || part == "rates" };
    let (rounds, time) = if quick { (1, 20) } else { (7, 150) };
    let servers = servers(said);
    if wants("rates") {
        rates(&servers, rounds, Duration::from_millis(time))?;
    }
    if wants("counts") {
        counts(&servers)?;
    }
    if wants("instructions") {
        instructions(&servers)?;
    }
    Ok(())
}

/// The twelve, or those of them that have been named.
fn servers(said: impl Fn(&str) -> bool) -> Vec<Role> {
    let (who, load, count) = (Who::Ours, Load::Paced, COUNT);
    let mut servers = Vec::new();
    for transport in wanted(Transport::ALL, &said) {
        for strategy in wanted(Strategy::ALL, &said) {
            servers.push(Role { who, transport, strategy, load, count });
        }
    }
    servers
}

fn wanted<V: Copy + ToString>(all: &[V], said: impl Fn(&str) -> bool) -> Vec<V> {
    let named: Vec<V> = all.iter().copied().filter(|one| said(&one.to_string())).collect();
    if named.is_empty() { all.to_vec() } else { named }
}

fn rates(servers: &[Role], rounds: u32, time: Duration) -> Fallible<()> {
    let mut all: Vec<_> = servers.iter().map(|role| (*role, Rounds::default())).collect();
    for round in 1..=rounds {
        progress(&format!("rates: round {round} of {rounds}"))?;
        for (role, done) in &mut all {
            done.another(*role, time)?;
        }
    }
    progress("")?;
    println!("Requests a second, and the server's processor time per request in microseconds.");
    println!(
        "The ratios are ours to that by hand: the median of {rounds} rounds (least to most).\n"
    );
    println!(
        "{:<20} {:>9} {:>9}  {:<18} {:>8} {:>8}  {:<18}",
        "server", "ours /s", "hand /s", "rate ratio", "ours us", "hand us", "time ratio"
    );
    for (role, done) in &all {
        let (rate, cpu) = (|rate: &Rate| rate.per_second, |rate: &Rate| rate.cpu);
        println!(
            "{:<20} {:>9.0} {:>9.0}  {:<18} {:>8.1} {:>8.1}  {:<18}",
            name(role),
            middle(&done.ours, rate),
            middle(&done.twin, rate),
            spread(&done.ratios(rate)),
            middle(&done.ours, cpu),
            middle(&done.twin, cpu),
            spread(&done.ratios(cpu)),
        );
    }
    println!();
    Ok(())
}

fn counts(servers: &[Role]) -> Fallible<()> {
    let traces = strace::is_there();
    println!("System calls and allocations per request, ours and by hand.\n");
    println!("{:<20} {:>6} {:>6}  {:>6} {:>6}", "server", "calls", "hand", "alloc", "hand");
    for &role in servers {
        let twin = Role { who: Who::Twin, ..role };
        let per_request = |count: u64| count as f64 / f64::from(COUNT);
        let calls = |role| -> Fallible<String> {
            if !traces {
                return Ok("-".into());
            }
            let all = strace::count(role)?.values().sum::<u32>();
            Ok(format!("{:.1}", per_request(all.into())))
        };
        let allocated = |role| allocations::of(role).map(per_request);
        println!(
            "{:<20} {:>6} {:>6}  {:>6.1} {:>6.1}",
            name(&role),
            calls(role)?,
            calls(twin)?,
            allocated(role)?,
            allocated(twin)?
        );
    }
    if !traces {
        println!("(strace is missing or may not trace: no system calls)");
    }
    println!();
    Ok(())
}

fn instructions(servers: &[Role]) -> Fallible<()> {
    if !callgrind::is_there() {
        println!("valgrind is missing: no instructions");
        return Ok(());
    }
    println!("Instructions per request of the program alone, ours and by hand.\n");
    println!("{:<20} {:>7} {:>7} {:>7}", "server", "ours", "hand", "more");
    // The queue of a Unix datagram socket is too short for requests that all wait.
    let measured = |role: &&Role| {
        matches!(role.strategy, Strategy::Sync | Strategy::Threading)
            && role.transport != Transport::UnixDatagram
    };
    for &role in servers.iter().filter(measured) {
        let ours = callgrind::per_request(role)?;
        let twin = callgrind::per_request(Role { who: Who::Twin, ..role })?;
        println!("{:<20} {ours:>7.0} {twin:>7.0} {:>+7.0}", name(&role), ours - twin);
    }
    println!();
    Ok(())
}

fn name(role: &Role) -> String {
    format!("{} {}", role.transport, role.strategy)
}

fn middle(rates: &[Rate], of: impl Fn(&Rate) -> f64) -> f64 {
    median(&sorted(rates.iter().map(of)))
}

fn spread(sorted: &[f64]) -> String {
    format!("{:.2} ({:.2} to {:.2})", median(sorted), sorted[0], sorted[sorted.len() - 1])
}

/// One line on stderr that the next one replaces.
fn progress(line: &str) -> io::Result<()> {
    eprint!("\r\x1b[K{line}");
    io::stderr().flush()
}
