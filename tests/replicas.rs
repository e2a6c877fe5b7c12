//! Three replicas of the example `serve` behind HAProxy, with the configuration of
//! `examples/replicas`, under a steady load: restarted one after the other, and one killed. Left out
//! where HAProxy is not installed.
#![allow(clippy::expect_used, reason = "this is a test")]

#[path = "support/haproxy.rs"]
mod haproxy;
#[path = "support/http_load.rs"]
mod http_load;
#[path = "support/served.rs"]
mod served;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;

use haproxy::HaProxy;
use http_load::{Load, Way};
use served::{Served, Tested};

const CONFIGURATION: &str = include_str!("../examples/replicas/haproxy.cfg");
/// What the configuration calls them, and a strategy for each.
const REPLICAS: [(&str, &str); 3] =
    [("one", "threading"), ("two", "selecting+thread-pool"), ("three", "pre-forking+threading")];
/// Where they are: nobody comes from these, and so has the port of one that is to be started again.
const AT: [&str; 3] = ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"];
/// Half of them with a connection for each request.
const CLIENTS: u8 = 6;
/// So many answers are waited for between two events.
const SOME: u64 = 300;

fn main() -> ExitCode {
    let lacks = !HaProxy::is_installed();
    if lacks {
        println!("haproxy is not installed: the replicas are left out");
    }
    let trials = [("a_rolling_restart_fails_nobody", restart as fn() -> Tested), ("a_kill", kill)];
    let trial = |(name, run): (&'static str, fn() -> Tested)| {
        let run = move || run().map_err(|error| Failed::from(error.to_string()));
        Trial::test(name, run).with_ignored_flag(lacks)
    };
    libtest_mimic::run(&Arguments::from_args(), trials.map(trial).into()).exit_code()
}

/// HAProxy, the replicas behind it, and the clients before it.
struct Scene {
    replicas: [(String, Served); 3],
    load: Load,
    _proxy: HaProxy,
}

fn replica(address: &str, strategy: &str) -> Tested<Served> {
    let more = ["--ready", "/ready", "--whoami", "/whoami", "--grace", "1", "--quiet"];
    let options = ["--addr", address, "--strategy", strategy, "--proxy-from", "127.0.0.1"];
    Served::start(&[&options[..], &more].concat())
}

impl Scene {
    fn set() -> Tested<Self> {
        let start = |number: usize| -> Tested<(String, Served)> {
            // One that the system chooses could not be had again: SO_REUSEADDR is not set for it.
            let address = TcpListener::bind(AT[number])?.local_addr()?.to_string();
            let served = replica(&address, REPLICAS[number].1)?;
            Ok((address, served))
        };
        let replicas = [start(0)?, start(1)?, start(2)?];
        let [one, two, three] = [&replicas[0].0, &replicas[1].0, &replicas[2].0];
        let variables = [("REPLICA_1", &**one), ("REPLICA_2", two), ("REPLICA_3", three)];
        let proxy = HaProxy::start(CONFIGURATION, &variables)?;
        let way = |number: u8| {
            let (to, from) = match number % 3 {
                0 => {
                    (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]))
                }
                _ => (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 1, 0, number])),
            };
            let each = if number % 2 == 0 { 1 } else { 25 };
            (Way::Tcp { to: SocketAddr::new(to, proxy.port), from }, each)
        };
        let scene = Self { replicas, load: Load::begin((1..=CLIENTS).map(way)), _proxy: proxy };
        for (name, _) in REPLICAS {
            scene.load.pass_at(name, SOME / 3)?;
        }
        Ok(scene)
    }

    /// Starts a replica again, where it was, and waits until it is sent requests.
    fn start_again(&mut self, number: usize) -> Tested {
        let (name, strategy) = REPLICAS[number];
        let (address, served) = &mut self.replicas[number];
        *served = replica(address, strategy).map_err(|error| format!("{name}: {error}"))?;
        self.load.pass_at(name, SOME / 3)
    }
}

fn restart() -> Tested {
    let mut scene = Scene::set()?;
    for number in 0..REPLICAS.len() {
        scene.load.pass(SOME)?;
        let served = &scene.replicas[number].1;
        served.signal(Signal::SIGTERM)?;
        served.says("serve: stopped")?;
        scene.start_again(number)?;
    }
    scene.load.pass(SOME)?;
    let counts = scene.load.end()?;
    println!("three replicas, each restarted: {counts}");
    assert!(counts.failed.is_empty(), "{:?}", counts.failed);
    assert!(counts.wrong.is_empty(), "{:?}", counts.wrong);
    Ok(())
}

fn kill() -> Tested {
    let mut scene = Scene::set()?;
    for (number, (name, _)) in REPLICAS.into_iter().enumerate() {
        scene.load.pass(SOME)?;
        let before = scene.load.look(|counts| counts.failed.len());
        assert!(number > 0 || before == 0, "before the first");
        scene.replicas[number].1.signal(Signal::SIGKILL)?;
        scene.load.pass(SOME)?;
        scene.start_again(number)?;
        let failed = scene.load.look(|counts| counts.failed[before..].to_vec());
        // Each client has one request at a time, and so has the one that is killed of each at most.
        assert!(failed.len() <= usize::from(CLIENTS), "{failed:?}");
        let others =
            |(_, by): &&(String, Option<String>)| by.as_deref().is_some_and(|by| by != name);
        assert_eq!(failed.iter().find(others), None, "in the hands of another than {name}");
    }
    scene.load.pass(SOME)?;
    let counts = scene.load.end()?;
    println!("three replicas, each killed: {counts}: {:?}", counts.failed);
    assert!(counts.wrong.is_empty(), "{:?}", counts.wrong);
    Ok(())
}
