//! The example `serve` at the command line: the twelve servers, what it says about options that
//! are wrong, and how it ends.

#[path = "support/served.rs"]
mod served;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use served::{Connection, LIMIT, STRATEGIES, Served, Tested, connect, exchange, get, program};
use tempfile::TempDir;
use wait_timeout::ChildExt;

/// Runs it to its end, with options that it should not serve with.
fn run(options: &[&str]) -> Tested<Output> {
    let mut command = Command::new(program()?);
    let mut child = command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if child.wait_timeout(LIMIT)?.is_none() {
        child.kill()?;
        child.wait()?;
        return Err(format!("{options:?}: it serves").into());
    }
    Ok(child.wait_with_output()?)
}

fn connect_unix(path: &str) -> Tested<UnixStream> {
    let connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(LIMIT))?;
    Ok(connection)
}

/// A server under each strategy, on a free port or a path in `dir`.
fn servers(transport: &str, mode: &str, dir: &TempDir) -> Tested<Vec<Served>> {
    let start = |strategy: &&str| {
        let path = dir.path().join(format!("{transport}-{strategy}-{mode}"));
        let path = path.to_string_lossy();
        let address = if transport.starts_with("unix") { &*path } else { "127.0.0.1:0" };
        Served::start(&[
            "--transport",
            transport,
            "--strategy",
            strategy,
            "--mode",
            mode,
            "--addr",
            address,
        ])
    };
    let packets = matches!(transport, "udp" | "unixgram");
    let able = |strategy: &&&str| !packets || is_for_packets(strategy);
    STRATEGIES.iter().filter(able).map(start).collect()
}

/// Whether a strategy takes packets too.
fn is_for_packets(strategy: &str) -> bool {
    !strategy.contains("selecting")
}

#[test]
fn once_sends_one_line_back_and_closes() -> Tested {
    fn once(mut connection: impl Connection) -> Tested {
        connection.write_all(b"one line\nand more")?;
        let mut all = String::new();
        connection.read_to_string(&mut all)?;
        assert_eq!(all, "one line\n");
        Ok(())
    }
    let dir = TempDir::new()?;
    for server in servers("tcp", "once", &dir)? {
        once(connect(&server.address)?)?;
        once(connect(&server.address)?)?;
    }
    for server in servers("unix", "once", &dir)? {
        once(connect_unix(&server.address)?)?;
        once(connect_unix(&server.address)?)?;
    }
    Ok(())
}

#[test]
fn echo_sends_all_back_until_the_peer_ends() -> Tested {
    fn echo(mut connection: impl Connection) -> Tested {
        let mut answer = [0; 5];
        for _ in 0..3 {
            connection.write_all(b"hello")?;
            connection.read_exact(&mut answer)?;
            assert_eq!(&answer, b"hello");
        }
        connection.end_output()?;
        assert_eq!(connection.read_to_end(&mut Vec::new())?, 0);
        Ok(())
    }
    let dir = TempDir::new()?;
    for server in servers("tcp", "echo", &dir)? {
        echo(connect(&server.address)?)?;
    }
    for server in servers("unix", "echo", &dir)? {
        echo(connect_unix(&server.address)?)?;
    }
    Ok(())
}

#[test]
fn packets_are_sent_back_in_either_mode() -> Tested {
    let dir = TempDir::new()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(LIMIT))?;
    let client_path = dir.path().join("client");
    let unix_client = UnixDatagram::bind(&client_path)?;
    unix_client.set_read_timeout(Some(LIMIT))?;
    // Longer than a default of Python's, which is cut there.
    let packet = vec![b'x'; 10_000];
    let mut answer = vec![0; 65_536];
    for mode in ["once", "echo"] {
        for server in servers("udp", mode, &dir)? {
            for packet in [&packet[..], b""] {
                client.send_to(packet, &server.address)?;
                let length = client.recv(&mut answer)?;
                assert!(answer[..length] == *packet, "{length}");
            }
        }
        for server in servers("unixgram", mode, &dir)? {
            // One that can't be answered is no trouble.
            UnixDatagram::unbound()?.send_to(b"who?", &server.address)?;
            unix_client.send_to(&packet, &server.address)?;
            let length = unix_client.recv(&mut answer)?;
            assert!(answer[..length] == packet, "{length}");
        }
    }
    Ok(())
}

#[test]
fn bufsize_is_the_longest_packet() -> Tested {
    let options = ["--transport", "udp", "--addr", "127.0.0.1:0", "--bufsize", "4"];
    let server = Served::start(&options)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(LIMIT))?;
    client.send_to(b"too long", &server.address)?;
    let mut answer = [0; 16];
    let length = client.recv(&mut answer)?;
    assert_eq!(&answer[..length], b"too ");
    Ok(())
}

#[test]
fn without_options_it_serves_the_current_directory_on_port_8000() -> Tested {
    let dir = TempDir::new()?;
    fs::write(dir.path().join("a.txt"), "here")?;
    // The port may be somebody else's; then it says so.
    match Served::run(Command::new(program()?).current_dir(&dir)) {
        Ok(server) => {
            assert_eq!(server.address, "127.0.0.1:8000");
            assert_eq!(get(&server.address, "/a.txt")?.text(), "here");
        }
        Err(error) => assert!(error.to_string().contains("127.0.0.1:8000"), "{error}"),
    }
    Ok(())
}

#[test]
fn a_wrong_option_is_told_with_what_is_right() -> Tested {
    let dir = TempDir::new()?;
    let file = dir.path().join("file");
    fs::write(&file, "")?;
    let file = file.to_str().ok_or("a name")?;
    let missing = dir.path().join("missing");
    let missing = missing.to_str().ok_or("a name")?;
    let long = format!("/tmp/{}", "x".repeat(103));
    let unix = ["--transport", "unix", "--mode", "once", "--addr"];
    let cases: [(&[&str], &[&str]); 27] = [
        (&["--port", "80"], &["--port", "--addr", "--transport", "--help"]),
        (&["-x"], &["-x", "--addr"]),
        (&["8000"], &["8000", "--addr"]),
        (&["--transport"], &["--transport"]),
        (&["--transport", "sctp"], &["sctp", "tcp, udp, unix, unixgram"]),
        (&["--strategy", "async"], &["async", "sync, threading, thread-pool, forking"]),
        (&["--mode", "chat"], &["chat", "files, once, echo, resp"]),
        (&["--transport", "udp", "--mode", "files"], &["files", "tcp", "once or echo"]),
        (&["--transport", "unixgram", "--addr", "x", "--mode", "files"], &["files", "connections"]),
        (&["--transport", "udp", "--mode", "resp"], &["resp", "tcp", "once or echo"]),
        (&["--backlog", "0"], &["--backlog", "from 1"]),
        (&["--backlog", "-1"], &["--backlog", "from 1"]),
        (&["--backlog", "many"], &["many", "from 1"]),
        (&["--bufsize", "0"], &["--bufsize", "from 1"]),
        (&["--bufsize", "99999999999"], &["--bufsize", "to 67108864"]),
        (&["--workers", "0"], &["--workers", "from 1"]),
        (&["--addr", "nonsense"], &["nonsense", "127.0.0.1:8000"]),
        (&["--addr", "8000"], &["8000", "IP:PORT"]),
        (&["--addr", "127.0.0.1"], &["127.0.0.1", "IP:PORT"]),
        (&["--addr", "127.0.0.1:65536"], &["65536", "IP:PORT"]),
        (&["--addr", "::1:8000"], &["[::1]:8000"]),
        (&["--addr", "host.invalid:80"], &["host.invalid", "IP:PORT"]),
        (&["--transport", "unix"], &["--addr", "path"]),
        (&["--transport", "unix", "--addr", "127.0.0.1:0"], &["127.0.0.1:0", "path"]),
        (&[unix[0], unix[1], unix[2], unix[3], unix[4], &long], &["108 bytes", "107"]),
        (&["--dir", missing], &[missing, "No such file"]),
        (&["--dir", file], &[file, "not a directory"]),
    ];
    for (options, parts) in cases {
        let output = run(options)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert!(output.stdout.is_empty(), "{options:?}");
        assert_eq!(said.lines().count(), 1, "{options:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{options:?}: {said:?} has no {part:?}");
        }
    }
    Ok(())
}

#[test]
fn help_has_every_option() -> Tested {
    for help in ["--help", "-h"] {
        let output = run(&["--strategy", "forking", help])?;
        assert!(output.status.success() && output.stderr.is_empty());
        let text = String::from_utf8(output.stdout)?;
        for option in [
            "transport",
            "strategy",
            "mode",
            "addr",
            "backlog",
            "bufsize",
            "workers",
            "dir",
            "quiet",
            "help",
        ] {
            assert!(text.contains(&format!("--{option}")), "{option}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
    Ok(())
}

#[test]
fn an_address_in_use_is_named() -> Tested {
    let dir = TempDir::new()?;
    let path = dir.path().join("socket");
    let path = path.to_str().ok_or("a name")?;
    let unix = Served::start(&["--transport", "unix", "--addr", path])?;
    let tcp = Served::start(&["--addr", "127.0.0.1:0"])?;
    for options in [&["--addr", &tcp.address][..], &["--transport", "unix", "--addr", path]] {
        let output = run(options)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(options[options.len() - 1]) && said.contains("in use"), "{said}");
    }
    assert_eq!(unix.address, path);
    Ok(())
}

/// Whether what is in flight is waited for when serving has ended, and not before.
fn is_waited_for(strategy: &str) -> bool {
    strategy != "sync" && !strategy.contains("selecting")
}

#[test]
fn a_signal_finishes_what_is_in_flight() -> Tested {
    let dir = TempDir::new()?;
    let signals = [Signal::SIGTERM, Signal::SIGINT].into_iter().cycle();
    for (strategy, signal) in STRATEGIES.into_iter().zip(signals) {
        let path = dir.path().join(strategy);
        let server = Served::start(&[
            "--transport",
            "unix",
            "--mode",
            "echo",
            "--strategy",
            strategy,
            "--addr",
            path.to_str().ok_or("a name")?,
        ])?;
        let mut peer = connect_unix(&server.address)?;
        let mut answer = [0; 5];
        peer.write_all(b"first")?;
        peer.read_exact(&mut answer)?;
        server.signal(signal)?;
        if is_waited_for(strategy) {
            // The loop has heard it, and the request goes on.
            server.says("finishing")?;
        }
        if strategy.contains("selecting") {
            // Between two exchanges nothing is in flight.
            assert_eq!(peer.read_to_end(&mut Vec::new())?, 0);
        } else {
            peer.write_all(b"after")?;
            peer.read_exact(&mut answer)?;
            assert_eq!(&answer, b"after", "{strategy}");
        }
        drop(peer);
        let (status, said) = server.end()?;
        assert_eq!(status.code(), Some(0), "{strategy}: {said}");
        assert!(said.contains("requests taken and finished: 1"), "{strategy}: {said}");
        assert!(!path.exists(), "{strategy}");
    }
    Ok(())
}

#[test]
fn a_download_in_flight_arrives_whole() -> Tested {
    let dir = TempDir::new()?;
    // More than the sockets' buffers hold, so the server is in the middle of it.
    let text = "0123456789abcdef".repeat(2_000_000);
    fs::write(dir.path().join("big"), &text)?;
    let folder = dir.path().to_str().ok_or("a name")?;
    for strategy in STRATEGIES {
        let server =
            Served::start(&["--addr", "127.0.0.1:0", "--dir", folder, "--strategy", strategy])?;
        let mut peer = BufReader::new(connect(&server.address)?);
        peer.get_mut().write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        assert!(peer.fill_buf()?.starts_with(b"HTTP/1.1 200"));
        server.signal(Signal::SIGTERM)?;
        if is_waited_for(strategy) {
            server.says("finishing")?;
            // The listener goes before the wait for what is in flight begins; a connection that
            // came just before is reset.
            let until = Instant::now() + LIMIT;
            while TcpStream::connect(&server.address).is_ok() {
                assert!(Instant::now() < until, "{strategy}: it still takes connections");
            }
        }
        let mut all = Vec::new();
        peer.read_to_end(&mut all)?;
        assert!(served::Answer::parse(&all)?.body == text.as_bytes(), "{strategy}");
        assert_eq!(server.end()?.0.code(), Some(0), "{strategy}");
    }
    Ok(())
}

#[test]
fn a_silent_connection_does_not_hold_up_the_end() -> Tested {
    for strategy in STRATEGIES {
        let server = Served::start(&["--addr", "127.0.0.1:0", "--strategy", strategy])?;
        // Browsers open such. The other one shows that it has been accepted.
        let _silent = connect(&server.address)?;
        if strategy != "sync" {
            get(&server.address, "/")?;
        }
        server.signal(Signal::SIGTERM)?;
        assert_eq!(server.end()?.0.code(), Some(0), "{strategy}");
    }
    Ok(())
}

#[test]
fn a_request_that_comes_with_the_signal_is_answered() -> Tested {
    for strategy in ["threading", "thread-pool", "forking", "pre-forking+threading"].repeat(3) {
        let server = Served::start(&["--addr", "127.0.0.1:0", "--strategy", strategy])?;
        let peer = connect(&server.address)?;
        get(&server.address, "/")?;
        server.signal(Signal::SIGTERM)?;
        server.says("finishing")?;
        let answer = exchange(peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        // It is the last, and says so.
        let seen = (answer.status, answer.field("connection"));
        assert_eq!(seen, (200, Some("close")), "{strategy}");
        assert_eq!(server.end()?.0.code(), Some(0), "{strategy}");
    }
    Ok(())
}

#[test]
fn a_second_signal_ends_it_at_once() -> Tested {
    let server = Served::start(&["--mode", "echo", "--addr", "127.0.0.1:0"])?;
    let mut peer = connect(&server.address)?;
    peer.write_all(b"x")?;
    peer.read_exact(&mut [0])?;
    server.signal(Signal::SIGINT)?;
    server.says("finishing")?;
    server.signal(Signal::SIGTERM)?;
    assert_eq!(server.end()?.0.code(), Some(128 + Signal::SIGTERM as i32));
    Ok(())
}

#[test]
fn an_idle_server_ends_with_nothing_left() -> Tested {
    let dir = TempDir::new()?;
    for transport in ["tcp", "udp", "unix", "unixgram"] {
        for server in servers(transport, "once", &dir)? {
            server.signal(Signal::SIGTERM)?;
            let (status, said) = server.end()?;
            assert_eq!(status.code(), Some(0), "{transport}: {said}");
            assert!(
                said.ends_with("stopped; requests taken and finished: 0"),
                "{transport}: {said}"
            );
        }
    }
    assert_eq!(fs::read_dir(&dir)?.count(), 0);
    Ok(())
}

#[test]
fn forking_stays_a_process_with_one_thread() -> Tested {
    let server = Served::start(&["--addr", "127.0.0.1:0", "--strategy", "forking"])?;
    get(&server.address, "/")?;
    assert_eq!(fs::read_dir(format!("/proc/{}/task", server.id()))?.count(), 1);
    Ok(())
}

#[test]
fn the_limit_of_descriptors_is_raised() -> Tested {
    let mut shell = Command::new("sh");
    let script = "ulimit -S -n 256; exec \"$0\" --addr 127.0.0.1:0";
    let server = Served::run(shell.args(["-c", script]).arg(program()?))?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id()))?;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).ok_or("no line")?;
    let mut numbers = files.split_whitespace().skip(3).map(str::parse::<u64>);
    let (soft, hard) = (numbers.next().ok_or(files)??, numbers.next().ok_or(files)??);
    assert_eq!(soft, hard.min(65_536), "{files}");
    Ok(())
}

#[test]
fn the_log_has_a_line_for_each_request() -> Tested {
    let server = Served::start(&["--addr", "127.0.0.1:0", "--dir", "src"])?;
    server.says("src at http://127.0.0.1:")?;
    get(&server.address, "/lib.rs\"%1b")?;
    let line = server.says("GET")?;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.ends_with("\"GET /lib.rs\\\"%1b HTTP/1.1\" 404 181"), "{line}");
    exchange(connect(&server.address)?, b"\x1b[31m\r\n\r\n")?;
    assert!(server.says("400")?.contains("\"-\""));
    Ok(())
}
