//! Clients of ONC RPC that others have written: rpcinfo(8), and one that rpcgen(1) and libtirpc make
//! of the example's interface; and rpcbind(8). Those that are not installed are left out, and the line
//! of each says so.

#[path = "../support/served.rs"]
mod served;
#[path = "../clients/tool.rs"]
#[allow(dead_code, reason = "other tests share it, and need more of it")]
mod tool;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;

use served::{Served, Tested, example};

/// The strategies that the example offers.
const STRATEGIES: [&str; 5] = ["sync", "threading", "thread-pool", "forking", "selecting"];

/// 0x20000539, as rpcinfo(8) knows no other digits.
const PROGRAM: &str = "536872249";

fn main() -> ExitCode {
    let mut trials = Vec::new();
    let rpcinfo = lack(&["rpcinfo", "-V"], "rpcinfo");
    let rpcgen = lack(&["sh", "-c", "command -v rpcgen && pkg-config --exists libtirpc"], "rpcgen");
    for strategy in STRATEGIES {
        trials.push(trial(format!("rpcinfo_{strategy}"), &rpcinfo, move || asks(strategy)));
        trials.push(trial(format!("rpcgen_{strategy}"), &rpcgen, move || calls(strategy)));
    }
    let apart = lack(&["unshare", "-n", "-m", "true"], "unshare");
    let rpcbind = rpcinfo.clone().or(apart);
    trials.push(trial("rpcinfo_asks_the_port_mapper".into(), &rpcbind, || {
        registered("portmap --addr 127.0.0.1:111 >/dev/null &")
    }));
    trials
        .push(trial("rpcbind_takes_registrations".into(), &rpcbind, || registered("rpcbind -f &")));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What is missing, if it is.
fn lack(probe: &[&str], name: &str) -> Option<String> {
    // rpcinfo has no option that succeeds without a server: it is enough that it is there.
    let there = match probe {
        ["rpcinfo", ..] => Command::new("rpcinfo").arg("-?").output().is_ok(),
        probe => tool::works(probe),
    };
    (!there).then(|| format!("no {name} here"))
}

fn trial(
    name: String,
    lack: &Option<String>,
    run: impl FnOnce() -> Tested + Send + 'static,
) -> Trial {
    let trial = Trial::test(name, || run().map_err(|error| Failed::from(error.to_string())));
    trial.with_ignored_flag(lack.is_some()).with_kind(lack.clone().unwrap_or_default())
}

fn start(strategy: &str) -> Tested<Served> {
    Served::run(Command::new(example("rpc")?).args(["--strategy", strategy]))
}

fn port(served: &Served) -> Tested<u16> {
    Ok(served.address.rsplit(':').next().ok_or("no port")?.parse()?)
}

/// A stop in time, and a good end.
fn stop(served: Served) -> Tested {
    served.signal(Signal::SIGTERM)?;
    let (status, said) = served.end()?;
    if status.success() { Ok(()) } else { Err(format!("{status}: {said}").into()) }
}

fn asks(strategy: &str) -> Tested {
    let served = start(strategy)?;
    let port = port(&served)?;
    // A universal address: the port is its last two numbers.
    let at = format!("127.0.0.1.{}.{}", port >> 8, port & 255);
    for over in ["tcp", "udp"] {
        let ask =
            |more: &[&str]| tool::run(&[&["rpcinfo", "-a", &at, "-T", over][..], more].concat());
        has(&ask(&[PROGRAM, "1"])?, "program 536872249 version 1 ready and waiting")?;
        // Without a version it asks for the lowest and the highest, by one that there is not.
        has(&ask(&[PROGRAM])?, "program 536872249 version 1 ready and waiting")?;
        let wrong = ask(&[PROGRAM, "2"]).err().ok_or("version 2 is there")?.to_string();
        has(&wrong, "low version = 1, high version = 1")?;
        let wrong = ask(&["536872248", "1"]).err().ok_or("another program is there")?.to_string();
        has(&wrong, "Program unavailable")?;
    }
    stop(served)
}

fn has(said: &str, part: &str) -> Tested {
    if said.contains(part) { Ok(()) } else { Err(format!("no {part:?} in {said:?}").into()) }
}

/// The client that rpcgen makes, as a program in `dir`.
fn client(dir: &Path) -> Tested<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(root.join("examples/rpc.x"), dir.join("example.x"))?;
    fs::copy(root.join("tests/rpc_clients/client.c"), dir.join("client.c"))?;
    let dir = dir.to_string_lossy();
    // What rpcgen writes is not without warnings.
    let make = format!(
        "cd {dir} && rpcgen example.x && \
         cc -w -o client client.c example_clnt.c example_xdr.c $(pkg-config --cflags --libs libtirpc)"
    );
    tool::run(&["sh", "-c", &make])?;
    Ok(format!("{dir}/client"))
}

fn calls(strategy: &str) -> Tested {
    let dir = tempfile::tempdir()?;
    let client = client(dir.path())?;
    let served = start(strategy)?;
    for over in ["tcp", "udp"] {
        has(&tool::run(&[&client, over, &port(&served)?.to_string()])?, "all is right")?;
    }
    stop(served)
}

/// A port mapper at port 111 of a network of its own, where the example registers, is found by its
/// number over both, and is gone when it has ended.
fn registered(mapper: &str) -> Tested {
    let rpc = example("rpc")?;
    let folder = rpc.parent().ok_or("it is in no folder")?;
    let script = format!(
        "set -e; ip link set lo up; mount -t tmpfs none /run; PATH=$PATH:{folder}
         mapper=; server=; trap 'kill $server $mapper 2>/dev/null' EXIT
         until_ok() {{ n=0; until \"$@\" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.05; done; }}
         {mapper} mapper=$!
         until_ok rpcinfo -p 127.0.0.1
         mkfifo /run/said
         rpc --rpcbind 127.0.0.1:111 >/run/said & server=$!
         read said </run/said
         rpcinfo -p 127.0.0.1
         rpcinfo -t 127.0.0.1 {PROGRAM} 1
         rpcinfo -u 127.0.0.1 {PROGRAM} 1
         kill $server; wait $server; server=
         echo AFTER
         rpcinfo -p 127.0.0.1",
        folder = folder.display(),
    );
    let said = tool::run(&["unshare", "-n", "-m", "sh", "-c", &script])?;
    let (before, after) = said.split_once("AFTER").ok_or("it has not come to its end")?;
    for over in ["tcp", "udp"] {
        let line = |line: &str| line.contains("536872249") && line.contains(over);
        if !before.lines().any(line) || after.lines().any(line) {
            return Err(format!("{over}:\n{said}").into());
        }
    }
    has(before, "program 536872249 version 1 ready and waiting")
}
