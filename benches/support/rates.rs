//! Throughput and processor time per request, ours and by hand in turn.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Fallible;
use super::client::{Address, Client};
use super::role::{Load, Role, Transport, Who};

/// So many clients ask at a time.
const CLIENTS: usize = 4;

/// What one run of one server gives.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_second: f64,
    /// Of the server with its threads and children, per request, in microseconds.
    pub cpu: f64,
}

/// What the rounds of a server and its twin give.
#[derive(Debug, Default)]
pub struct Rounds {
    pub ours: Vec<Rate>,
    pub twin: Vec<Rate>,
}

impl Rounds {
    /// Runs both once more, in the order that the last round did not have.
    pub fn another(&mut self, role: Role, time: Duration) -> Fallible<()> {
        let mut turns = [Who::Ours, Who::Twin];
        if self.ours.len() % 2 == 1 {
            turns.reverse();
        }
        for who in turns {
            let rates = if who == Who::Ours { &mut self.ours } else { &mut self.twin };
            rates.push(measure(Role { who, load: Load::Clients, ..role }, time)?);
        }
        Ok(())
    }

    /// The ratios within the rounds, sorted: the machine's moods are the same for both in each.
    pub fn ratios(&self, of: impl Fn(&Rate) -> f64) -> Vec<f64> {
        sorted(self.ours.iter().zip(&self.twin).map(|(ours, twin)| of(ours) / of(twin)))
    }
}

pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

fn measure(role: Role, time: Duration) -> Fallible<Rate> {
    let mut server = role.command(&[])?.stdout(Stdio::piped()).spawn()?;
    let measured = ask_and_stop(&mut server, role.transport, time);
    if measured.is_err() {
        server.kill()?;
    }
    let status = server.wait()?;
    match measured {
        Ok(rate) if status.success() => Ok(rate),
        Ok(_) => Err(format!("{role}: {status}").into()),
        Err(error) => Err(format!("{role}: {error}").into()),
    }
}

fn ask_and_stop(server: &mut Child, transport: Transport, time: Duration) -> Fallible<Rate> {
    let mut lines = BufReader::new(server.stdout.take().ok_or("no stdout")?).lines();
    let address = lines.next().ok_or("the server says no address")??;
    let address = match address.parse() {
        Ok(address) => Address::Ip(address),
        Err(_) => Address::Path(address.into()),
    };
    let began = Instant::now();
    let requests = ask(transport, &address, time)?;
    let elapsed = began.elapsed();
    kill(Pid::from_raw(i32::try_from(server.id())?), Signal::SIGTERM)?;
    let cpu: f64 = lines.next().ok_or("the server says no processor time")??.parse()?;
    Ok(Rate {
        per_second: f64::from(requests) / elapsed.as_secs_f64(),
        cpu: cpu / f64::from(requests),
    })
}

/// Has the clients ask until the time is over; returns how many answers there were.
fn ask(transport: Transport, server: &Address, time: Duration) -> Fallible<u32> {
    let directory = tempfile::tempdir()?;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let own = directory.path().join(number.to_string());
            let client = Client::new(transport, server, &own)?;
            let over = Arc::clone(&over);
            Ok(thread::spawn(move || until(client, &over)))
        })
        .collect::<Fallible<_>>()?;
    thread::sleep(time);
    over.store(true, Ordering::SeqCst);
    let mut requests = 0;
    for client in clients {
        requests += client.join().map_err(|_| "a client panicked")??;
    }
    Ok(requests)
}

fn until(mut client: Client, over: &AtomicBool) -> std::io::Result<u32> {
    let mut requests = 0;
    while !over.load(Ordering::SeqCst) {
        client.send()?;
        client.receive()?;
        requests += 1;
    }
    Ok(requests)
}
