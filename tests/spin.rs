//! Looking again and again instead of sleeping, where that is asked for.

mod support;

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use socketserver::{
    Deadlines, Handler, Next, Outcome, Server, Sync as OneByOne, Tcp, TcpRequest, Udp,
};
use support::net::{PATIENCE, all, connect};
use support::time::let_pass;
use support::watchdog::without_hanging;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const SPIN: Duration = Duration::from_millis(10);
/// Less than a spin takes of a processor that others want too, and far more than a sleep does.
const BUSY: i64 = 1000;

/// The processor time of this thread, in microseconds.
fn spent() -> io::Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

/// Reads one byte, echoes it, and tells what that has cost.
struct Costs(Sender<i64>);

impl Handler<TcpRequest> for Costs {
    fn handle(&self, conn: &mut TcpRequest) -> io::Result<Next> {
        let mut byte = [0];
        let before = spent()?;
        let read = conn.read_exact(&mut byte);
        self.0.send(spent()? - before).map_err(io::Error::other)?;
        read?;
        conn.write_all(&byte)?;
        Ok(Next::Done)
    }
}

#[test]
fn a_read_that_finds_nothing_spins_for_its_time_and_then_sleeps() -> Result {
    let (tell, told) = channel();
    let tcp = Tcp::options().spin(SPIN).bind("127.0.0.1:0")?;
    let running = Server::new(tcp, OneByOne, Costs(tell))?.spawn()?;
    for pause in [Duration::ZERO, SPIN * 5] {
        let mut client = connect(running.local_addr()?)?;
        let_pass(pause);
        client.write_all(b"x")?;
        assert_eq!(all(&client)?, b"x");
    }
    let costs = [told.recv_timeout(PATIENCE)?, told.recv_timeout(PATIENCE)?];
    assert!(costs[1] >= BUSY, "{costs:?} µs");
    running.close()?;
    Ok(())
}

#[test]
fn a_deadline_ends_what_has_spun() -> Result {
    let (tell, told) = channel();
    let tcp = Tcp::options().spin(SPIN).bind("127.0.0.1:0")?;
    let handler = Deadlines::new().first_byte(SPIN * 3).guard(Costs(tell))?;
    let running = Server::new(tcp, OneByOne, handler)?.spawn()?;
    let silent = connect(running.local_addr()?)?;
    assert_eq!(all(&silent)?, b"");
    assert!(told.recv_timeout(PATIENCE)? >= BUSY);
    running.close()?;
    Ok(())
}

#[test]
fn a_look_for_a_packet_spins_and_finds_what_comes() -> Result {
    let udp = Udp::options().spin(SPIN).bind("127.0.0.1:0")?;
    let mut server = Server::new_fn(udp, OneByOne, |packet| packet.reply(packet.data()))?;
    let before = spent()?;
    assert_eq!(server.handle_request_timeout(SPIN * 3)?, Outcome::TimedOut);
    assert!(spent()? - before >= BUSY);

    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server.local_addr()?)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.send(b"x")?;
    assert_eq!(server.handle_request()?, Outcome::Handled);
    assert_eq!(client.recv(&mut [0; 2])?, 1);

    let running = server.spawn()?;
    without_hanging(|| running.close())??;
    Ok(())
}

#[test]
fn a_spin_that_would_hold_up_a_stop_is_refused() {
    let refused = Tcp::options().spin(SPIN * 2).bind("127.0.0.1:0");
    assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(ErrorKind::InvalidInput));
}
