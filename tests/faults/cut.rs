//! A long reply to a peer whose request has not been read to its end; `FAULTS_ROUNDS` is how many
//! times.

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;
use socketserver::{Handler, Hangup, Next, Server, Tcp, TcpRequest, Threading};

use crate::served::{Served, Tested, connect};
use crate::time::let_pass;
use crate::trials::{Need, trial};
use crate::{role, subject};

/// A request, the part of it that is read, and the reply.
const REQUEST: usize = 64 * 1024;
const READ: usize = 1024;
const REPLY: usize = 1 << 20;
const ROUNDS: usize = 100;
/// How long the client takes before it reads.
const LATE: Duration = Duration::from_millis(20);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_reply_with_input_unread", &[], || input_unread("drain")),
        trial("a_reply_with_input_unread_closed_as_python_does", &[Need::Ours], || {
            input_unread("shutdown")
        }),
    ]
}

/// Reads half of the request, and answers.
struct Reply;

impl Handler<TcpRequest> for Reply {
    fn handle(&self, request: &mut TcpRequest) -> io::Result<Next> {
        request.read_exact(&mut [0; READ])?;
        request.write_all(&vec![b'r'; REPLY])?;
        Ok(Next::Done)
    }
}

/// The part of a server that replies so, and hangs up as its argument says.
pub(crate) fn reply(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let hangup = match arguments.first().map(String::as_str) {
        Some("shutdown") => Hangup::Shutdown,
        _ => Hangup::default(),
    };
    let tcp = Tcp::options().hangup(hangup).bind("127.0.0.1:0")?;
    let mut server = Server::new(tcp, Threading::new(), Reply)?;
    println!("LISTENING {}", server.local_addr()?);
    Ok(server.serve_forever()?)
}

fn input_unread(hangup: &str) -> Tested<String> {
    let server = if subject::is_foreign() {
        subject::start(&[], "threading", "reply")?
    } else {
        Served::run(role::command("reply")?.arg(hangup))?
    };
    let rounds = env::var("FAULTS_ROUNDS").ok().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let (mut whole, mut lost) = (0, 0);
    for _ in 0..rounds {
        let received = received(connect(&server.address)?)?;
        whole += usize::from(received == REPLY);
        lost += REPLY - received.min(REPLY);
    }
    let part = 100.0 * lost as f64 / (REPLY * rounds) as f64;
    let figures = format!("{whole} of {rounds} replies whole, {part:.1} % of the bytes lost");
    if hangup == "drain" && lost > 0 { Err(figures.into()) } else { Ok(figures) }
}

/// How much of the reply's body comes.
fn received(mut connection: TcpStream) -> Tested<usize> {
    let mut request = b"POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
                        Content-Length: 60000\r\n\r\n"
        .to_vec();
    request.resize(REQUEST, b'q');
    connection.write_all(&request)?;
    let_pass(LATE);
    let mut reply = Vec::new();
    // Whatever comes before a reset counts.
    let _ = connection.read_to_end(&mut reply);
    // A head of HTTP has a few of them too.
    Ok(reply.iter().filter(|byte| **byte == b'r').count().min(REPLY))
}
