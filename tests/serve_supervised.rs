//! The example `serve` under systemd's own `systemd-socket-activate`, and what it tells a service
//! manager: on a socket that the test listens at. Left out where the tool is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/served.rs"]
mod served;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;
use served::{LIMIT, STRATEGIES, Served, Tested, connect, once, program};

const TOOL: &str = "systemd-socket-activate";

fn main() -> ExitCode {
    let found = Command::new(TOOL).arg("--version").stdout(Stdio::null()).status();
    let lacks = !found.is_ok_and(|status| status.success());
    if lacks {
        println!("{TOOL} is not installed (it is in Debian's systemd): its tests are left out");
    }
    let mut trials = Vec::new();
    for (strategy, last) in STRATEGIES.into_iter().zip(1..) {
        let own = Ipv4Addr::new(127, 0, 1, last);
        trials.push(trial(format!("tcp_{strategy}"), move || over_tcp(strategy, own)));
        trials.push(trial(format!("unix_{strategy}"), move || over_unix(strategy)));
    }
    let mut trials: Vec<_> = trials.into_iter().map(|one| one.with_ignored_flag(lacks)).collect();
    trials.push(trial("who_takes_over_is_the_main_process".into(), taken_over));
    trials.push(trial("who_hears_nothing_is_served_all_the_same".into(), unheard));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, run: impl FnOnce() -> Tested + Send + 'static) -> Trial {
    Trial::test(name, || run().map_err(|error| Failed::from(error.to_string())))
}

/// A service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Tested<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Self(socket))
    }

    fn hears(&self, wanted: &str) -> Tested {
        let mut said = [0; 200];
        let length = self.0.recv(&mut said)?;
        assert_eq!(std::str::from_utf8(&said[..length])?, wanted);
        Ok(())
    }

    /// The life of a process, from here on.
    fn hears_the_life_of(&self, server: Served) -> Tested {
        self.hears(&ready(&server))?;
        server.signal(Signal::SIGTERM)?;
        let (status, said) = server.end()?;
        assert!(status.success(), "{said}");
        self.hears("STOPPING=1")
    }
}

fn ready(server: &Served) -> String {
    format!("MAINPID={}\nREADY=1", server.id())
}

/// Connects to what may not listen yet.
fn eventually<C>(mut connect: impl FnMut() -> std::io::Result<C>) -> Tested<C> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match connect() {
            Err(error)
                if Instant::now() < deadline
                    && matches!(
                        error.kind(),
                        ErrorKind::ConnectionRefused | ErrorKind::NotFound
                    ) => {}
            other => return Ok(other?),
        }
        thread::yield_now();
    }
}

/// The tool with its sockets, which starts the server when the first client comes; that one is served.
fn activated(
    sockets: &[&str],
    options: &[&str],
    notify: &Path,
    first: impl FnOnce() -> Tested + Send + 'static,
) -> Tested<Served> {
    let mut command = Command::new(TOOL);
    for socket in sockets {
        command.arg("-l").arg(socket);
    }
    let names: Vec<String> = (0..sockets.len()).map(|number| format!("name{number}")).collect();
    command.arg(format!("--fdname={}", names.join(":")));
    // It passes on nothing of its own environment that is not named.
    command.arg("-E").arg(format!("NOTIFY_SOCKET={}", notify.display()));
    command.arg(program()?).args(["--mode", "once"]).args(options);
    let first = thread::spawn(move || first().map_err(|error| error.to_string()));
    let server = Served::run(&mut command)?;
    first.join().expect("the first client panicked")?;
    Ok(server)
}

/// At an address of its `own`: a port that is free there stays so, whatever else runs.
fn over_tcp(strategy: &str, own: Ipv4Addr) -> Tested {
    let dir = tempfile::tempdir()?;
    let notify = dir.path().join("notify");
    let manager = Manager::at(&notify)?;
    // It listens itself, and does not tell where: ports that are free a moment before.
    let both = [TcpListener::bind((own, 0))?, TcpListener::bind((own, 0))?];
    let at = both.map(|listener| listener.local_addr().unwrap().to_string());
    let first = at[0].clone();
    let first = move || once(eventually(|| TcpStream::connect(&first))?);
    let mut server = activated(&[&at[0], &at[1]], &["--strategy", strategy], &notify, first)?;
    assert_eq!([server.address.clone(), server.listening()??], at);
    for address in &at {
        once(connect(address)?)?;
    }
    manager.hears_the_life_of(server)
}

fn over_unix(strategy: &str) -> Tested {
    let dir = tempfile::tempdir()?;
    let (notify, path) = (dir.path().join("notify"), dir.path().join("socket"));
    let manager = Manager::at(&notify)?;
    let first = path.clone();
    let first = move || once(eventually(|| UnixStream::connect(&first))?);
    let options = ["--transport", "unix", "--strategy", strategy];
    let at = path.to_str().ok_or("a name")?;
    let server = activated(&[at], &options, &notify, first)?;
    assert_eq!(server.address, at);
    once(UnixStream::connect(&path)?)?;
    manager.hears_the_life_of(server)?;
    assert!(path.exists(), "the file is the service manager's");
    Ok(())
}

fn supervised(notify: &Path, dir: &Path) -> Tested<Served> {
    let mut command = Command::new(program()?);
    command.args(["--addr", "127.0.0.1:0", "--hand-over"]).arg(dir.join("meeting"));
    Served::run(command.env("NOTIFY_SOCKET", notify))
}

/// Its end is that of the service; the one before says nothing more.
fn taken_over() -> Tested {
    let dir = tempfile::tempdir()?;
    let notify = dir.path().join("notify");
    let manager = Manager::at(&notify)?;
    let before = supervised(&notify, dir.path())?;
    manager.hears(&ready(&before))?;
    let next = supervised(&notify, dir.path())?;
    assert!(before.end()?.0.success());
    manager.hears_the_life_of(next)
}

fn unheard() -> Tested {
    let dir = tempfile::tempdir()?;
    let server = supervised(&dir.path().join("nobody"), dir.path())?;
    server.says("can't be told")?;
    served::get(&server.address, "/")?;
    server.signal(Signal::SIGTERM)?;
    assert!(server.end()?.0.success());
    Ok(())
}
