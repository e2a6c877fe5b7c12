//! `Authenticated` under every strategy, over sockets: whose a request is, and what becomes of those
//! who can't show it. The servers are processes of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "support/served.rs"]
mod served;
#[path = "support/strategies.rs"]
mod strategies;
mod support;

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net as unix;
use std::process::ExitCode;
use std::time::Duration;

use hmac::{Hmac, Mac};
use served::{LIMIT, Served, Tested, connect};
use socketserver::{
    Authenticate, Authenticated, Credentials, Denied, Event, Failure, Handler, HasIdentity, Limits,
    Next, Proxied, ReadLine, SharedKeys, Tcp, UnixStream, Users, by_ip, line_missing,
};
use support::{alone, role};

const ADA: [u8; 32] = [7; 32];
const BOB: [u8; 48] = [8; 48];
const EVE: [u8; 32] = [9; 32];

fn main() -> ExitCode {
    const CASES: &[alone::Case] = &[
        ("who_has_a_key_is_let_in_and_known", who_has_a_key_is_let_in_and_known),
        ("answers_come_byte_by_byte", answers_come_byte_by_byte),
        ("all_refusals_look_the_same", all_refusals_look_the_same),
        ("an_answer_is_good_for_one_challenge", an_answer_is_good_for_one_challenge),
        ("who_is_silent_is_ended_and_holds_up_nobody", silence),
        ("a_key_is_shown_behind_the_header_of_a_proxy", behind_a_proxy),
        ("users_are_known_by_the_kernel", users),
        ("an_authentication_of_ones_own_may_wait", passwords),
        ("who_was_not_let_in_is_kept_away_for_a_while", penalties),
    ];
    role::play(&[("server", server)]).unwrap_or_else(|| alone::run(CASES))
}

/// Answers a line with it, behind whose it is.
struct Tell;

impl<R: HasIdentity<Identity: Display> + BufRead + Write> Handler<R> for Tell {
    fn handle(&self, request: &mut R) -> io::Result<Next> {
        let mut line = String::new();
        request.read_line_bounded(&mut line, 100)?;
        let answer = format!("{} {line}", request.identity()?);
        request.write_all(answer.as_bytes())?;
        Ok(Next::Done)
    }

    fn missing(&self, input: &[u8]) -> usize {
        line_missing(input, 100)
    }

    fn verify_request(&self, request: &R) -> io::Result<bool> {
        let early = request.identity().err().map(|error| error.kind());
        assert_eq!(early, Some(ErrorKind::PermissionDenied));
        Ok(true)
    }

    fn handle_error(&self, request: &mut R, failure: &Failure) {
        assert!(request.identity().is_err());
        eprintln!("{:?}: {failure}", failure.kind());
    }

    fn event(&self, event: Event) {
        if let Event::Refused(why) = event {
            eprintln!("{why}");
        }
    }
}

/// The kernel's word, as what can be shown.
struct KernelsWord(Users);

impl<R> Authenticate<R> for KernelsWord
where
    Users: Authenticate<R, Identity = Credentials, Attempt = ()>,
{
    type Identity = u32;
    type Attempt = ();

    fn authenticate(&self, request: &mut R, (): &mut ()) -> io::Result<u32> {
        self.0.authenticate(request, &mut ()).map(|user| user.uid)
    }
}

/// An authentication as a user of this crate writes it: "I am", a name, and the end of the line.
struct Password;

impl<R: BufRead> Authenticate<R> for Password {
    type Identity = String;
    type Attempt = Vec<u8>;

    fn authenticate(&self, request: &mut R, line: &mut Vec<u8>) -> io::Result<String> {
        request.read_bytes_bounded(line, 60 - line.len())?;
        let name = line.strip_prefix(b"sesame ").ok_or(Denied::Identity)?;
        Ok(String::from_utf8_lossy(name).trim_end().to_owned())
    }
}

/// A server by these words: its strategy, what it wants to be shown, and for how long.
fn server(words: &[String]) -> Tested {
    let [strategy, what, millis] = words else { return Err("three words".into()) };
    let time = Duration::from_millis(millis.parse()?);
    let keys = || SharedKeys::new([("Ada", &ADA[..]), ("Bob", &BOB)]);
    let tcp = || Tcp::options().bind("127.0.0.1:0");
    match what.as_str() {
        "keys" => {
            let transport = Authenticated::new(tcp()?, keys()?).within(time);
            strategies::serve(transport, strategy, Tell, None)
        }
        "penalty" => {
            let limits = Limits::new().penalty(time, time * 4, by_ip);
            strategies::serve(Authenticated::new(tcp()?, keys()?), strategy, Tell, Some(limits))
        }
        "proxied" => {
            let transport = Authenticated::new(Proxied::new(tcp()?, |_| true), keys()?);
            strategies::serve(transport.within(time), strategy, Tell, None)
        }
        "password" => {
            let transport = Authenticated::new(tcp()?, Password).within(time);
            strategies::serve(transport, strategy, Tell, None)
        }
        user => {
            let folder = tempfile::tempdir()?;
            let socket = UnixStream::options().bind(folder.path().join("socket"))?;
            let (kind, id) = user.split_once('=').ok_or("no user")?;
            let id = id.parse()?;
            let users = if kind == "uid" { Users::new().uid(id) } else { Users::new().gid(id) };
            let transport = Authenticated::new(socket, KernelsWord(users));
            strategies::serve(transport, strategy, Tell, None)
        }
    }
}

fn start(strategy: &str, what: &str, millis: u32) -> Tested<Served> {
    Served::run(role::command("server")?.args([strategy, what, &millis.to_string()]))
}

/// A client that has been challenged.
struct Client {
    conn: BufReader<TcpStream>,
    challenge: String,
}

impl Client {
    fn come(server: &Served) -> Tested<Self> {
        Self::challenged(connect(&server.address)?)
    }

    fn challenged(conn: TcpStream) -> Tested<Self> {
        let mut conn = BufReader::new(conn);
        let mut challenge = String::new();
        conn.read_line(&mut challenge)?;
        let digits = challenge.strip_prefix("socketserver hmac-sha256 ").ok_or("no challenge")?;
        assert_eq!(digits.len(), 65, "{challenge:?}");
        Ok(Self { conn, challenge: challenge.trim_end().to_owned() })
    }

    fn answer(&self, key: &[u8]) -> String {
        let code = Hmac::<sha2::Sha256>::new_from_slice(key).expect("of any length");
        format!("{:x}\n", code.chain_update(&self.challenge).finalize().into_bytes())
    }

    fn say(&mut self, what: &str) -> io::Result<()> {
        self.conn.get_ref().write_all(what.as_bytes())
    }

    fn end(&self) -> io::Result<()> {
        self.conn.get_ref().shutdown(Shutdown::Write)
    }

    fn hear(mut self) -> io::Result<String> {
        let mut said = String::new();
        self.conn.read_to_string(&mut said)?;
        Ok(said)
    }
}

fn is_let_in(server: &Served, key: &[u8]) -> Tested<String> {
    let mut client = Client::come(server)?;
    let answer = client.answer(key);
    client.say(&format!("{answer}hello\n"))?;
    Ok(client.hear()?)
}

fn who_has_a_key_is_let_in_and_known() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "keys", 60_000)?;
        assert_eq!(is_let_in(&server, &ADA)?, "ok\nAda hello\n", "{strategy}");
        assert_eq!(is_let_in(&server, &BOB)?, "ok\nBob hello\n", "{strategy}");
        let mut loud = Client::come(&server)?;
        loud.say(&loud.answer(&ADA).to_uppercase())?;
        let mut ok = String::new();
        loud.conn.read_line(&mut ok)?;
        assert_eq!(ok, "ok\n", "before anything else is said");
        loud.say("at last\n")?;
        assert_eq!(loud.hear()?, "Ada at last\n");
    }
    Ok(())
}

fn answers_come_byte_by_byte() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "keys", 60_000)?;
        let mut client = Client::come(&server)?;
        client.conn.get_ref().set_nodelay(true)?;
        for byte in format!("{}hello\n", client.answer(&BOB)).chars() {
            client.say(&byte.to_string())?;
        }
        assert_eq!(client.hear()?, "ok\nBob hello\n", "{strategy}");
    }
    Ok(())
}

fn all_refusals_look_the_same() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "keys", 60_000)?;
        let right = |client: &Client| client.answer(&ADA);
        let answers: [&dyn Fn(&Client) -> String; 9] = [
            &|client| client.answer(&EVE),
            &|client| client.answer(&ADA[..31]),
            &|_| "0".repeat(64) + "\n",
            &|_| "?".repeat(65),
            &|_| "\n".repeat(65),
            &|client| right(client).replace('\n', " "),
            &|client| right(client)[..64].to_owned(),
            &|client| right(client)[..10].to_owned() + "\n",
            &|_| "0".into(),
        ];
        for answer in answers {
            let mut client = Client::come(&server)?;
            client.say(&answer(&client))?;
            client.end()?;
            assert_eq!(client.hear()?, "denied\n", "{strategy}");
            server
                .says("Denied: establishing the request: denied: the peer is not one of those")?;
        }
        let client = Client::come(&server)?;
        client.end()?;
        assert_eq!(client.hear()?, "", "it has only looked");
        server.says("PeerGone: establishing the request: ")?;
        assert_eq!(is_let_in(&server, &ADA)?, "ok\nAda hello\n", "{strategy}");
    }
    Ok(())
}

fn an_answer_is_good_for_one_challenge() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "keys", 60_000)?;
        let mut first = Client::come(&server)?;
        let answer = first.answer(&ADA);
        first.say(&format!("{answer}hello\n"))?;
        let first_challenge = first.challenge.clone();
        assert_eq!(first.hear()?, "ok\nAda hello\n");
        let mut second = Client::come(&server)?;
        assert_ne!(second.challenge, first_challenge, "{strategy}");
        second.say(&answer)?;
        assert_eq!(second.hear()?, "denied\n", "{strategy}");
    }
    Ok(())
}

fn silence() -> Tested {
    const PASSED: &str =
        "TimedOut: establishing the request: timed out: the peer took too long before";
    for strategy in strategies::ALL {
        let server = start(strategy, "keys", 200)?;
        assert_eq!(Client::come(&server)?.hear()?, "", "{strategy}");
        server.says(PASSED)?;
        let mut client = Client::come(&server)?;
        client.say("0123")?;
        assert_eq!(client.hear()?, "", "{strategy}");
        server.says(PASSED)?;
    }
    for strategy in strategies::AT_ONCE {
        let server = start(strategy, "keys", 60_000)?;
        let mut silent = Client::come(&server)?;
        assert_eq!(is_let_in(&server, &ADA)?, "ok\nAda hello\n", "{strategy}");
        silent.say(&(silent.answer(&BOB) + "now\n"))?;
        assert_eq!(silent.hear()?, "ok\nBob now\n", "{strategy}");
    }
    Ok(())
}

fn behind_a_proxy() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "proxied", 60_000)?;
        let mut conn = connect(&server.address)?;
        conn.set_nodelay(true)?;
        for byte in b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n" {
            conn.write_all(&[*byte])?;
        }
        let mut client = Client::challenged(conn)?;
        client.say(&(client.answer(&ADA) + "hello\n"))?;
        assert_eq!(client.hear()?, "ok\nAda hello\n", "{strategy}");
    }
    Ok(())
}

fn users() -> Tested {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    for strategy in strategies::ALL {
        for (who, said) in [
            (format!("uid={uid}"), format!("{uid} hello\n")),
            (format!("gid={gid}"), format!("{uid} hello\n")),
            (format!("uid={}", uid + 1), String::new()),
            (format!("gid={}", gid + 1), String::new()),
        ] {
            let server = start(strategy, &who, 0)?;
            let mut client = unix::UnixStream::connect(&server.address)?;
            client.set_read_timeout(Some(LIMIT))?;
            // Nobody asks those who are not let in what they want.
            let _ = client.write_all(b"hello\n");
            let mut heard = String::new();
            match client.read_to_string(&mut heard) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                read => drop(read?),
            }
            assert_eq!(heard, said, "{strategy}, {who}");
        }
    }
    Ok(())
}

fn passwords() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "password", 60_000)?;
        let mut client = connect(&server.address)?;
        client.set_nodelay(true)?;
        for byte in b"sesame Ali\nopen\n" {
            client.write_all(&[*byte])?;
        }
        let mut said = String::new();
        client.read_to_string(&mut said)?;
        assert_eq!(said, "Ali open\n", "{strategy}");
        let mut client = connect(&server.address)?;
        client.write_all(b"please\n")?;
        let mut said = String::new();
        client.read_to_string(&mut said)?;
        assert_eq!(said, "", "{strategy}");
    }
    Ok(())
}

fn penalties() -> Tested {
    for strategy in strategies::ALL {
        let server = start(strategy, "penalty", 2_000)?;
        assert_eq!(is_let_in(&server, &ADA)?, "ok\nAda hello\n", "{strategy}");
        let mut client = Client::come(&server)?;
        client.say(&client.answer(&EVE))?;
        assert_eq!(client.hear()?, "denied\n");
        server.says("Denied: ")?;
        // It is kept away, without a challenge, from the moment on in which the server knows.
        support::processes::eventually("it is kept away", || Client::come(&server).is_err())?;
        server.says("its source is kept away for a while")?;
        // And comes back when its time is over.
        support::processes::eventually("it may come back", || Client::come(&server).is_ok())?;
        assert_eq!(is_let_in(&server, &ADA)?, "ok\nAda hello\n", "{strategy}");
    }
    Ok(())
}
