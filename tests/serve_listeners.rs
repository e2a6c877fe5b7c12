//! The example `serve` at several addresses, and at sockets that it was started with; by systemd's own
//! tool, where that is installed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/served.rs"]
mod served;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use served::{LIMIT, STRATEGIES, Served, Tested, connect, program};
use tempfile::TempDir;

fn once(mut connection: impl Read + Write) -> Tested {
    connection.write_all(b"one line\n")?;
    let mut all = String::new();
    connection.read_to_string(&mut all)?;
    assert_eq!(all, "one line\n");
    Ok(())
}

fn once_unix(path: &str) -> Tested {
    let connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(LIMIT))?;
    once(connection)
}

fn stops(server: Served) -> Tested {
    server.signal(Signal::SIGTERM)?;
    let (status, said) = server.end()?;
    assert!(status.success(), "{said}");
    Ok(())
}

#[test]
fn it_listens_at_each_address_in_the_order_of_the_options() -> Tested {
    for strategy in STRATEGIES {
        let options = ["--strategy", strategy, "--mode", "once", "--addr", "127.0.0.1:0"];
        let more = ["--addr", "[::1]:0", "--addr", "127.0.0.2:0"];
        let mut server = Served::start(&[&options[..], &more].concat())?;
        let others = [server.listening()??, server.listening()??];
        assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
        assert!(
            others[0].starts_with("[::1]:") && others[1].starts_with("127.0.0.2:"),
            "{others:?}"
        );
        for _ in 0..3 {
            once(connect(&server.address)?)?;
            once(connect(&others[1])?)?;
            once(connect(&others[0])?)?;
        }
        stops(server)?;
    }
    Ok(())
}

#[test]
fn so_it_does_with_paths_and_with_packets() -> Tested {
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (first, second) = (path("first"), path("second"));
    let options = ["--transport", "unix", "--mode", "once", "--addr", &first, "--addr", &second];
    let mut server = Served::start(&options)?;
    assert_eq!([server.listening()??, server.address.clone()], [second.clone(), first.clone()]);
    once_unix(&second)?;
    once_unix(&first)?;
    stops(server)?;
    assert!(dir.path().read_dir()?.next().is_none(), "a socket file is left");

    let options = ["--transport", "udp", "--addr", "127.0.0.1:0", "--addr", "127.0.0.1:0"];
    let mut server = Served::start(&options)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(LIMIT))?;
    for address in [server.listening()??, server.address.clone()] {
        client.send_to(b"who?", &address)?;
        let (length, from) = client.recv_from(&mut [0; 10])?;
        assert_eq!((length, from.to_string()), (4, address));
    }
    stops(server)
}

/// Starts it with a socket, as a service manager would.
fn started(socket: OwnedFd, options: &[&str]) -> Tested<Command> {
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&0 </dev/null; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program()?).args(options).stdin(Stdio::from(socket));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn refused(socket: OwnedFd, options: &[&str], parts: &[&str]) -> Tested {
    let output = started(socket, options)?.output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in parts {
        assert!(said.contains(part), "{said:?} has no {part:?}");
    }
    Ok(())
}

fn listener() -> std::io::Result<OwnedFd> {
    Ok(TcpListener::bind("127.0.0.1:0")?.into())
}

#[test]
fn what_does_not_go_with_sockets_that_are_passed_in_is_told() -> Tested {
    let beside = ["--addr", "127.0.0.1:0"];
    refused(listener()?, &beside, &["LISTEN_FDS", "leave --addr out"])?;
    if cfg!(feature = "activation") {
        refused(listener()?, &["--transport", "unix"], &["passed in", "not a Unix one"])
    } else {
        refused(listener()?, &[], &["--features activation"])
    }
}

/// Connects to what may not listen yet.
fn eventually(address: &str) -> Tested<TcpStream> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return connect(address),
        }
        if Instant::now() > deadline {
            return Err(format!("nobody listens at {address}").into());
        }
        thread::yield_now();
    }
}

#[test]
fn it_serves_the_sockets_that_systemd_passes_in() -> Tested {
    const TOOL: &str = "systemd-socket-activate";
    let found = Command::new(TOOL).arg("--version").stdout(Stdio::null()).status();
    if !cfg!(feature = "activation") || !found.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    for strategy in STRATEGIES {
        // It listens itself, and does not tell where: ports that are free a moment before.
        let both = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let at = both.map(|listener| listener.local_addr().unwrap().to_string());
        let mut command = Command::new(TOOL);
        command.args(["-l", &at[0], "-l", &at[1], "--fdname=one:other"]).arg(program()?);
        command.args(["--strategy", strategy, "--mode", "once"]);
        let first = at[0].clone();
        // The first who comes has it started, and is served.
        let first = thread::spawn(move || {
            eventually(&first).and_then(once).map_err(|error| error.to_string())
        });
        let mut server = Served::run(&mut command)?;
        assert_eq!([server.address.clone(), server.listening()??], at);
        first.join().expect("the first client panicked")?;
        for address in &at {
            once(connect(address)?)?;
        }
        stops(server)?;
    }
    Ok(())
}
