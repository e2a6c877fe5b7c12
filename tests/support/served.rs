//! The example `serve` as a user starts it: a process of its own, talked to from outside.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wait_timeout::ChildExt;

pub type Tested<T = ()> = Result<T, Box<dyn Error>>;

/// Far beyond what anything here needs, and less than the example's own patience with a peer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The strategies that it offers for connections. Every test that runs it under each takes them from
/// here.
pub const STRATEGIES: [&str; 11] = [
    "sync",
    "threading",
    "thread-pool",
    "forking",
    "fork-server",
    "pre-forking",
    "pre-forking+threading",
    "pre-forking+thread-pool",
    "pre-forking+selecting",
    "selecting",
    "selecting+thread-pool",
];

/// The program, which `cargo test` builds beside the tests.
pub fn program() -> Tested<PathBuf> {
    example("serve")
}

/// Another one of them.
pub fn example(name: &str) -> Tested<PathBuf> {
    let test = env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or("the test is in no target directory")?;
    let program = profile.join("examples").join(name);
    if program.is_file() { Ok(program) } else { Err(format!("{program:?} is not built").into()) }
}

/// A server that runs; it is killed with the test.
pub struct Served {
    child: Child,
    pub address: String,
    stdout: BufReader<ChildStdout>,
    said: Receiver<String>,
}

impl Served {
    /// Starts it, and waits until clients can come.
    pub fn start<S: AsRef<std::ffi::OsStr>>(options: &[S]) -> Tested<Self> {
        Self::run(Command::new(program()?).args(options))
    }

    pub fn run(command: &mut Command) -> Tested<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (line, said) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        // Ends with the process: a pipe that nobody empties would stop the server.
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|l| line.send(l)));
        let stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut served = Self { child, address: String::new(), stdout, said };
        match served.listening()? {
            Ok(address) => served.address = address,
            Err(line) => return Err(format!("{line:?}, {:?}", served.end()?).into()),
        }
        Ok(served)
    }

    /// The next address at which it listens; whatever else it has said is the error.
    pub fn listening(&mut self) -> Tested<Result<String, String>> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let address = line.strip_prefix("LISTENING ").and_then(|rest| rest.strip_suffix('\n'));
        Ok(address.map(str::to_owned).ok_or(line))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Tested {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// Waits for a line on stderr that has `part` in it.
    pub fn says(&self, part: &str) -> Tested<String> {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left).map_err(|error| format!("{part}: {error}"))?;
            if line.contains(part) {
                return Ok(line);
            }
        }
    }

    /// Waits for its end; returns what it ended with, and what was left on stderr.
    pub fn end(mut self) -> Tested<(ExitStatus, String)> {
        let status = self.child.wait_timeout(LIMIT)?.ok_or("it still runs")?;
        Ok((status, self.said.iter().collect::<Vec<_>>().join("\n")))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A response, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Tested<Self> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes)? else {
            return Err(format!("cut: {:?}", String::from_utf8_lossy(bytes)).into());
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let field = |field: &httparse::Header<'_>| (field.name.to_owned(), text(field.value));
        Ok(Self {
            status: response.code.ok_or("no status")?,
            fields: response.headers.iter().map(field).collect(),
            body: bytes[length..].to_vec(),
        })
    }

    /// The first of several answers, and how many bytes it has; that to HEAD is without a body.
    pub fn first_of(bytes: &[u8], to_head: bool) -> Tested<(Self, usize)> {
        let mut answer = Self::parse(bytes)?;
        let length = match answer.field("content-length") {
            Some(length) if !to_head => length.parse()?,
            _ => 0,
        };
        let head = bytes.len() - answer.body.len();
        answer.body = bytes.get(head..head + length).ok_or("a body is cut")?.to_vec();
        Ok((answer, head + length))
    }

    /// The value of a field that may be there once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let first = all.next();
        assert!(all.next().is_none(), "two {name}: {:?}", self.fields);
        first.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection of either kind.
pub trait Connection: Read + Write {
    fn end_output(&self) -> std::io::Result<()>;
}

impl Connection for TcpStream {
    fn end_output(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Connection for UnixStream {
    fn end_output(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Sends `request` as it is over `connection`, and nothing more, and reads the answer until the
/// server closes.
pub fn exchange(mut connection: impl Connection, request: &[u8]) -> Tested<Answer> {
    connection.write_all(request)?;
    // The server may have refused the request, and be gone.
    let _ = connection.end_output();
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    Answer::parse(&bytes)
}

pub fn connect(address: &str) -> Tested<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.set_write_timeout(Some(LIMIT))?;
    Ok(connection)
}

/// The last request of a connection over HTTP/1.1, with more fields (each with its line end).
pub fn ask(address: &str, method: &str, target: &str, fields: &str) -> Tested<Answer> {
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{fields}\r\n");
    exchange(connect(address)?, request.as_bytes())
}

pub fn get(address: &str, target: &str) -> Tested<Answer> {
    ask(address, "GET", target, "")
}

/// One exchange with an example in its mode `once`, which ends it.
pub fn once(mut connection: impl Read + Write) -> Tested {
    connection.write_all(b"one line\n")?;
    let mut all = String::new();
    connection.read_to_string(&mut all)?;
    assert_eq!(all, "one line\n");
    Ok(())
}
