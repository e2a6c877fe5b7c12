//! Every errno of accept(2) and of receiving a datagram, and threads and processes that the system
//! refuses, injected by strace(1).

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::served::{Served, Tested};
use crate::subject::{self, Fate, Held};
use crate::time::let_pass;
use crate::trials::{Need, STRACE, trial};

/// What accept(2) can say of one connection or of the system, and what recvfrom(2) can.
const ACCEPT_PASSES: [&str; 20] = [
    "EAGAIN",
    "ECONNABORTED",
    "ECONNRESET",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "EINTR",
    "EMFILE",
    "ENETDOWN",
    "ENETUNREACH",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "ENONET",
    "ENOPROTOOPT",
    "EOPNOTSUPP",
    "EPERM",
    "EPROTO",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "ETIMEDOUT",
];
const RECEIVE_PASSES: [&str; 9] = [
    "EAGAIN",
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "EINTR",
    "ENETDOWN",
    "ENETUNREACH",
    "ENOBUFS",
    "ENOMEM",
    "EPERM",
];
/// The socket is none, or none any more.
const FATAL: [&str; 4] = ["EBADF", "EFAULT", "EINVAL", "ENOTSOCK"];

/// How long an error that does not go away is looked at, and the most attempts in that time. The
/// errors of one connection are passed over 64 times in a row, a source that is ready and has
/// nothing is asked a thousand times; from then on there are pauses, which lengthen.
const STICKY: (Duration, usize) = (Duration::from_millis(1500), 5000);

/// A call that is always interrupted is made again where it is made, and no system interrupts it so.
const NOT_FOR_EVER: &str = "not tried for ever";

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = Vec::new();
    for errno in ACCEPT_PASSES {
        all.push(trial(format!("accept_{errno}_passes"), &[STRACE], move || accept_passes(errno)));
    }
    for errno in FATAL {
        all.push(trial(format!("accept_{errno}_ends_the_server"), &[STRACE], move || {
            ends("threading", "accept4,accept", errno)
        }));
        let name = format!("accept_{errno}_ends_a_thread_pool");
        all.push(trial(name, &[STRACE, Need::Ours], move || {
            ends("thread-pool", "accept4,accept", errno)
        }));
    }
    for errno in RECEIVE_PASSES {
        all.push(trial(format!("receive_{errno}_passes"), &[STRACE, Need::Ours], move || {
            receive_passes(errno)
        }));
    }
    for errno in FATAL {
        all.push(trial(
            format!("receive_{errno}_ends_the_server"),
            &[STRACE, Need::Ours],
            move || ends_udp(errno),
        ));
    }
    all.push(trial("a_thread_that_cannot_be_had", &[STRACE], || {
        // The first thread of ours is for no request; without it, there is one for each.
        let first = if subject::is_foreign() { Fate::Closed } else { Fate::Served };
        refused("threading", START, (first, 1))
    }));
    all.push(trial("a_process_that_cannot_be_had", &[STRACE], || {
        refused("forking", START, (Fate::Closed, 1))
    }));
    all.push(trial("a_container_that_forbids_unshare", &[STRACE, Need::Ours], || {
        // The threads are counted in another way.
        refused("forking", ("unshare", "EPERM"), (Fate::Served, 1))
    }));
    all.push(trial("no_memory_between_server_and_helper", &[STRACE, Need::Ours], || {
        // That of the server, whose request is refused, and that of the helper, which says it again.
        refused("fork-server", ("sendmsg", "ENOBUFS"), (Fate::Closed, 2))
    }));
    all
}

/// The options of a server whose calls fail. With `-D` the server is our child, and strace is not.
fn injected<'a>(log: &'a str, trace: &'a str, inject: &'a str) -> [&'a str; 9] {
    ["strace", "-D", "-f", "-qq", "-o", log, trace, inject, "--"]
}

/// How often the log has a call that was made to fail.
fn failures(log: &Path) -> Tested<usize> {
    Ok(fs::read_to_string(log)?.lines().filter(|line| line.ends_with("(INJECTED)")).count())
}

/// Starts a server, some of whose `calls` fail with `errno`.
fn start(log: &Path, strategy: &str, mode: &str, calls: &str, fault: &str) -> Tested<Served> {
    let (trace, inject) = (format!("-etrace={calls}"), format!("-einject={calls}:{fault}"));
    let log = log.to_str().ok_or("not UTF-8")?;
    subject::start(&injected(log, &trace, &inject), strategy, mode)
}

/// Served although it happens three times; and where it goes on happening, attempts are few and a
/// stop is heard.
fn accept_passes(errno: &str) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let calls = "accept4,accept";
    let server = start(&log, "threading", "once", calls, &format!("error={errno}:when=1..3"))?;
    let after = subject::ask(&server.address)?;
    drop(server);
    let seen = failures(&log)?;
    if seen == 0 {
        return Err("nothing was injected".into());
    }

    let sticky = if errno == "EINTR" {
        NOT_FOR_EVER.to_owned()
    } else {
        let server = start(&log, "threading", "once", calls, &format!("error={errno}"))?;
        let _waiting = Held::open(&server.address)?;
        goes_on(server, &log)?
    };
    Ok(format!("after {seen}: served in {after:.1?}; {sticky}"))
}

fn receive_passes(errno: &str) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let server = start_udp(&log, &format!("error={errno}:when=1..3"))?;
    let after = ask_udp(&server.address)?;
    drop(server);
    let seen = failures(&log)?;

    let sticky = if errno == "EINTR" {
        NOT_FOR_EVER.to_owned()
    } else {
        let server = start_udp(&log, &format!("error={errno}"))?;
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.send_to(b"x", &server.address)?;
        goes_on(server, &log)?
    };
    if seen == 0 {
        return Err("nothing was injected".into());
    }
    Ok(format!("after {seen}: served in {after:.1?}; {sticky}"))
}

/// An error that does not go away: attempts are few, and a stop is heard.
fn goes_on(server: Served, log: &Path) -> Tested<String> {
    let_pass(STICKY.0);
    let attempts = failures(log)?;
    let begun = Instant::now();
    server.signal(Signal::SIGTERM)?;
    let (status, said) = server.end()?;
    let figures = format!("for ever: {attempts} attempts, stop {:.1?}", begun.elapsed());
    if attempts > STICKY.1 || !status.success() {
        return Err(format!("{figures}, {status}: {said}").into());
    }
    Ok(figures)
}

fn start_udp(log: &Path, fault: &str) -> Tested<Served> {
    let (trace, inject) = ("-etrace=recvfrom", format!("-einject=recvfrom:{fault}"));
    let before = injected(log.to_str().ok_or("not UTF-8")?, trace, &inject);
    let mut command = subject::command(&before, "threading", "echo")?;
    Served::run(command.args(["--transport", "udp"]))
}

fn ask_udp(address: &str) -> Tested<Duration> {
    let begun = Instant::now();
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(address)?;
    client.set_read_timeout(Some(crate::served::LIMIT))?;
    client.send(b"packet")?;
    let mut answer = [0; 16];
    let count = client.recv(&mut answer)?;
    if &answer[..count] == b"packet" { Ok(begun.elapsed()) } else { Err("wrong answer".into()) }
}

/// A server whose socket is broken says so, and ends; it does not try for ever.
fn ends(strategy: &str, calls: &str, errno: &str) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    let fault = format!("error={errno}:when=2+");
    ended(start(&folder.path().join("log"), strategy, "once", calls, &fault)?, |address| {
        Held::open(address).map(drop)
    })
}

fn ends_udp(errno: &str) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    let server = start_udp(&folder.path().join("log"), &format!("error={errno}:when=2+"))?;
    ended(server, |address| Ok(UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", address).map(drop)?))
}

fn ended(server: Served, wake: fn(&str) -> Tested) -> Tested<String> {
    let begun = Instant::now();
    match wake(&server.address) {
        // It may have ended before anybody came.
        Err(error) if error.downcast_ref().is_some_and(is_refused) => {}
        other => other?,
    }
    let (status, said) = server.end()?;
    let after = begun.elapsed();
    if status.code().is_none_or(|code| code == 0) {
        return Err(format!("{status}: {said}").into());
    }
    Ok(format!("ended with {status} after {after:.1?}"))
}

fn is_refused(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionRefused
}

/// What starts a thread or a process, and what it says where there can't be another.
const START: (&str, &str) = ("clone,clone3,?fork,?vfork", "EAGAIN");

/// There is no thread or process for the first: what becomes of it, and how many calls have failed.
/// The next are served.
fn refused(
    strategy: &str,
    (calls, errno): (&str, &str),
    (first, failed): (Fate, usize),
) -> Tested<String> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let server = start(&log, strategy, "echo", calls, &format!("error={errno}:when=1"))?;
    let ask = |_| Held::open(&server.address)?.fate(Duration::from_secs(10));
    let fates = (0..3).map(ask).collect::<Tested<Vec<_>>>()?;
    let figures = format!("one after the other: {fates:?}");
    if (fates, failures(&log)?) == (vec![first, Fate::Served, Fate::Served], failed) {
        Ok(figures)
    } else {
        Err(figures.into())
    }
}
