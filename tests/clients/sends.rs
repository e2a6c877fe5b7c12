//! How answers leave: each in one piece, and none held back until another has been acknowledged.

use std::fs;
use std::io::{Read, Write};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::Client;
use crate::footprint::until;
use crate::served::{LIMIT, Served, Tested, connect, program};

pub(crate) const CLIENTS: &[Client] =
    &[("one_send_for_each_answer", &["strace", "-qq", "-o", "/dev/null", "true"], one_send)];

/// Requests that come together.
const REQUESTS: &str = "GET /small HTTP/1.1\r\nHost: a\r\n\r\nHEAD /small HTTP/1.1\r\nHost: a\r\n\r\n\
GET /missing HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const ANSWERS: usize = 4;

fn one_send(strategy: &str) -> Tested {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("small"), [b's'; 1000])?;
    // As much as leaves at once.
    fs::write(folder.path().join("large"), vec![b'l'; 64 * 1024])?;
    let calls = folder.path().join("calls");
    let mut command = Command::new("strace");
    // With `-D` the server is our child, and strace is not.
    command.args(["-D", "-f", "-q", "-e", "trace=sendto,sendmsg,writev,setsockopt", "-o"]);
    command.arg(&calls).arg("--").arg(program()?);
    command.args(["--quiet", "--strategy", strategy, "--addr", "127.0.0.1:0", "--dir"]);
    let server = Served::run(command.arg(folder.path()))?;

    let mut connection = connect(&server.address)?;
    connection.write_all(REQUESTS.as_bytes())?;
    connection.read_to_end(&mut Vec::new())?;
    drop(connection);
    server.signal(Signal::SIGTERM)?;
    let last = format!("{:<5} +++ exited", server.id());
    server.end()?;
    let said = || fs::read_to_string(&calls);
    until("strace has told of the end", LIMIT, || Ok(said()?.contains(&last)))?;

    let said = said()?;
    // The process and the descriptor: the first call is one for the connection.
    let (process, rest) = said
        .lines()
        .find(|line| line.contains("TCP_NODELAY, [1]"))
        .and_then(|line| line.split_once(" setsockopt("))
        .ok_or_else(|| format!("Nagle's algorithm is on\n{said}"))?;
    let socket = rest.split(',').next().unwrap_or_default();
    let calls = said.lines().filter_map(|line| line.strip_prefix(process));
    let sends = calls.filter(|call| !call.contains("setsockopt"));
    let sends = sends.filter(|call| call.contains(&format!("({socket}, "))).count();
    if sends == ANSWERS { Ok(()) } else { Err(format!("{sends} sends\n{said}").into()) }
}
