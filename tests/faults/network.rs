//! Networks that lose, that cut off, and that have more than one address; each in namespaces of its
//! own (ip-netns(8)).

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sched::{CloneFlags, setns};

use crate::footprint::until;
use crate::role;
use crate::served::{LIMIT, Served, Tested, connect};
use crate::subject::{self, Fate, Held};
use crate::trials::{FIREWALL, NAMESPACE, Need, SS, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let wire = [NAMESPACE, FIREWALL, Need::Ours];
    vec![
        trial("connections_where_packets_are_lost", &wire, connections_where_packets_are_lost),
        trial("packets_where_packets_are_lost", &wire, packets_where_packets_are_lost),
        trial("a_peer_that_the_network_has_cut_off", &wire, cut_off),
        trial("a_connection_that_the_system_destroys", &[SS], destroyed),
        trial("second_addresses_answer_for_themselves", &wire, second_addresses),
    ]
}

/// A namespace with a server's addresses and one with a client's, and a wire between them.
struct Wire {
    server: String,
    client: String,
}

/// Of the blocks for documentation: RFC 5737, RFC 3849.
const SERVER: [&str; 4] = ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64"];
const CLIENT: [&str; 2] = ["192.0.2.10/24", "2001:db8::10/64"];

impl Wire {
    fn new(tag: &str) -> Tested<Self> {
        let name = |side| format!("{side}{tag}{}", process::id());
        let wire = Self { server: name("s"), client: name("c") };
        let (server, client) = (&wire.server, &wire.client);
        run(&format!("ip netns add {server}"))?;
        run(&format!("ip netns add {client}"))?;
        run(&format!("ip link add veth0 netns {server} type veth peer name veth0 netns {client}"))?;
        for (side, addresses) in [(server, &SERVER[..]), (client, &CLIENT[..])] {
            for address in addresses {
                // An address that is looked for elsewhere first can't be bound meanwhile.
                let early = if address.contains(':') { "nodad" } else { "" };
                run(&format!("ip -n {side} address add {address} dev veth0 {early}"))?;
            }
            run(&format!("ip -n {side} link set veth0 up"))?;
            run(&format!("ip -n {side} link set lo up"))?;
        }
        Ok(wire)
    }

    /// Has the server's side do `rule` to each packet that comes.
    fn firewall(&self, rule: &str) -> Tested {
        let nft = format!("ip netns exec {} nft add", self.server);
        run(&format!("{nft} table inet faults"))?;
        run(&format!("{nft} chain inet faults in {{ type filter hook input priority 0 ; }}"))?;
        run(&format!("{nft} rule inet faults in {rule}"))
    }

    /// Loses three of ten packets on their way to the server, and slows all down.
    fn lose(&self) -> Tested {
        self.firewall("numgen random mod 100 lt 30 drop")?;
        for side in [&self.server, &self.client] {
            let bucket = "root tbf rate 1mbit burst 8kb latency 400ms";
            run(&format!("ip netns exec {side} tc qdisc add dev veth0 {bucket}"))?;
        }
        Ok(())
    }

    /// The example where the server is.
    fn serve(&self, options: &[&str]) -> Tested<Served> {
        self.at_server(Command::new(crate::served::program()?).args(options))
    }

    fn at_server(&self, server: &Command) -> Tested<Served> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.server]).arg(server.get_program());
        command.args(server.get_args());
        command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Served::run(&mut command)
    }

    /// Does `what` where the client is; sockets stay in the namespace that they are made in.
    fn at_client<V: Send>(&self, what: impl FnOnce() -> Tested<V> + Send) -> Result<V, String> {
        let there = File::open(format!("/run/netns/{}", self.client)).map_err(|e| e.to_string())?;
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                setns(there, CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string())?;
                what().map_err(|error| error.to_string())
            });
            there.join().unwrap_or_else(|_| Err("the client panicked".into()))
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for side in [&self.server, &self.client] {
            // It may not have come to be.
            let _ = run(&format!("ip netns delete {side}"));
        }
    }
}

/// Runs a command without quotes.
fn run(line: &str) -> Tested {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().ok_or("no command")?).args(words).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn connections_where_packets_are_lost() -> Tested<String> {
    const CLIENTS: usize = 8;
    const BYTES: usize = 16 * 1024;
    let wire = Wire::new("tcp")?;
    let server = wire.serve(&["--mode", "echo", "--addr", "192.0.2.1:0"])?;
    wire.lose()?;
    let begun = Instant::now();
    let client = |number: usize| -> Tested {
        let sent: Vec<u8> = (0..BYTES).map(|at| (at * 7 + number) as u8).collect();
        let mut connection = connect(&server.address)?;
        connection.set_read_timeout(Some(3 * LIMIT))?;
        connection.write_all(&sent)?;
        connection.shutdown(Shutdown::Write)?;
        let mut echo = Vec::new();
        connection.read_to_end(&mut echo)?;
        if echo == sent { Ok(()) } else { Err("the echo is another".into()) }
    };
    thread::scope(|scope| {
        let (client, wire) = (&client, &wire);
        let one = |number| scope.spawn(move || wire.at_client(|| client(number)));
        let all: Vec<_> = (0..CLIENTS).map(one).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err("panic".into())))
    })?;
    Ok(format!("{CLIENTS} times {BYTES} bytes there and back whole, in {:.1?}", begun.elapsed()))
}

fn packets_where_packets_are_lost() -> Tested<String> {
    const PACKETS: u32 = 500;
    let wire = Wire::new("udp")?;
    let server = wire.serve(&["--transport", "udp", "--addr", "192.0.2.1:0"])?;
    wire.lose()?;
    let back = wire.at_client(|| {
        let client = udp_client("0.0.0.0:0", &server.address)?;
        client.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut back = 0;
        for number in 0..PACKETS {
            let sent = number.to_be_bytes();
            client.send(&sent)?;
            let mut answer = [0; 16];
            match client.recv(&mut answer) {
                Ok(4) if answer[..4] == sent => back += 1,
                Ok(_) => return Err("the echo is another".into()),
                Err(_) => {}
            }
        }
        Ok(back)
    })?;
    if back < PACKETS / 4 {
        return Err(format!("only {back} of {PACKETS} came back").into());
    }
    Ok(format!("{back} of {PACKETS} came back, all right, where three of ten are lost"))
}

fn udp_client(at: &str, server: &str) -> Tested<UdpSocket> {
    let client = UdpSocket::bind(at)?;
    client.connect(server)?;
    client.set_read_timeout(Some(LIMIT))?;
    Ok(client)
}

/// A peer whose packets come no more, nor its end: the server does not wait for it for ever.
fn cut_off() -> Tested<String> {
    let wire = Wire::new("cut")?;
    let server = wire.at_server(role::command("hurried")?.arg("192.0.2.1:0"))?;
    let process = subject::process(&server);
    let alone = process.in_hand()?;
    let mut peer = wire.at_client(|| connect(&server.address))?;
    peer.write_all(b"half a li")?;
    until("it is waited for", LIMIT, || Ok(process.in_hand()? > alone))?;
    wire.firewall("drop")?;
    let gone = until("the server gives up", LIMIT, || Ok(process.in_hand()? <= alone))?;
    Ok(format!("given up {gone:.2?} after the last packet, with a deadline of 3 s"))
}

/// `ss -K` makes the system close a connection under its server.
fn destroyed() -> Tested<String> {
    let server = subject::start(&[], "threading", "echo")?;
    let (mut one, mut other) = (Held::open(&server.address)?, Held::open(&server.address)?);
    if !(one.is_served()? && other.is_served()?) {
        return Err("they are not served".into());
    }
    let port = one.port()?;
    run(&format!("ss -K state established dst 127.0.0.1 dport = {port}"))?;
    let fate = one.fate(LIMIT)?;
    if fate != Fate::Closed || !other.is_served()? {
        return Err(format!("the destroyed one is {fate:?}").into());
    }
    subject::ask_held(&server.address)?;
    Ok("the connection is closed, the other and the next one are served".to_owned())
}

/// A server at the wildcard answers from the address that it was asked at: a connected client hears
/// no other.
fn second_addresses() -> Tested<String> {
    let wire = Wire::new("two")?;
    let mut heard = Vec::new();
    for (any, mine, all) in [
        ("0.0.0.0:0", "0.0.0.0:0", ["192.0.2.1", "192.0.2.2"]),
        ("[::]:0", "[::]:0", ["[2001:db8::1]", "[2001:db8::2]"]),
    ] {
        let server = wire.serve(&["--transport", "udp", "--addr", any])?;
        let (_, port) = server.address.rsplit_once(':').ok_or("no port")?;
        for address in all {
            wire.at_client(|| {
                let client = udp_client(mine, &format!("{address}:{port}"))?;
                client.set_read_timeout(Some(Duration::from_secs(2)))?;
                client.send(b"who")?;
                client.recv(&mut [0; 16]).map_err(|error| format!("{address}: {error}"))?;
                Ok(())
            })?;
            heard.push(address);
        }
    }
    Ok(format!("heard from {}", heard.join(", ")))
}
