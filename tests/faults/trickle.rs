//! Clients that take their time, byte by byte or for ever.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use socketserver::{Deadlines, Server, Tcp, Threading};

use crate::net::Echo;
use crate::served::{Served, Tested, connect};
use crate::trials::trial;
use crate::{role, subject};

/// How long a request may take, how long the client would, and how often it sends a byte.
const DEADLINE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(12);
const EVERY: Duration = Duration::from_millis(100);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_request_byte_by_byte", &[], byte_by_byte)]
}

/// The part of a server that does not wait for ever; its argument is where.
pub(crate) fn hurried(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let address = arguments.first().map_or("127.0.0.1:0", String::as_str);
    let deadlines = Deadlines::new().idle(DEADLINE).request(DEADLINE);
    let tcp = Tcp::options().bind(address)?;
    let mut server = Server::new(tcp, Threading::new(), deadlines.guard(Echo)?)?;
    println!("LISTENING {}", server.local_addr()?);
    Ok(server.serve_forever()?)
}

/// A deadline for the whole request ends what a timeout of each read does not.
fn byte_by_byte() -> Tested<String> {
    let server = if subject::is_foreign() {
        subject::start(&[], "threading", "once")?
    } else {
        Served::run(&mut role::command("hurried")?)?
    };
    let mut client = connect(&server.address)?;
    client.set_read_timeout(Some(EVERY))?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        // A byte that nobody takes is answered with a reset, which the read sees.
        let _ = client.write_all(b"x");
        match client.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return ended(begun.elapsed()),
            Ok(_) => return Err("it was answered".into()),
        }
    }
    Err(format!("not ended in {PATIENCE:?}").into())
}

fn ended(after: Duration) -> Tested<String> {
    let figures = format!("ended after {after:.2?}, with a deadline of {DEADLINE:?}");
    if after > DEADLINE * 9 / 10 { Ok(figures) } else { Err(figures.into()) }
}
