//! What a connection begins with before its handler has it: PROXY headers, and answers to a challenge,
//! in any pieces. What comes in pieces is understood as it is as a whole; nothing behind it is taken;
//! nobody is let in who has no key.
#![no_main]

mod chunks;

use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::time::Instant;

use chunks::Chunks;
use libfuzzer_sys::fuzz_target;
use socketserver::{
    Authenticated, Connection, Deadlines, Denied, Hangup, Proxiable, Proxied, Request, SharedKeys,
    Transport, Waiter,
};

/// A connection over the bytes there are.
struct Conn<'a>(Chunks<'a>);

impl Read for Conn<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl BufRead for Conn<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Write for Conn<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Request for Conn<'_> {}
impl Proxiable for Conn<'_> {}

impl Connection for Conn<'_> {
    fn set_deadlines(&mut self, _deadlines: Deadlines) -> io::Result<()> {
        Ok(())
    }

    fn set_hangup(&mut self, _hangup: Hangup) -> io::Result<()> {
        Ok(())
    }

    fn set_stage_end(&mut self, _end: Option<Instant>) {}
}

struct One<'a>(RefCell<Option<Conn<'a>>>);

impl<'a> Transport for One<'a> {
    type Request = Conn<'a>;

    fn get_request(&self) -> io::Result<Option<Conn<'a>>> {
        Ok(self.0.take())
    }

    fn wait(&self, waiter: &Waiter<'_>) -> io::Result<()> {
        waiter.pause()
    }
}

fn one<'a>(data: &'a [u8], plan: &'a [u8]) -> One<'a> {
    One(RefCell::new(Some(Conn(Chunks::new(data, plan)))))
}

/// As a table does: again where there is nothing yet.
fn establish(request: &mut impl Request) -> Result<(), ErrorKind> {
    loop {
        match request.establish().map_err(|error| error.kind()) {
            Err(ErrorKind::WouldBlock) => {}
            done => return done,
        }
    }
}

fuzz_target!(|input: (&[u8], Vec<u8>)| {
    let (plan, data) = input;
    let understood = |plan| {
        let proxied = Proxied::new(one(&data, plan), |_| true);
        let mut request = proxied.get_request().expect("none").expect("one");
        let done = establish(&mut request);
        let taken = data.len() - request.get_ref().0.rest().len();
        assert!(taken <= 4096);
        (done, request.header().cloned(), done.is_ok().then_some(taken))
    };
    let whole = understood(&[]);
    assert_eq!(understood(plan), whole);
    // A newline ends a header of version 1, and no byte behind it is taken.
    if let (Ok(()), _, Some(taken)) = whole {
        assert!(data[0] != b'P' || data[..taken].iter().filter(|byte| **byte == b'\n').count() == 1);
    }

    let keys = SharedKeys::new([((), [7; 32])]).expect("a key");
    let authenticated = Authenticated::new(one(&data, plan), keys);
    let mut request = authenticated.get_request().expect("none").expect("one");
    let error = loop {
        match request.establish() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => break done.expect_err("it was guessed"),
        }
    };
    let taken = data.len() - request.get_ref().0.rest().len();
    assert_eq!(taken, data.len().min(65));
    assert_eq!(Denied::of(&error).is_some(), !data.is_empty());
});
