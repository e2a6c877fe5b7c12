//! Upgrades of the example `serve` by hand-over, under a steady load.
#![allow(clippy::expect_used, reason = "this is a test")]

#[path = "support/http_load.rs"]
mod http_load;
#[path = "support/served.rs"]
mod served;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use nix::sys::signal::Signal;

use http_load::{Load, Way};
use served::{STRATEGIES, Served, Tested};

/// How often a process follows another, and how many answers are waited for before each.
const TIMES: usize = 2;
const SOME: u64 = 100;

/// A server that others follow, all with these options.
struct Line {
    options: Vec<String>,
    now: Served,
}

impl Line {
    fn begin(dir: &Path, more: &[&str]) -> Tested<Self> {
        let meeting = dir.join("meeting");
        let meeting = meeting.to_str().ok_or("a name")?;
        let options = ["--hand-over", meeting, "--grace", "0.5", "--whoami", "/whoami", "--quiet"];
        let options: Vec<_> = options.iter().chain(more).map(ToString::to_string).collect();
        let now = Served::start(&options)?;
        Ok(Self { options, now })
    }

    /// Has another process take over; the one before finishes what it has, and ends.
    fn follow(&mut self) -> Tested {
        let next = Served::start(&self.options)?;
        assert_eq!(next.address, self.now.address);
        let before = std::mem::replace(&mut self.now, next);
        let (status, said) = before.end()?;
        assert!(status.success(), "{said}");
        assert!(said.contains("another process has taken over"), "{said}");
        Ok(())
    }

    /// As many as there are to be, under a load of these clients; nobody is to be lost.
    fn follow_under(&mut self, way: &Way) -> Tested<http_load::Counts> {
        // Two with a connection for each request, and two that keep theirs, which the server has told
        // them they may: without a grace these are lost.
        let load = Load::begin([1, 1, 25, 25].map(|each| (way.clone(), each)));
        for _ in 0..TIMES {
            load.pass(SOME)?;
            self.follow()?;
        }
        load.pass(SOME)?;
        let counts = load.end()?;
        assert!(counts.failed.is_empty(), "{:?}", counts.failed);
        assert!(counts.wrong.is_empty(), "{:?}", counts.wrong);
        Ok(counts)
    }

    fn stop(self) -> Tested {
        self.now.signal(Signal::SIGTERM)?;
        assert!(self.now.end()?.0.success());
        Ok(())
    }
}

#[test]
fn nobody_is_lost_over_tcp() -> Tested {
    for strategy in STRATEGIES {
        let dir = tempfile::tempdir()?;
        let mut line = Line::begin(dir.path(), &["--addr", "127.0.0.1:0", "--strategy", strategy])?;
        let to: SocketAddr = line.now.address.parse()?;
        let way = Way::Tcp { to, from: IpAddr::from([127, 0, 0, 1]) };
        let counts = line.follow_under(&way).map_err(|error| format!("{strategy}: {error}"))?;
        println!("{strategy}, over TCP: {counts}");
        line.stop()?;
        assert_eq!(dir.path().read_dir()?.count(), 0, "{strategy}");
    }
    Ok(())
}

#[test]
fn nobody_is_lost_over_unix_sockets() -> Tested {
    for strategy in STRATEGIES {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("socket");
        let address = path.to_str().ok_or("a name")?;
        let options = ["--transport", "unix", "--addr", address, "--strategy", strategy];
        let mut line = Line::begin(dir.path(), &options)?;
        let way = Way::Unix(path.clone());
        let counts = line.follow_under(&way).map_err(|error| format!("{strategy}: {error}"))?;
        println!("{strategy}, over a Unix socket: {counts}");
        line.stop()?;
        assert_eq!(dir.path().read_dir()?.count(), 0, "{strategy}");
    }
    Ok(())
}

#[test]
fn who_can_not_serve_takes_nothing_over() -> Tested {
    let dir = tempfile::tempdir()?;
    let line = Line::begin(dir.path(), &["--addr", "127.0.0.1:0"])?;
    // It looks for Unix sockets where there is one for TCP.
    let mut options = line.options.clone();
    options.extend(["--transport", "unix"].map(String::from));
    let at = options.iter().position(|option| option == "127.0.0.1:0").ok_or("an address")?;
    options[at] = dir.path().join("other").to_string_lossy().into_owned();
    let error = Served::start(&options).map(drop).expect_err("it serves");
    assert!(error.to_string().contains("not a Unix one"), "{error}");
    served::get(&line.now.address, "/whoami")?;
    line.stop()
}
