//! A steady load of HTTP: clients that ask who they are, one request after the other, and compare the
//! answer with what they know. What fails is counted, and nothing is tried again.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::served::{Answer, LIMIT, Tested};

/// How long a client pauses after each answer: the load is steady, and leaves the machine to others.
const PAUSE: Duration = Duration::from_millis(1);

/// Whoever has been silent for longer makes a new connection, as a client of HTTP has to that does
/// not want to meet the end of one: a machine with other things to do keeps some waiting.
const SILENT: Duration = Duration::from_millis(250);

/// Where clients come to, and from where.
#[derive(Debug, Clone)]
pub enum Way {
    Tcp { to: SocketAddr, from: IpAddr },
    Unix(PathBuf),
}

/// What has become of the requests.
#[derive(Debug, Default)]
pub struct Counts {
    pub answered: u64,
    pub connections: u64,
    /// Why the others were not, and by whom, where that is known.
    pub failed: Vec<(String, Option<String>)>,
    /// Answers to somebody else.
    pub wrong: Vec<String>,
    /// How many answers each replica has given, where there are several.
    pub by_replica: BTreeMap<String, u64>,
    over: bool,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, connections, failed, wrong, by_replica, .. } = self;
        let (failed, wrong) = (failed.len(), wrong.len());
        write!(
            f,
            "{answered} answered on {connections} connections, {failed} failed, {wrong} wrong \
             addresses"
        )?;
        if by_replica.is_empty() { Ok(()) } else { write!(f, ", {by_replica:?}") }
    }
}

/// Clients that go on until [`end`](Self::end).
pub struct Load {
    counts: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    counts: Mutex<Counts>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no client panics")
    }
}

impl Load {
    /// A client for each way, with so many requests to a connection.
    pub fn begin(ways: impl IntoIterator<Item = (Way, u32)>) -> Self {
        let counts = Arc::<Shared>::default();
        let client = |(way, each): (Way, u32)| {
            let counts = Arc::clone(&counts);
            thread::spawn(move || while client(&way, each, &counts) {})
        };
        let clients = ways.into_iter().map(client).collect();
        Self { counts, clients }
    }

    /// Looks at the counts.
    pub fn look<V>(&self, look: impl FnOnce(&Counts) -> V) -> V {
        look(&self.counts.lock())
    }

    /// Waits until the counts are so.
    pub fn until(&self, what: &str, is_so: impl Fn(&Counts) -> bool) -> Tested {
        let end = Instant::now() + LIMIT;
        let mut counts = self.counts.lock();
        while !is_so(&counts) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("never: {what}; {counts}; {:?}", counts.failed).into());
            }
            let waited = self.counts.changed.wait_timeout(counts, left);
            counts = waited.expect("no client panics").0;
        }
        Ok(())
    }

    /// Waits for so many more answers.
    pub fn pass(&self, more: u64) -> Tested {
        let until = self.look(|counts| counts.answered) + more;
        self.until("clients are answered", |counts| counts.answered >= until)
    }

    /// Waits for so many more from one replica.
    pub fn pass_at(&self, replica: &str, more: u64) -> Tested {
        let of = |counts: &Counts| counts.by_replica.get(replica).copied().unwrap_or_default();
        let until = self.look(of) + more;
        self.until(&format!("{replica} answers"), |counts| of(counts) >= until)
    }

    pub fn end(self) -> Tested<Counts> {
        self.counts.lock().over = true;
        self.counts.changed.notify_all();
        for client in self.clients {
            client.join().map_err(|_| "a client panicked")?;
        }
        Ok(std::mem::take(&mut *self.counts.lock()))
    }
}

/// A connection with so many requests; returns whether there is to be another.
fn client(way: &Way, each: u32, shared: &Shared) -> bool {
    let opened = match way {
        Way::Tcp { to, from } => over_tcp(*to, *from).and_then(|connection| {
            let own = connection.local_addr()?.to_string();
            Ok((Box::new(connection) as Box<dyn Both>, own))
        }),
        Way::Unix(path) => {
            over_unix(path).map(|connection| (Box::new(connection) as _, "-".into()))
        }
    };
    let (mut connection, own) = match opened {
        Ok(opened) => opened,
        Err(error) => return failed(shared, format!("connect: {error}"), None),
    };
    shared.lock().connections += 1;
    for number in 1..=each {
        let answer = match ask(&mut connection, number == each) {
            Ok(answer) => answer,
            Err(error) => return failed(shared, format!("request {number}: {error}"), None),
        };
        let answered = Instant::now();
        let replica = answer.field("x-replica").map(str::to_owned);
        if answer.status != 200 {
            return failed(shared, format!("request {number}: {}", answer.status), replica);
        }
        let mut counts = shared.lock();
        counts.answered += 1;
        if answer.text().trim_end() != own {
            counts.wrong.push(format!("{own} is told that it is {:?}", answer.text()));
        }
        if let Some(replica) = replica {
            *counts.by_replica.entry(replica).or_default() += 1;
        }
        shared.changed.notify_all();
        let paused = shared.changed.wait_timeout_while(counts, PAUSE, |counts| !counts.over);
        if paused.expect("no client panics").0.over {
            return false;
        }
        let ends =
            answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if ends || answered.elapsed() > SILENT {
            break;
        }
    }
    true
}

fn failed(shared: &Shared, why: String, by: Option<String>) -> bool {
    let mut counts = shared.lock();
    counts.failed.push((why, by));
    shared.changed.notify_all();
    // Where everything fails, there is nothing more to be learnt.
    !counts.over && counts.failed.len() < 1000
}

trait Both: Read + Write {}

impl<T: Read + Write> Both for T {}

fn over_tcp(to: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    Ok(socket.into())
}

fn over_unix(path: &PathBuf) -> io::Result<UnixStream> {
    let connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(LIMIT))?;
    Ok(connection)
}

fn ask(connection: &mut dyn Both, last: bool) -> Result<Answer, Box<dyn Error>> {
    let close = if last { "Connection: close\r\n" } else { "" };
    connection.write_all(format!("GET /whoami HTTP/1.1\r\nHost: a\r\n{close}\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let count = connection.read(&mut more)?;
        if count == 0 {
            return Err(format!("ended after {} bytes", bytes.len()).into());
        }
        bytes.extend_from_slice(&more[..count]);
        if let Ok((answer, _)) = Answer::first_of(&bytes, false) {
            return Ok(answer);
        }
    }
}
