//! Starting and stopping, over and over.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socketserver::{Server, Tcp, Threading};

use crate::net::{self, Echo};
use crate::served::{LIMIT, Tested};
use crate::trials::{Need, trial};
use crate::{footprint, role, subject};

const CYCLES: usize = 10_000;
const IDLE_STOPS: usize = 10;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ten_thousand_servers_at_one_port", &[Need::Ours], ten_thousand),
        trial("a_stop_of_an_idle_server", &[], stop_when_idle),
    ]
}

/// One server after the other at the same port, each serving one client.
pub(crate) fn cycles(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut before = 0;
    for cycle in 0..CYCLES {
        let tcp = Tcp::options().allow_reuse_address(true).bind(address)?;
        let server = Server::new(tcp, Threading::new(), Echo)?.spawn()?;
        address = server.local_addr()?;
        if cycle % 10 == 0 {
            use net::Reach;
            if Tcp::ask(&address, std::path::Path::new("/"), b"line\n")? != b"line\n" {
                return Err("the answer is wrong".into());
            }
        }
        let asked = Instant::now();
        server.close()?;
        slowest = slowest.max(asked.elapsed());
        if cycle == 0 {
            before = fs::read_dir("/proc/self/fd")?.count();
        }
    }
    let own = footprint::Process(std::process::id());
    footprint::until("one thread is left", LIMIT, || Ok(own.threads()? == 1))?;
    if own.descriptors()? != before {
        return Err(format!("{} descriptors, {before} before", own.descriptors()?).into());
    }
    println!("{:.1?}, the slowest stop and close {slowest:.1?}, nothing left", begun.elapsed());
    Ok(())
}

fn ten_thousand() -> Tested<String> {
    let output = role::command("cycles")?.output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(
            format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    Ok(format!("{CYCLES} cycles in {said}"))
}

/// From the signal to the end of the process.
fn stop_when_idle() -> Tested<String> {
    let mut all = Vec::new();
    for _ in 0..IDLE_STOPS {
        let server = subject::start(&[], "threading", "once")?;
        subject::ask(&server.address)?;
        let asked = Instant::now();
        server.signal(Signal::SIGTERM)?;
        let (status, said) = server.end()?;
        if !status.success() {
            return Err(format!("{status}: {said}").into());
        }
        all.push(asked.elapsed());
    }
    all.sort();
    Ok(format!("median {:.1?}, slowest {:.1?}", all[all.len() / 2], all[all.len() - 1]))
}
