//! Where the requests of the example end: what is whole, what is missing from what is not, and what
//! is known to be wrong before it is whole.

#[path = "../examples/serve/files"]
mod files {
    #[allow(dead_code, reason = "the example uses the rest")]
    mod body;
    #[allow(dead_code, reason = "the example uses the rest")]
    pub(crate) mod head;
    #[allow(dead_code, reason = "the example uses the rest")]
    mod status;
}
#[path = "../examples/serve/resp/command.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod command;
#[path = "../examples/serve/whole.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod whole;

use std::io::BufRead;

use files::head::{Head, Headless};
use whole::Trouble;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// Each beginning of a whole request lacks something, and no more than the rest of it; the whole
/// lacks nothing, whatever comes behind it.
#[track_caller]
fn assert_whole(missing: fn(&[u8]) -> usize, request: &[u8]) {
    let shown = String::from_utf8_lossy(&request[..request.len().min(80)]);
    for length in 0..request.len() {
        let (lacks, rest) = (missing(&request[..length]), request.len() - length);
        assert!((1..=rest).contains(&lacks), "{shown:?}: {lacks} of {rest} at {length}");
    }
    for behind in [&b""[..], b"GET / HTTP", b"*1\r\n", b"\0"] {
        assert_eq!(missing(&[request, behind].concat()), 0, "{shown:?}");
    }
}

#[test]
fn a_request_of_http_ends_with_its_body() {
    let chunks = "3\r\nabc\r\n1f;name=\"a b\"\r\n0123456789012345678901234567890\r\n";
    let requests = [
        GET.to_owned(),
        "\r\nGET / HTTP/1.0\n\n".into(),
        post("Content-Length: 0\r\n", ""),
        post("Content-Length: 5\r\n", "01234"),
        post("Expect: a miracle\r\nContent-Length: 5\r\n", "01234"),
        chunked("0\r\n\r\n"),
        chunked("000;last\r\nA: b\r\nC: d\r\n\r\n"),
        chunked(&format!("{chunks}0\r\n\r\n")),
        // What comes behind the head is not awaited: the peer waits to be asked for it.
        post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""),
    ];
    for request in requests {
        assert_whole(files::head::missing, request.as_bytes());
    }
}

#[test]
fn what_is_missing_is_said_exactly_where_it_is_known() {
    let missing = |request: String| files::head::missing(request.as_bytes());
    assert_eq!(missing(post("Content-Length: 60000\r\n", "12345")), 59_995);
    assert_eq!(missing(chunked("")), 5);
    assert_eq!(missing(chunked("0\r\n")), 2);
    assert_eq!(missing(chunked("a\r\n01234")), 5 + 2 + 5);
    assert_eq!(missing(chunked("a\r\n0123456789\r")), 1 + 5);

    let missing = |command: &str| command::missing(command.as_bytes());
    assert_eq!(missing("*"), 3);
    assert_eq!(missing("*2\r\n"), 12);
    assert_eq!(missing("*2\r\n$4\r\nECHO\r\n$400\r\nx"), 401);
    assert_eq!(missing("PING"), 1);
}

#[test]
fn what_is_wrong_is_not_waited_for() {
    let status = |request: &str| match Head::read(&mut request.as_bytes()) {
        Err(Headless::Refused(status)) => status.code,
        Ok(_) => 200,
        Err(Headless::Silent | Headless::Broken(_)) => 0,
    };
    let smuggled = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n";
    let too_long = "x".repeat(70_000);
    let cases = [
        (post("Content-Length: 4\r\nContent-Length: 5\r\n", ""), 400),
        (post("Content-Length: 4\r\nContent-Length: 4\r\n", ""), 400),
        (post("Content-Length: 4, 4\r\n", ""), 400),
        (post("Content-Length: +4\r\n", ""), 400),
        (post("Content-Length: \r\n", ""), 400),
        (post("Content-Length: 4x\r\n", ""), 400),
        (post("Content-Length: 65537\r\n", ""), 413),
        (post("Content-Length: 99999999999999999999999\r\n", ""), 413),
        (post(smuggled, ""), 400),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), 400),
        (post("Transfer-Encoding: chunked, chunked\r\n", ""), 400),
        (post("Transfer-Encoding: chunked, gzip\r\n", ""), 400),
        (post("Transfer-Encoding: xchunked\r\n", ""), 400),
        (post("Transfer-Encoding: gzip, chunked\r\n", ""), 501),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400),
        (chunked("\r\n"), 400),
        (chunked(" 5\r\n"), 400),
        (chunked("-1\r\n"), 400),
        (chunked("0x5\r\n"), 400),
        (chunked("5\n"), 400),
        (chunked("5;a\nb"), 400),
        (chunked("1\r\nabc"), 400),
        (chunked("0\r\nA: b\n"), 400),
        (chunked("10000\r\n"), 413),
        (chunked("fffffffffffffff\r\n"), 413),
        (chunked("fffffffffffffffff\r\n"), 400),
        (chunked(&format!("1;{too_long}")), 413),
        (chunked(&format!("0\r\nA: {too_long}")), 413),
        (chunked(&"1\r\na\r\n".repeat(11_000)), 413),
        (format!("GET /{too_long}"), 414),
        (format!("GET / HTTP/1.1\r\nHost: {too_long}"), 431),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
    ];
    for (request, code) in cases {
        let shown = &request[..request.len().min(120)];
        assert_eq!(files::head::missing(request.as_bytes()), 0, "{shown:?}");
        assert_eq!(status(&request), code, "{shown:?}");
    }
    // One that ends where more has to come.
    assert_eq!(status(&post("Content-Length: 4\r\n", "012")), 400);
}

#[test]
fn a_request_is_taken_whole_and_no_more() {
    let requests =
        [GET.to_owned(), post("Content-Length: 5\r\n", "01234"), chunked("1\r\na\r\n0\r\n\r\n")];
    let all = requests.concat();
    let mut input = all.as_bytes();
    for request in &requests {
        let before = input.len();
        let head = Head::read(&mut input).ok();
        assert!(head.is_some_and(|head| head.persists() && !head.leaves_body), "{request:?}");
        assert_eq!(before - input.len(), request.len());
    }
    assert!(matches!(Head::read(&mut input), Err(Headless::Silent)));

    let mut expecting = post("Expect: 100-Continue\r\nContent-Length: 5\r\n", "01234");
    expecting.push_str(GET);
    let mut input = expecting.as_bytes();
    assert!(Head::read(&mut input).is_ok_and(|head| head.leaves_body));
    assert!(input.starts_with(b"01234"));
}

#[test]
fn a_connection_persists_by_its_version_and_its_fields() {
    let persists = |request: &str| Head::read(&mut request.as_bytes()).is_ok_and(|h| h.persists());
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: upgrade , Close\r\n", false),
        ("1.1", "Connection: upgrade\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, fields, wanted) in cases {
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(persists(&request), wanted, "{request:?}");
    }
}

#[test]
fn a_command_ends_with_its_last_word() {
    let commands = [
        "*1\r\n$4\r\nPING\r\n",
        "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n0123456789\r\n\r\n",
        "*3\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n",
        "*0\r\n",
        "*-1\r\n",
        "PING\r\n",
        "SET a b\n",
        "\r\n",
    ];
    for command in commands {
        assert_whole(command::missing, command.as_bytes());
    }
    let word = "w".repeat(100_000);
    let long = format!("*2\r\n$4\r\nECHO\r\n${}\r\n{word}\r\n", word.len());
    let mut input = long.as_bytes();
    let words = read(&mut input);
    assert_eq!(words, Ok(vec![b"ECHO".to_vec(), word.into_bytes()]));
    assert!(input.is_empty());
    assert_eq!(read(&mut &b"  set\ta  b \r\n"[..]), Ok(["set", "a", "b"].map(Vec::from).to_vec()));
}

#[test]
fn a_wrong_command_is_not_waited_for() {
    let line = "x".repeat(65_536);
    let most = format!("*1024\r\n{}", "$524288\r\n".to_owned() + &"x".repeat(524_288) + "\r\n");
    let twice = most + "$524288\r\n";
    let cases = [
        ("*1025\r\n", "invalid multibulk length"),
        ("*a\r\n", "invalid length"),
        ("*+1\r\n", "invalid length"),
        ("*\r\n", "invalid length"),
        ("*1\n", "expected a line end"),
        ("*1\r\nPING", "expected '$'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$524289\r\n", "invalid bulk length"),
        ("*1\r\n$1\r\nabc", "expected a line end behind a bulk string"),
        ("*11111111111111111111111", "too long a length"),
        (line.as_str(), "too big inline request"),
        (twice.as_str(), "too long a command"),
    ];
    for (command, what) in cases {
        let shown = &command[..command.len().min(40)];
        assert_eq!(command::missing(command.as_bytes()), 0, "{shown:?}");
        assert_eq!(read(&mut command.as_bytes()), Err(what), "{shown:?}");
    }
}

fn read(input: &mut impl BufRead) -> Result<command::Command, &'static str> {
    whole::read(input, command::parse).map_err(|trouble| match trouble {
        Trouble::Wrong(what) => what,
        _ => "no command",
    })
}
