//! A transport that takes connections ahead: what it has is in no socket, so nobody may wait at one.

use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use socketserver::{LocalAddr, Server, Sync, Tcp, TcpRequest, Transport, Waiter};

use crate::{ask, end, hear, say};

/// Empties the socket's queue into one of its own, and says when it is about to wait.
struct Ahead {
    tcp: Tcp,
    taken: Mutex<VecDeque<TcpRequest>>,
    waits: Sender<()>,
}

impl Transport for Ahead {
    type Request = TcpRequest;

    fn get_request(&self) -> io::Result<Option<TcpRequest>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.tcp.get_request() {
                Ok(more) => taken.extend(more),
                Err(error) if error.kind() == ErrorKind::WouldBlock && !taken.is_empty() => {
                    return Ok(taken.pop_front());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        let _ = self.waits.send(());
        self.tcp.wait(waiter)
    }
}

fn echo(conn: &mut TcpRequest) -> io::Result<()> {
    let mut line = String::new();
    conn.read_line(&mut line)?;
    conn.write_all(line.as_bytes())
}

#[test]
fn what_a_transport_has_taken_ahead_is_not_waited_for() -> io::Result<()> {
    let (waits, waiting): (_, Receiver<()>) = channel();
    let tcp = Tcp::options().bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    let server = Server::new_fn(Ahead { tcp, taken: Mutex::default(), waits }, Sync, echo)?;
    let running = server.spawn()?;
    // By then a server that may wait first does so.
    for _ in 0..6 {
        waiting.recv().map_err(io::Error::other)?;
        assert_eq!(ask(address, "x\n")?, "x\n");
    }
    // While the first is handled, the others queue up, and are taken together.
    let mut first = say(address, "first")?;
    let (second, third) = (say(address, "2\n")?, say(address, "3\n")?);
    first.write_all(b"\n")?;
    assert_eq!((hear(&first)?, hear(&second)?), ("first\n".into(), "2\n".into()));
    assert_eq!(hear(&third)?, "3\n");
    running.stop();
    end(running)
}
