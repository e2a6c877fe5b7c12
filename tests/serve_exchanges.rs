//! The example `serve` over connections of many exchanges: the same bytes under every strategy,
//! whether its requests come one by one, all at once, or in pieces.

#[path = "support/served.rs"]
mod served;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::signal::Signal;
use served::{Answer, Connection, LIMIT, STRATEGIES, Served, Tested, connect};
use tempfile::TempDir;

/// The requests of one connection, and the status of each answer; 0 where there is none.
type Script = [(&'static str, u16)];

const PIPELINE: &Script = &[
    ("GET /small HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("HEAD /small HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("GET /missing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ", 405),
    (
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\n",
        405,
    ),
    ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("GET http://a/small HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("GET /../%2e%2e/large HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("GET /%2fsmall HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("\r\nGET /small HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
    ("GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1-3\r\n\r\n", 206),
    ("GET /folder HTTP/1.1\r\nHost: a\r\n\r\n", 301),
    ("GET /folder/ HTTP/1.1\r\nHost: a\r\n\r\n", 200),
];

/// How a connection ends: its last requests.
const ENDS: &[&Script] = &[
    &[],
    &[
        ("GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\n", 0),
    ],
    &[("GET /small HTTP/1.0\r\n\r\n", 200), ("GET / HTTP/1.0\r\n\r\n", 0)],
    &[("GET /large HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.0\r\n\r\n", 0)],
    &[("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\nGET / HTTP/1.0\r\n\r\n", 413)],
    &[(
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\nunasked..",
        405,
    )],
    // Two servers could see different requests in it.
    &[(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    )],
    &[("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", 400)],
    &[("GET /small HTTP/1.1\r\nHo", 400)],
];

const COMMANDS: &[u8] = b"PING\r\n*1\r\n$4\r\nping\r\n*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n*3\r\n$3\r\nSET\r\n\
$3\r\nk\0y\r\n$2\r\n41\r\n*2\r\n$3\r\nGET\r\n$3\r\nk\0y\r\n*2\r\n$4\r\nINCR\r\n$3\r\nk\0y\r\n*0\r\n\r\n\
GET none\r\nINCR new\r\nEXISTS new new none\r\nDEL new none\r\nGET new\r\nSET a b c\r\nSET a\r\n\
SET text words\r\nINCR text\r\nSET most 9223372036854775807\r\nINCR most\r\nCONFIG GET save\r\n\
COMMAND DOCS\r\nFLY\r\n";
const REPLIES: &[u8] = b"+PONG\r\n+PONG\r\n$4\r\na\r\nb\r\n+OK\r\n$2\r\n41\r\n:42\r\n$-1\r\n:1\r\n:2\r\n:1\r\n$-1\r\n\
-ERR syntax error\r\n-ERR wrong number of arguments\r\n+OK\r\n\
-ERR value is not an integer or out of range\r\n+OK\r\n\
-ERR increment or decrement would overflow\r\n*2\r\n$4\r\nsave\r\n$0\r\n\r\n*0\r\n-ERR unknown command\r\n";
const LAST_COMMANDS: &[(&[u8], &[u8])] = &[
    (b"", b""),
    (b"QUIT\r\nPING\r\n", b"+OK\r\n"),
    (b"*1\r\nPING\r\nPING\r\n", b"-ERR Protocol error: expected '$'\r\n"),
    (b"*1\r\n$4\r\nPI", b""),
];

/// How the bytes of a client come.
#[derive(Debug, Clone, Copy)]
enum Way {
    AtOnce,
    ByteByByte,
}

const WAYS: [Way; 2] = [Way::AtOnce, Way::ByteByByte];

/// A directory to serve, with nothing in it that differs from run to run.
fn site() -> Tested<TempDir> {
    let dir = TempDir::new()?;
    fs::create_dir(dir.path().join("folder"))?;
    // More than the example writes, or a client sends, at once.
    let large = "0123456789abcdef".repeat(10_000);
    for (name, text) in [("small", "a small file"), ("large", &large), ("folder/a", "")] {
        let mut file = File::create(dir.path().join(name))?;
        file.write_all(text.as_bytes())?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000))?;
    }
    Ok(dir)
}

/// A connection over either transport.
fn dial(server: &Served) -> Tested<Box<dyn Connection>> {
    if !server.address.starts_with('/') {
        let connection = connect(&server.address)?;
        // The pieces are to leave as they are.
        connection.set_nodelay(true)?;
        return Ok(Box::new(connection));
    }
    let connection = UnixStream::connect(&server.address)?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.set_write_timeout(Some(LIMIT))?;
    Ok(Box::new(connection))
}

/// Servers under every strategy, over both transports.
fn servers(dir: &TempDir, mode: &str) -> Tested<Vec<Served>> {
    let folder = dir.path().to_str().ok_or("a name")?;
    let mut servers = Vec::new();
    for strategy in STRATEGIES {
        let options = ["--quiet", "--strategy", strategy, "--mode", mode, "--dir", folder];
        servers.push(Served::start(&[&options[..], &["--addr", "127.0.0.1:0"]].concat())?);
        let socket = format!("{folder}-{mode}-{strategy}");
        let unix = [&options[..], &["--transport", "unix", "--addr", &socket]].concat();
        servers.push(Served::start(&unix)?);
    }
    Ok(servers)
}

/// All that a server has to say to a client.
fn transcript(server: &Served, requests: &[u8], way: Way) -> Tested<Vec<u8>> {
    let mut connection = dial(server)?;
    let pieces = match way {
        Way::AtOnce => requests.len().max(1),
        Way::ByteByByte => 1,
    };
    for piece in requests.chunks(pieces) {
        connection.write_all(piece)?;
    }
    // A server that has refused the last request may be gone.
    let _ = connection.end_output();
    let mut all = Vec::new();
    connection.read_to_end(&mut all)?;
    Ok(all)
}

/// The same with one date for all.
fn undated(mut bytes: Vec<u8>) -> Vec<u8> {
    const FIELD: &[u8] = b"\r\nDate: ";
    let date = httpdate::fmt_http_date(UNIX_EPOCH);
    let fields: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(FIELD))
        .map(|at| at + FIELD.len())
        .collect();
    for field in fields {
        bytes[field..field + date.len()].copy_from_slice(date.as_bytes());
    }
    bytes
}

#[test]
fn http_has_the_same_bytes_under_every_strategy() -> Tested {
    let dir = site()?;
    let servers = servers(&dir, "files")?;
    for end in ENDS {
        let script = [PIPELINE, end].concat();
        let requests: String = script.iter().map(|(request, _)| *request).collect();
        let mut first = None;
        for (server, way) in servers.iter().flat_map(|server| WAYS.map(|way| (server, way))) {
            let shown = format!("{} {way:?}: {end:?}", server.address);
            let all = undated(transcript(server, requests.as_bytes(), way)?);
            match &first {
                None => assert_answers(&all, &script)?,
                Some(first) => assert!(all == *first, "{shown}\n{}", String::from_utf8_lossy(&all)),
            }
            first.get_or_insert(all);
        }
    }
    Ok(())
}

/// The answers are those of the script, in its order, and nothing else.
fn assert_answers(mut bytes: &[u8], script: &Script) -> Tested {
    let (last, _) =
        script.iter().rposition(|(_, status)| *status > 0).map_or((0, 0), |at| (at, at));
    let ends = script.len() > PIPELINE.len();
    for (at, (request, status)) in script.iter().enumerate().filter(|(_, (_, status))| *status > 0)
    {
        let (answer, length) = Answer::first_of(bytes, request.starts_with("HEAD"))?;
        assert_eq!(answer.status, *status, "{request}");
        let connection = match answer.field("connection") {
            Some("close") => at == last && ends,
            Some("keep-alive") => request.contains("HTTP/1.0"),
            _ => !ends || at < last,
        };
        assert!(connection, "{request}: {answer:?}");
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(bytes));
    Ok(())
}

#[test]
fn commands_have_the_same_replies_under_every_strategy() -> Tested {
    let dir = site()?;
    for server in servers(&dir, "resp")? {
        for (last, reply) in LAST_COMMANDS {
            for way in WAYS {
                // What an earlier connection has left, where the connections share it.
                let commands = [b"DEL new\r\n", COMMANDS, last].concat();
                let all = transcript(&server, &commands, way)?;
                let all = all.strip_prefix(b":0\r\n").ok_or("no first reply")?;
                let wanted = [REPLIES, reply].concat();
                let shown = String::from_utf8_lossy(all);
                assert!(all == wanted, "{} {way:?}\n{shown}", server.address);
            }
        }
    }
    Ok(())
}

#[test]
fn values_are_shared_where_memory_is() -> Tested {
    // Of several processes that serve, each has a memory of its own, and any may be the one.
    for strategy in STRATEGIES.into_iter().filter(|strategy| !strategy.starts_with("pre-")) {
        let server =
            Served::start(&["--strategy", strategy, "--mode", "resp", "--addr", "127.0.0.1:0"])?;
        transcript(&server, b"SET shared by all\r\nSET shared value\r\n", Way::AtOnce)?;
        let value = transcript(&server, b"GET shared\r\n", Way::AtOnce)?;
        let forks = strategy.contains("fork");
        assert_eq!(value, if forks { &b"$-1\r\n"[..] } else { b"$5\r\nvalue\r\n" }, "{strategy}");
    }
    Ok(())
}

#[test]
fn a_store_that_is_full_says_so() -> Tested {
    let server = Served::start(&["--mode", "resp", "--addr", "127.0.0.1:0"])?;
    let value = "v".repeat(500_000);
    let set = |key: usize| format!("*3\r\n$3\r\nSET\r\n$3\r\n{key:3}\r\n$500000\r\n{value}\r\n");
    let mut connection = connect(&server.address)?;
    let mut reply = [0; 5];
    for key in 0..134 {
        connection.write_all(set(key).as_bytes())?;
        connection.read_exact(&mut reply)?;
        assert_eq!(&reply, b"+OK\r\n", "{key}");
    }
    connection.write_all(set(134).as_bytes())?;
    connection.read_exact(&mut reply)?;
    assert_eq!(&reply, b"-OOM ");
    let mut connection = connect(&server.address)?;
    connection.write_all(b"DEL   0 \r\nDEL 100\r\n")?;
    connection.read_exact(&mut [0; 8])?;
    connection.write_all(set(134).as_bytes())?;
    connection.read_exact(&mut reply)?;
    assert_eq!(&reply, b"+OK\r\n");
    Ok(())
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() -> Tested {
    for (mode, request) in [("files", PIPELINE[2].0), ("resp", "PING\r\n")] {
        for strategy in STRATEGIES {
            let server =
                Served::start(&["--strategy", strategy, "--mode", mode, "--addr", "127.0.0.1:0"])?;
            let mut idle = connect(&server.address)?;
            answered(&mut idle, request)?;
            answered(&mut idle, request)?;
            server.signal(Signal::SIGTERM)?;
            assert_eq!(server.end()?.0.code(), Some(0), "{strategy}");
            assert_eq!(idle.read_to_end(&mut Vec::new())?, 0, "{strategy}");
        }
    }
    Ok(())
}

/// Waits until some of an answer is there, and takes it.
fn answered(connection: &mut TcpStream, request: &str) -> Tested {
    connection.write_all(request.as_bytes())?;
    // A signal may come in between: of a child of another test, whose end is waited for.
    let read = loop {
        match connection.read(&mut [0; 4096]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    if read > 0 { Ok(()) } else { Err("it is closed".into()) }
}
