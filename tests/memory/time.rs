//! What passes when the test lets it.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use socketserver::testing::{Clock, Link, Memory, MemoryRequest, MemoryStream, Stall};
use socketserver::{
    DeadlinePassed, Deadlines, Failure, FailureKind, Guarded, Handler, Hangup, Next, ReadLine,
    Running, Server, Threading,
};

use crate::support::net::{PATIENCE, all};
use crate::{Result, connect};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(100);

/// Which deadline it was; none where it was the timeout.
type Passed = (FailureKind, Option<DeadlinePassed>);

/// Echoes line after line, and says what ended that.
struct Lines(Sender<Passed>);

impl Handler<MemoryRequest> for Lines {
    fn handle(&self, conn: &mut MemoryRequest) -> io::Result<Next> {
        let mut line = Vec::new();
        if conn.read_bytes_bounded(&mut line, 1000)? == 0 {
            return Ok(Next::Done);
        }
        conn.write_all(&line)?;
        Ok(Next::Again)
    }

    fn handle_error(&self, _conn: &mut MemoryRequest, failure: &Failure) {
        let passed = failure.as_error().and_then(io::Error::get_ref);
        let passed = passed.and_then(|passed| passed.downcast_ref()).copied();
        let _ = self.0.send((failure.kind(), passed));
    }
}

struct Case {
    clock: Clock,
    running: Running<Memory, Threading, Guarded<Lines>>,
    client: MemoryStream,
    says: Receiver<Passed>,
}

impl Case {
    fn new(deadlines: Deadlines, timeout: Option<Duration>, link: Link) -> Result<Self> {
        let (clock, (tell, says)) = (Clock::new(), channel());
        let options = Memory::options().clock(&clock);
        let options = timeout.map_or(Memory::options().clock(&clock), |time| options.timeout(time));
        let memory = options.bind("10.0.0.1:0")?;
        let handler = deadlines.guard(Lines(tell))?;
        let running = Server::new(memory, Threading::new(), handler)?.spawn()?;
        let client = connect(link, running.local_addr()?)?;
        Ok(Self { clock, running, client, says })
    }

    fn say(&mut self, bytes: &[u8]) -> Result {
        self.client.write_all(bytes)?;
        self.client.until_waited_for()?;
        Ok(())
    }

    /// It has not ended after a little less than `time`, and has after it.
    fn ends_after(self, time: Duration, wanted: Passed) -> Result {
        self.client.until_waited_for()?;
        self.clock.advance(time - Duration::from_nanos(1));
        self.client.until_waited_for()?;
        assert!(self.says.try_recv().is_err(), "too early");
        self.clock.advance(Duration::from_nanos(1));
        assert_eq!(self.says.recv_timeout(PATIENCE)?, wanted);
        drop(self.client);
        self.running.close()?;
        Ok(())
    }
}

fn late(passed: DeadlinePassed) -> Passed {
    (FailureKind::TimedOut, Some(passed))
}

#[test]
fn a_first_byte_that_does_not_come() -> Result {
    let case = Case::new(Deadlines::new().first_byte(LIMIT), None, Link::new())?;
    case.ends_after(LIMIT, late(DeadlinePassed::FirstByte))
}

#[test]
fn a_silence() -> Result {
    let mut case = Case::new(Deadlines::new().idle(LIMIT), None, Link::new())?;
    for part in [&b"one line\n"[..], b"and a ", b"half"] {
        case.say(part)?;
        case.clock.advance(LIMIT - SECOND);
    }
    case.ends_after(SECOND, late(DeadlinePassed::Idle))
}

#[test]
fn a_request_as_a_whole() -> Result {
    let mut case = Case::new(Deadlines::new().request(LIMIT), None, Link::new())?;
    case.say(b"0")?;
    for _ in 1..10 {
        case.clock.advance(LIMIT / 10);
        case.say(b"x")?;
    }
    case.ends_after(LIMIT / 10, late(DeadlinePassed::Request))
}

#[test]
fn a_request_that_comes_too_slowly() -> Result {
    let mut case = Case::new(Deadlines::new().min_rate(10, LIMIT), None, Link::new())?;
    case.say(b"0123456789")?;
    case.clock.advance(LIMIT - SECOND);
    case.say(b"0123456789")?;
    case.clock.advance(LIMIT - SECOND);
    case.say(b"a few")?;
    case.ends_after(SECOND, late(DeadlinePassed::Rate))
}

#[test]
fn an_answer_that_nobody_takes() -> Result {
    let link = Link::new().stall_writes_at(4, Stall::UntilReleased);
    let mut case = Case::new(Deadlines::new().write(LIMIT), None, link)?;
    case.say(b"echo this\n")?;
    case.ends_after(LIMIT, late(DeadlinePassed::Write))
}

#[test]
fn a_timeout_of_each_read() -> Result {
    // Without deadlines, and with one that is longer.
    for deadlines in [Deadlines::new(), Deadlines::new().request(10 * LIMIT)] {
        let mut case = Case::new(deadlines, Some(LIMIT), Link::new())?;
        for _ in 0..5 {
            case.say(b"x")?;
            case.clock.advance(LIMIT - SECOND);
        }
        case.ends_after(SECOND, (FailureKind::TimedOut, None))?;
    }
    Ok(())
}

#[test]
fn a_timeout_of_each_write() -> Result {
    let link = Link::new().stall_writes_at(4, Stall::UntilReleased);
    let mut case = Case::new(Deadlines::new(), Some(LIMIT), link)?;
    case.say(b"echo this\n")?;
    case.ends_after(LIMIT, (FailureKind::TimedOut, None))
}

#[test]
fn a_drain_that_the_peer_does_not_end() -> Result {
    let clock = Clock::new();
    let drain = Hangup::Drain { bytes: 1000, time: LIMIT };
    let memory = Memory::options().clock(&clock).hangup(drain).bind("10.0.0.1:0")?;
    let server = Server::new_fn(memory, Threading::new(), |conn| {
        conn.read_exact(&mut [0; 1])?;
        conn.write_all(b"enough")
    })?;
    let running = server.spawn()?;
    let mut client = connect(Link::new(), running.local_addr()?)?;
    client.write_all(b"more than anybody wants")?;
    let mut answer = [0; 7];
    assert_eq!(client.read(&mut answer)?, 6);
    assert_eq!(client.read(&mut answer)?, 0);
    client.until_waited_for()?;
    clock.advance(LIMIT - SECOND);
    client.until_waited_for()?;
    client.write_all(b"is taken")?;
    clock.advance(SECOND);
    running.close()?;
    assert!(client.write(b"is not").is_err());
    assert_eq!(all(client)?, b"");
    Ok(())
}
