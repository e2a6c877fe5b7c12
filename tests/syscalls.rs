//! What a request costs in system calls and allocations: no more than in the same loop written by
//! hand. The servers run in processes of their own, each in step with its client (see
//! `benches/support/pace.rs`), so every count is the same in every run.
//!
//! The system calls are counted by strace(1); where that is missing or may not trace, those trials
//! are ignored, and the line of each says so.

#[path = "support/served.rs"]
mod served;
#[path = "../benches/support/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the benchmarks use the rest")]
mod support;
#[path = "../benches/twins/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the benchmarks use the rest")]
mod twins;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use served::Served;
use support::role::{Load, Role, Strategy, Transport, Who};
use support::strace::{self, Calls};
use support::{Fallible, allocations, exit_code, serve};

/// How many requests or messages are counted.
const COUNT: u32 = 50;
/// How many requests wait; no more than fit into a backlog.
const WAITING: u32 = 112;

fn main() -> ExitCode {
    match Role::of_this_process() {
        Ok(None) => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
        Ok(Some(role)) => exit_code(serve::play(role)),
        Err(error) => exit_code(Err(error)),
    }
}

fn trials() -> Vec<Trial> {
    let traces = strace::is_there();
    let traced = |name: String, trial: fn(Role) -> Fallible<()>, role| {
        let kind = if traces { "" } else { "strace is missing or may not trace" };
        let trial = Trial::test(name, move || trial(role).map_err(Failed::from));
        trial.with_kind(kind).with_ignored_flag(!traces)
    };
    let idle = Trial::test("a_server_that_is_found_asleep_waits_first", || {
        waits_first().map_err(Failed::from)
    });
    let mut trials = vec![idle.with_ignored_flag(!traces)];
    for &transport in Transport::ALL {
        let here =
            |strategy: &&Strategy| strategy.serves(transport) && !strategy.serves_elsewhere();
        for &strategy in Strategy::ALL.iter().filter(here) {
            let (who, load) = (Who::Ours, Load::Paced);
            let role = Role { who, transport, strategy, load, count: COUNT };
            let name = format!("{transport}_{strategy}_makes_the_calls_of_the_loop_by_hand");
            if !strategy.is_crew() {
                trials.push(traced(name, makes_the_calls_of_the_loop_by_hand, role));
            } else if transport != Transport::UnixDatagram && !strategy.selects() {
                // Whose queue is too short; and who waits at the table is chance.
                let role = Role { load: Load::Waiting, count: WAITING, ..role };
                trials.push(traced(name, makes_few_more_than_its_requests_need, role));
            }
            let name = format!("{transport}_{strategy}_allocates_no_more_than_it_has_to");
            trials.push(Trial::test(name, move || Ok(allocates_no_more_than_it_has_to(role)?)));
        }
        for strategy in [Strategy::Sync, Strategy::Selecting] {
            if transport.is_stream() {
                let (who, load) = (Who::Ours, Load::PingPong);
                let role = Role { who, transport, strategy, load, count: COUNT };
                let name = format!("{transport}_{strategy}_makes_two_calls_for_each_message");
                trials.push(traced(name, makes_two_calls_for_each_message, role));
                let name = format!("{transport}_{strategy}_allocates_nothing_for_a_message");
                let allocates_nothing = move || Ok(allocates_nothing_for_a_message(role)?);
                trials.push(Trial::test(name, allocates_nothing));
            }
        }
    }
    trials
}

fn makes_the_calls_of_the_loop_by_hand(role: Role) -> Fallible<()> {
    let (ours, twin) = (per_request(role)?, per_request(Role { who: Who::Twin, ..role })?);
    let all = |calls: &Calls| calls.values().sum::<u32>();
    let most = match (role.strategy, role.transport.is_stream()) {
        (Strategy::Sync | Strategy::Selecting, true) => 5,
        (Strategy::Sync, false) => 2,
        // How many it takes to start a thread is the affair of std and the C library.
        (Strategy::Forking, true) => 12,
        (Strategy::Forking, false) => 7,
        _ => all(&twin),
    };
    assert!(all(&ours) <= most, "more than {most} calls: {ours:?}");
    assert!(all(&ours) <= all(&twin), "ours {ours:?}\ntwin {twin:?}");
    if role.strategy != Strategy::Forking {
        // A forking server looks at the number of threads, and reaps at another moment.
        assert_eq!(ours, twin);
    }
    Ok(())
}

/// Who takes the next request is a matter of chance here, and so is how many threads there are, but
/// as long as requests wait, nobody waits for them.
fn makes_few_more_than_its_requests_need(role: Role) -> Fallible<()> {
    for who in [Who::Ours, Who::Twin] {
        let most = if role.transport.is_stream() { 5.6 } else { 2.2 };
        let (each, calls) = strace::while_others_wait(Role { who, ..role })?;
        assert!(each <= most, "{who}: {each:.2} for each: {calls:?}");
    }
    Ok(())
}

fn makes_two_calls_for_each_message(role: Role) -> Fallible<()> {
    let mut ours = per_request(role)?;
    assert_eq!(ours, per_request(Role { who: Who::Twin, ..role })?);
    if role.strategy.selects() {
        // The wait, which is one for all that have something to say; here there is one.
        assert_eq!(ours.remove("epoll_wait"), Some(1));
    }
    assert_eq!(ours, Calls::from([("recvfrom".into(), 1), ("sendto".into(), 1)]));
    Ok(())
}

fn allocates_nothing_for_a_message(role: Role) -> Fallible<()> {
    assert_eq!(allocations::of(role)?, 0);
    Ok(())
}

/// What a request costs that has to be waited for: a poll, and less and less often a look that finds
/// nothing before it.
fn waits_first() -> Fallible<()> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).arg(served::program()?);
    command.args(["--strategy", "sync", "--mode", "once", "--addr", "127.0.0.1:0"]);
    let served = Served::run(&mut command)?;
    let server: i32 = fs::read_to_string(&log)?.split(' ').next().ok_or("no log")?.parse()?;
    // Asleep, and not stopped by strace: nothing but the poll can be what it waits in.
    let idle = || -> Fallible<()> {
        while !fs::read_to_string(format!("/proc/{server}/stat"))?.contains(") S ") {
            std::thread::yield_now();
        }
        Ok(())
    };
    for _ in 0..10 {
        idle()?;
        let mut client = TcpStream::connect(&served.address)?;
        client.write_all(b"x\n")?;
        client.read_to_end(&mut Vec::new())?;
    }
    idle()?;
    kill(Pid::from_raw(server), Signal::SIGTERM)?;
    served.end()?;

    let log = fs::read_to_string(&log)?;
    let log = log.split("--- SIGTERM").next().unwrap_or_default();
    let count = |name: &str, result: &str| {
        log.lines().filter(|line| line.contains(name) && line.contains(result)).count()
    };
    let (looks, waits) = (count(" accept4(", "EAGAIN"), count(" poll(", "], 2, -1"));
    assert_eq!(waits, 11, "one for each request, and one for the signal\n{log}");
    assert_eq!(looks, 4, "before the first, the second, the fourth, the seventh\n{log}");
    assert_eq!(count(" read(", "EAGAIN"), 0, "the wake-up was read, and had not rung");
    Ok(())
}

/// Packets and connections that are read without a buffer cost none; starting a thread does.
fn allocates_no_more_than_it_has_to(role: Role) -> Fallible<()> {
    let by_hand = allocations::of(Role { who: Who::Twin, ..role })?;
    let most = match (role.strategy, role.transport.is_stream()) {
        // The request lies where it can be had back if there is no thread for it.
        (Strategy::Fresh, true) => by_hand + u64::from(COUNT),
        // The packet's own buffer is handed on, and comes back; by hand it is copied.
        (Strategy::Fresh, false) => by_hand,
        // One more thread may be started even now.
        (Strategy::Threading | Strategy::ThreadPool, _) => u64::from(COUNT) / 2,
        // The connection lies where its place in the table can point to.
        (Strategy::Selecting, _) => u64::from(COUNT),
        (Strategy::SelectingPool, _) => u64::from(COUNT) * 3 / 2,
        (Strategy::Sync | Strategy::Forking | Strategy::PreForking, _) => 0,
    };
    let ours = allocations::of(role)?;
    assert!(ours <= most, "{ours} allocations in {COUNT} requests, more than {most}");
    Ok(())
}

/// The calls of one request; every request makes the same.
fn per_request(role: Role) -> Fallible<Calls> {
    let mut calls = Calls::new();
    for (name, count) in strace::count(role)? {
        if count % COUNT != 0 {
            return Err(format!("{name} was called {count} times in {COUNT} requests").into());
        }
        // The one tells what the other does not: whether a packet has been cut.
        let name = if name == "recvmsg" { "recvfrom".into() } else { name };
        calls.insert(name, count / COUNT);
    }
    Ok(calls)
}
