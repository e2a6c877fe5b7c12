//! `Proxied` under every strategy, over sockets: who the peer is, and what becomes of those who do not
//! say it. The servers are processes of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/served.rs"]
mod served;
#[path = "support/strategies.rs"]
mod strategies;
mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use served::{Served, Tested, connect};
use socketserver::{
    Failure, Handler, Next, PeerIp, Proxied, ProxiedRequest, ReadLine, Tcp, TcpRequest, by_ip,
    from_networks, line_missing,
};
use support::{alone, proxy, role};

fn main() -> ExitCode {
    const CASES: &[alone::Case] = &[
        ("clients_have_their_own_addresses", clients_have_their_own_addresses),
        ("headers_come_byte_by_byte", headers_come_byte_by_byte),
        ("what_is_no_header_ends_its_connection_alone", what_is_no_header_ends_alone),
        ("a_proxy_that_is_silent_or_slow_is_ended_by_the_deadline", silent_proxies),
        ("the_timeout_of_a_single_read_holds_too", timeouts),
        ("a_silent_proxy_holds_up_nobody", a_silent_proxy_holds_up_nobody),
        ("others_than_proxies_are_refused", others_are_refused),
        ("others_than_proxies_are_clients_where_they_may", others_are_clients),
        ("clients_are_counted_by_their_own_addresses", clients_are_counted),
        ("clients_are_not_counted_where_nobody_can", clients_are_not_counted),
        ("deadlines_of_the_handler_begin_anew", deadlines_begin_anew),
    ];
    role::play(&[("server", server)]).unwrap_or_else(|| alone::run(CASES))
}

/// Greets, and answers a line with it, behind who the peer is.
struct Tell;

impl Handler<ProxiedRequest<TcpRequest>> for Tell {
    fn setup(&self, conn: &mut ProxiedRequest<TcpRequest>) -> io::Result<()> {
        conn.write_all(b"+")
    }

    fn handle(&self, conn: &mut ProxiedRequest<TcpRequest>) -> io::Result<Next> {
        let mut line = String::new();
        conn.read_line_bounded(&mut line, 100)?;
        assert_eq!(conn.peer().ip(), conn.peer_ip());
        assert!(conn.get_ref().peer().ip().is_loopback());
        let own = conn.peer() == conn.get_ref().peer();
        let peer = if own { "own".to_owned() } else { conn.peer().to_string() };
        write!(conn, "{peer} {line}")?;
        Ok(Next::Done)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }

    fn verify_request(&self, conn: &ProxiedRequest<TcpRequest>) -> io::Result<bool> {
        assert_eq!(conn.peer(), conn.get_ref().peer());
        Ok(true)
    }

    fn handle_error(&self, _conn: &mut ProxiedRequest<TcpRequest>, failure: &Failure) {
        eprintln!("{:?}: {failure}", failure.kind());
    }
}

/// A server by these words: its strategy, and what else it is to be.
fn server(words: &[String]) -> Tested {
    let is = |word: &str| words.iter().any(|other| other == word);
    let millis = |word: &str| {
        let time = words.iter().find_map(|other| other.strip_prefix(word));
        time.map(|time| time.parse().map(Duration::from_millis)).transpose()
    };
    let mut tcp = Tcp::options().rbufsize(if is("unbuffered") { 0 } else { 8192 });
    if let Some(timeout) = millis("timeout=")? {
        tcp = tcp.timeout(timeout);
    }
    let tcp = tcp.bind("127.0.0.1:0")?;
    let trusted = if is("stranger") { "127.0.0.2" } else { "127.0.0.0/8" };
    let mut proxied = Proxied::new(tcp, from_networks([trusted.parse()?]));
    if let Some(time) = millis("within=")? {
        proxied = proxied.within(time);
    }
    if is("direct") {
        proxied = proxied.or_direct();
    }
    if is("counted") {
        proxied = proxied.per_source(1, by_ip)?;
    }
    let strategy = words.first().ok_or("no strategy")?;
    match millis("first_byte=")? {
        None => strategies::serve(proxied, strategy, Tell, None),
        Some(time) => {
            let deadlines = socketserver::Deadlines::new().first_byte(time);
            strategies::serve(proxied, strategy, deadlines.guard(Tell)?, None)
        }
    }
}

fn start(words: &[&str]) -> Tested<Served> {
    Served::run(role::command("server")?.args(words))
}

fn say(server: &Served, bytes: &[u8]) -> Tested<TcpStream> {
    let mut client = connect(&server.address)?;
    client.write_all(bytes)?;
    Ok(client)
}

/// All that is said until the end; a reset is an end too.
fn hear(mut client: TcpStream) -> Tested<String> {
    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok(String::from_utf8(said)?),
    }
}

fn from(client: &str, rest: &str) -> Vec<u8> {
    let client: std::net::SocketAddr = client.parse().expect("an address");
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (ip, port) = (client.ip(), client.port());
    let to = if client.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0_u16; 8]) };
    format!("PROXY {family} {ip} {to} {port} 80\r\n{rest}").into_bytes()
}

fn it_serves(server: &Served) -> Tested {
    let said = hear(say(server, &from("192.0.2.9:99", "well?\n"))?)?;
    assert_eq!(said, "+192.0.2.9:99 well?\n");
    Ok(())
}

fn clients_have_their_own_addresses() -> Tested {
    for strategy in strategies::ALL {
        let server = start(&[strategy])?;
        for (header, client) in proxy::good() {
            let said = hear(say(&server, &[&header[..], b"hello\n"].concat())?)?;
            assert_eq!(said, format!("+{} hello\n", client.unwrap_or("own")), "{strategy}");
        }
    }
    Ok(())
}

fn headers_come_byte_by_byte() -> Tested {
    for strategy in strategies::ALL {
        for buffer in ["buffered", "unbuffered"] {
            let server = start(&[strategy, buffer])?;
            for (header, client) in
                proxy::good().into_iter().filter(|(header, _)| header.len() < 500)
            {
                let mut conn = connect(&server.address)?;
                conn.set_nodelay(true)?;
                for byte in [&header[..], b"hello\n"].concat() {
                    conn.write_all(&[byte])?;
                }
                assert_eq!(hear(conn)?, format!("+{} hello\n", client.unwrap_or("own")));
            }
        }
    }
    Ok(())
}

fn what_is_no_header_ends_alone() -> Tested {
    for strategy in strategies::ALL {
        let server = start(&[strategy])?;
        for (bytes, why) in proxy::bad() {
            let client = say(&server, &bytes)?;
            client.shutdown(std::net::Shutdown::Write)?;
            assert_eq!(hear(client)?, "", "{strategy}: {why}");
            server.says(match why {
                "Missing" => "Error: establishing the request: the connection does not begin",
                "Malformed" => "Error: establishing the request: the PROXY header is malformed",
                "TooLong" => "Error: establishing the request: the PROXY header is too long",
                "Checksum" => "Error: establishing the request: the checksum of the PROXY header",
                _ => "PeerGone: establishing the request: unexpected end of file",
            })?;
        }
        it_serves(&server)?;
    }
    Ok(())
}

fn silent_proxies() -> Tested {
    const PASSED: &str =
        "TimedOut: establishing the request: timed out: the peer took too long before";
    for strategy in strategies::ALL {
        let server = start(&[strategy, "within=200"])?;
        for part in [&b""[..], b"PROXY TCP4 192.0.2", &proxy::SIGNATURE[..3]] {
            assert_eq!(hear(say(&server, part)?)?, "", "{strategy}");
            server.says(PASSED)?;
        }
        // A byte now and then is no excuse.
        let mut slow = say(&server, b"PROXY UNKNOWN ")?;
        slow.set_read_timeout(Some(Duration::from_millis(20)))?;
        let ends = |slow: &mut TcpStream| match slow.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            ended => ended.map_or(true, |count| count == 0),
        };
        let trickled = (0..80).take_while(|_| !ends(&mut slow) && slow.write_all(b"x").is_ok());
        assert!(trickled.count() < 80, "{strategy}");
        server.says(PASSED)?;
    }
    Ok(())
}

fn timeouts() -> Tested {
    for strategy in strategies::ALL {
        let server = start(&[strategy, "timeout=50", "within=60000"])?;
        assert_eq!(hear(say(&server, b"PROXY ")?)?, "", "{strategy}");
        server.says("TimedOut: establishing the request: timed out")?;
    }
    Ok(())
}

fn a_silent_proxy_holds_up_nobody() -> Tested {
    for strategy in strategies::AT_ONCE {
        let server = start(&[strategy, "within=60000"])?;
        let mut silent = say(&server, b"")?;
        let mut half = say(&server, b"PROXY TCP4 192.0.2.1 192.0.2.2 1")?;
        it_serves(&server)?;
        silent.write_all(&from("192.0.2.3:3", "now\n"))?;
        half.write_all(b" 80\r\nnow\n")?;
        assert_eq!(hear(silent)?, "+192.0.2.3:3 now\n", "{strategy}");
        assert_eq!(hear(half)?, "+192.0.2.1:1 now\n", "{strategy}");
    }
    Ok(())
}

fn others_are_refused() -> Tested {
    for strategy in strategies::ALL {
        let server = start(&[strategy, "stranger"])?;
        let said = hear(say(&server, &from("192.0.2.1:1", "hello\n"))?)?;
        assert_eq!(said, "", "{strategy}");
        server.says("Denied: establishing the request: denied: the peer is not a proxy")?;
    }
    Ok(())
}

fn others_are_clients() -> Tested {
    for strategy in strategies::ALL {
        let server = start(&[strategy, "stranger", "direct"])?;
        assert_eq!(hear(say(&server, b"hello\n")?)?, "+own hello\n", "{strategy}");
        let said = hear(say(&server, &from("192.0.2.1:1", ""))?)?;
        assert_eq!(
            said, "+own PROXY TCP4 192.0.2.1 127.0.0.1 1 80\r\n",
            "what it said is no header"
        );
    }
    Ok(())
}

fn clients_are_counted() -> Tested {
    for strategy in strategies::IN_PROCESS.into_iter().filter(|strategy| *strategy != "sync") {
        let server = start(&[strategy, "counted"])?;
        let mut first = BufReader::new(say(&server, &from("192.0.2.1:1", ""))?);
        assert_eq!(first.fill_buf()?, b"+", "it is in");
        let second = say(&server, &from("192.0.2.1:2", "hello\n"))?;
        assert_eq!(hear(second)?, "", "{strategy}");
        server.says("Denied: establishing the request: denied: too many requests")?;
        it_serves(&server)?;
        first.get_ref().write_all(b"bye\n")?;
        let mut said = String::new();
        first.read_to_string(&mut said)?;
        assert_eq!(said, "+192.0.2.1:1 bye\n");
        // The end is seen before the place is given back.
        let again = || {
            let said = hear(say(&server, &from("192.0.2.1:3", "hello\n"))?)?;
            Tested::Ok(said == "+192.0.2.1:3 hello\n")
        };
        support::processes::eventually("its place is free", || again().unwrap_or(false))?;
    }
    Ok(())
}

fn clients_are_not_counted() -> Tested {
    for strategy in ["forking", "fork-server"] {
        let server = start(&[strategy, "counted"])?;
        assert_eq!(hear(say(&server, &from("192.0.2.1:1", "hello\n"))?)?, "");
        server.says("Error: establishing the request: Proxied::per_source counts requests")?;
    }
    Ok(())
}

fn deadlines_begin_anew() -> Tested {
    for strategy in strategies::ALL {
        let server = start(&[strategy, "first_byte=100", "within=60000"])?;
        let said = hear(say(&server, &from("192.0.2.1:1", ""))?)?;
        assert_eq!(said, "+", "{strategy}");
        server.says("TimedOut: handle: timed out: the peer has said nothing")?;
    }
    // And nothing else holds for what the client says.
    for strategy in ["threading", "selecting-sync"] {
        let server = start(&[strategy, "within=1000"])?;
        let mut client = say(&server, &from("192.0.2.1:1", ""))?;
        client.read_exact(&mut [0])?;
        support::time::let_pass(Duration::from_millis(1200));
        client.write_all(b"late\n")?;
        assert_eq!(hear(client)?, "192.0.2.1:1 late\n", "{strategy}");
    }
    Ok(())
}
