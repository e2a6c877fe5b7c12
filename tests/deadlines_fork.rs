//! Deadlines under `Forking`: as in `deadlines.rs`, in processes with one thread.

#[path = "support/mod.rs"]
mod support;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{
    Connection, Deadlines, Forking, Handler, Outcome, Server, Tcp, Transport, UnixStream,
};
use support::alone::{self, Case};
use support::net::Reach;
use support::slow::{self, AMPLE, Lines, Peer};
use support::trace::Trace;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SHORT: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    const CASES: &[Case] = &[
        ("a_trickle_is_ended_by_the_whole_request", a_trickle_is_ended_by_the_whole_request),
        ("a_trickle_is_ended_by_the_rate", a_trickle_is_ended_by_the_rate),
        ("a_silence_is_ended", a_silence_is_ended),
        ("a_peer_that_takes_nothing_is_ended", a_peer_that_takes_nothing_is_ended),
    ];
    alone::run(CASES)
}

type Play<C> = fn(&mut C, &Trace) -> io::Result<String>;

fn ends<T>(deadlines: Deadlines, deadline: &str, play: Play<T::Client>) -> Result
where
    T: Reach<Client: Peer> + Transport<Request: Connection>,
    Lines: Handler<T::Request>,
{
    let dir = tempfile::tempdir()?;
    let trace = Trace::new()?;
    let handler = deadlines.guard(Lines(trace.clone()))?;
    let mut server = Server::new(T::open(dir.path())?, Forking::new(), handler)?;
    let mut client = T::send(&server.local_addr()?, dir.path(), b"")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(play(&mut client, &trace)?, deadline);
    drop(client);
    server.close()?;
    assert_eq!(trace.in_children()?, [deadline]);
    Ok(())
}

fn a_trickle_is_ended_by_the_whole_request() -> Result {
    let deadlines = Deadlines::new().first_byte(AMPLE).idle(AMPLE).request(2 * SHORT);
    ends::<Tcp>(deadlines, "Request", |client, _| slow::trickle(client))?;
    ends::<UnixStream>(deadlines, "Request", |client, _| slow::trickle(client))
}

fn a_trickle_is_ended_by_the_rate() -> Result {
    let deadlines = Deadlines::new().idle(AMPLE).request(AMPLE).min_rate(1 << 20, SHORT);
    ends::<Tcp>(deadlines, "Rate", |client, _| slow::trickle(client))
}

fn a_silence_is_ended() -> Result {
    let deadlines = Deadlines::new().first_byte(SHORT).idle(SHORT);
    ends::<Tcp>(deadlines, "FirstByte", |client, _| slow::listen(client))?;
    ends::<Tcp>(deadlines, "Idle", |client, _| {
        client.write_all(b"half a line")?;
        slow::listen(client)
    })
}

fn a_peer_that_takes_nothing_is_ended() -> Result {
    ends::<Tcp>(Deadlines::new().write(SHORT), "Write", slow::take_nothing)
}
