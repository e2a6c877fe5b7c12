//! A flood of packets.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socketserver::{Counters, Handler, Limits, Next, Server, Threading, Udp, UdpRequest};

use crate::footprint::until;
use crate::served::{LIMIT, Served, Tested};
use crate::trials::{Need, trial};
use crate::{role, signals, subject};

const PACKETS: u64 = 1_000_000;
/// So many are handled at a time.
const ROOM: usize = 64;
/// How much more may be resident during the flood, in KiB: the stacks of the threads, and a packet's
/// buffer for each.
const GROWTH: u64 = 32 * 1024;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_million_packets", &[Need::Ours], million)]
}

/// Sends each packet back.
struct Back;

impl Handler<UdpRequest> for Back {
    fn handle(&self, packet: &mut UdpRequest) -> io::Result<Next> {
        packet.reply(packet.data())?;
        Ok(Next::Done)
    }
}

/// The part of a server that is flooded; stopped by SIGUSR2, it says what it has counted.
pub(crate) fn flooded(_: &[String]) -> Result<(), Box<dyn Error>> {
    let counters = Counters::new()?;
    let udp = Udp::options().max_packet_size(2048).bind("127.0.0.1:0")?;
    let mut server = Server::new(udp, Threading::new(), Back)?
        .limits(Limits::new().at_once(ROOM))?
        .counters(&counters);
    signals::stop_on_usr2(server.stop_handle())?;
    println!("LISTENING {}", server.local_addr()?);
    server.serve_forever()?;
    server.close()?;
    // The other end of stdout is gone.
    eprintln!("{} {} {}", counters.accepted(), counters.finished(), counters.active());
    Ok(())
}

/// What the system has waiting for the socket at `port`, in bytes, and what it has dropped.
fn queue(port: u16) -> Tested<(u64, u64)> {
    let local = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/udp")?;
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = fields.into_iter().find(|fields| fields.get(1) == Some(&local.as_str()));
    let line = line.ok_or("the socket is not in the table")?;
    let (_, waiting) = line[4].split_once(':').ok_or("no queue")?;
    Ok((u64::from_str_radix(waiting, 16)?, line[line.len() - 1].parse()?))
}

/// Each packet has been handled or dropped by the system, which counts them; none is lost between.
fn million() -> Tested<String> {
    let server = Served::run(&mut role::command("flooded")?)?;
    let process = subject::process(&server);
    let address: SocketAddr = server.address.parse()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(address)?;
    let (before, mut most) = (process.memory("VmRSS")?, 0);
    let begun = Instant::now();
    for number in 0..PACKETS {
        client.send(&number.to_be_bytes())?;
        if number % 10_000 == 0 {
            most = most.max(process.memory("VmRSS")?);
        }
    }
    let sent = begun.elapsed();
    until("the queue is empty", LIMIT, || Ok(queue(address.port())?.0 == 0))?;
    let (_, dropped) = queue(address.port())?;
    server.signal(Signal::SIGUSR2)?;
    let (status, said) = server.end()?;
    let counts = said.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    let figures = format!(
        "{PACKETS} in {sent:.1?}: {counts:?} accepted, finished, active; {dropped} dropped by the \
         system; {} KiB more resident",
        most.saturating_sub(before)
    );
    let right = counts == [PACKETS - dropped, PACKETS - dropped, 0];
    if status.success() && right && most < before + GROWTH {
        Ok(figures)
    } else {
        Err(figures.into())
    }
}
