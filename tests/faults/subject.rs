//! The server that the faults are done to.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::footprint::Process;
use crate::net;
use crate::served::{self, Served, Tested, connect};

/// What is sent and what comes back, of an echo and of a web server.
const ECHO: (&[u8], &[u8]) = (b"x\n", b"x\n");
const PAGE: (&[u8], &[u8]) = (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"HTTP/1.1 200");
const LAST_PAGE: (&[u8], &[u8]) =
    (b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", PAGE.1);

/// Whether another server than the example stands here.
pub(crate) fn is_foreign() -> bool {
    env::var_os("FAULTS_SERVER").is_some()
}

fn speaks_http() -> bool {
    env::var("FAULTS_ASK").is_ok_and(|ask| ask == "http")
}

/// The words of the server's command, without its options.
pub(crate) fn words() -> Tested<Vec<String>> {
    match env::var("FAULTS_SERVER") {
        Ok(command) => Ok(command.split_whitespace().map(str::to_owned).collect()),
        Err(_) => Ok(vec![served::program()?.display().to_string()]),
    }
}

/// The server behind `before` (strace and its options, say) at a free port.
pub(crate) fn command(before: &[&str], strategy: &str, mode: &str) -> Tested<Command> {
    let words = words()?;
    let mut all = before.iter().copied().chain(words.iter().map(String::as_str));
    let mut command = Command::new(all.next().ok_or("FAULTS_SERVER is empty")?);
    command.args(all);
    command.args(["--strategy", strategy, "--mode", mode, "--addr", "127.0.0.1:0"]);
    Ok(command)
}

pub(crate) fn start(before: &[&str], strategy: &str, mode: &str) -> Tested<Served> {
    Served::run(&mut command(before, strategy, mode)?)
}

pub(crate) fn process(server: &Served) -> Process {
    Process(server.id())
}

/// Asks once, and says how long the answer took; the server closes the connection.
pub(crate) fn ask(address: &str) -> Tested<Duration> {
    let begun = Instant::now();
    let (request, wanted) = if speaks_http() { LAST_PAGE } else { ECHO };
    let mut connection = connect(address)?;
    connection.write_all(request)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    if answer.starts_with(wanted) {
        Ok(begun.elapsed())
    } else {
        Err(format!("the answer is {:?}", String::from_utf8_lossy(&answer)).into())
    }
}

/// A connection that stays open, to a server in the mode `echo`.
#[derive(Debug)]
pub(crate) struct Held(TcpStream);

/// What has become of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Served,
    Closed,
    Ignored,
}

impl Held {
    /// Connects, and waits for nothing.
    pub(crate) fn open(address: &str) -> Tested<Self> {
        Ok(Self(net::connect(address.parse()?)?))
    }

    /// Sends something, and waits for the answer.
    pub(crate) fn fate(&mut self, patience: Duration) -> Tested<Fate> {
        let (request, wanted) = if speaks_http() { PAGE } else { ECHO };
        self.0.set_read_timeout(Some(patience))?;
        if self.0.write_all(request).is_err() {
            return Ok(Fate::Closed);
        }
        self.answer(wanted)
    }

    fn answer(&mut self, wanted: &[u8]) -> Tested<Fate> {
        let mut answer = [0; 4096];
        match self.0.read(&mut answer) {
            Ok(0) => Ok(Fate::Closed),
            Ok(count) if answer[..count].starts_with(wanted) => Ok(Fate::Served),
            Ok(count) => Err(format!("{:?}", String::from_utf8_lossy(&answer[..count])).into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Fate::Ignored),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Fate::Closed),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends the beginning of a request.
    pub(crate) fn begin(&mut self) -> Tested {
        Ok(self.0.write_all(b"half")?)
    }

    /// Waits for the end without a word.
    pub(crate) fn end(&mut self, patience: Duration) -> Tested<Fate> {
        self.0.set_read_timeout(Some(patience))?;
        self.answer(&[])
    }

    /// The port of this end.
    pub(crate) fn port(&self) -> Tested<u16> {
        Ok(self.0.local_addr()?.port())
    }

    pub(crate) fn is_served(&mut self) -> Tested<bool> {
        Ok(self.fate(served::LIMIT)? == Fate::Served)
    }
}

/// How many of `all` had which fate: served, closed, ignored.
pub(crate) fn fates(all: &mut [Held], patience: Duration) -> Tested<(usize, usize, usize)> {
    let fates: Vec<Fate> =
        all.iter_mut().map(|held| held.fate(patience)).collect::<Tested<Vec<_>>>()?;
    let count = |fate| fates.iter().filter(|other| **other == fate).count();
    Ok((count(Fate::Served), count(Fate::Closed), count(Fate::Ignored)))
}

/// As [`ask`], of a server in the mode `echo`.
pub(crate) fn ask_held(address: &str) -> Tested<Duration> {
    let begun = Instant::now();
    let mut held = Held::open(address)?;
    if held.is_served()? { Ok(begun.elapsed()) } else { Err("it is closed".into()) }
}
