//! The example `serve` at several addresses, and what does not go with sockets that it was started
//! with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/served.rs"]
mod served;

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use served::{LIMIT, STRATEGIES, Served, Tested, connect, once, program};
use tempfile::TempDir;

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
