//! Calls of ONC RPC as they come over a connection and in a packet: the same in one piece and in many,
//! nothing is read beyond a bound, what is said to be missing from a record is, and whatever is
//! answered is a reply to what was asked.
#![no_main]

mod chunks;

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use chunks::Chunks;
use libfuzzer_sys::fuzz_target;
use socketserver::rpc::{
    AuthStat, Bounded, Call, Credentials, Fault, Framing, Program, Rpc, RpcRequest,
};
use socketserver::{Handler, Next};

/// The longest record.
const LONGEST: usize = 1024;
/// More beginnings than this are not looked at.
const MOST_BEGINNINGS: usize = 200;

/// What a message can begin with, as nobody finds that by chance: calls of procedures 1 and 2 without
/// credentials, and of 3 with those of a user to come.
const BEGINNINGS: [&[u8]; 4] = [
    b"",
    b"\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x03\0\0\0\x01",
];

/// What is read, and what has been answered.
struct Conn<'a> {
    input: Chunks<'a>,
    framing: Framing,
    answered: Vec<u8>,
}

impl Read for Conn<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.input.read(bytes)
    }
}

impl BufRead for Conn<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}

impl Write for Conn<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answered.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RpcRequest for Conn<'_> {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn caller(&self) -> Option<SocketAddr> {
        None
    }
}

type Arguments = (
    Option<u64>,
    Bounded<String, 20>,
    Bounded<Vec<(i32, bool)>, 9>,
    [u8; 5],
    Bounded<Vec<Bounded<Vec<u8>, 3>>, 9>,
);

struct Example;

impl Program for Example {
    fn versions(&self, program: u32) -> Option<RangeInclusive<u32>> {
        (program < 2).then_some(1..=2)
    }

    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match call.procedure() {
            1 => {
                let text: Bounded<String, 1024> = call.arguments()?;
                call.reply(&text)
            }
            2 => {
                let all: Arguments = call.arguments()?;
                call.reply(&all)
            }
            3 => match call.credentials() {
                Credentials::Sys(user) => call.reply(&(user.uid, user.gids.clone())),
                _ => Err(Fault::Auth(AuthStat::TooWeak)),
            },
            4 => Err(Fault::SystemErr),
            _ => Err(Fault::ProcUnavail),
        }
    }
}

/// What can be seen of a connection or a packet: what was answered, how it ended, what is left.
type Seen<'a> = (Vec<u8>, Result<Next, ErrorKind>, &'a [u8]);

fn run<'a>(data: &'a [u8], plan: &'a [u8], framing: Framing) -> Seen<'a> {
    let rpc = Rpc::new(Example).max_record(LONGEST);
    let mut conn = Conn { input: Chunks::new(data, plan), framing, answered: Vec::new() };
    loop {
        let before = (conn.input.rest().len(), conn.answered.len());
        match rpc.handle(&mut conn) {
            Ok(Next::Again) => {
                let taken = &data[data.len() - before.0..data.len() - conn.input.rest().len()];
                let missing = |input: &[u8]| Handler::<Conn<'_>>::missing(&rpc, input);
                check_record(taken, missing, &conn.answered[before.1..]);
            }
            ended => {
                let ended = ended.map_err(|error| error.kind());
                return (conn.answered, ended, conn.input.rest());
            }
        }
    }
}

/// A whole record, and the reply to it.
fn check_record(taken: &[u8], missing: impl Fn(&[u8]) -> usize, answered: &[u8]) {
    assert_eq!(missing(taken), 0);
    for length in (0..taken.len()).rev().take(MOST_BEGINNINGS) {
        let lacks = missing(&taken[..length]);
        assert!((1..=taken.len() - length).contains(&lacks), "{lacks} at {length}");
    }
    let (mark, reply) = answered.split_first_chunk().expect("a mark");
    assert_eq!(u32::from_be_bytes(*mark), 0x8000_0000 | reply.len() as u32);
    check_reply(reply);
}

fn check_reply(reply: &[u8]) {
    assert!(reply.len() % 4 == 0 && (20..=LONGEST + 40).contains(&reply.len()));
    assert_eq!(reply[4..8], [0, 0, 0, 1]);
}

/// Makes records of what comes without marks, as nobody finds these by chance.
fn marked(lengths: &[u8], mut data: &[u8]) -> Vec<u8> {
    let mut marked = Vec::new();
    for length in lengths {
        let (part, rest) = data.split_at(data.len().min(usize::from(length >> 1)));
        let last = u32::from(length & 1) << 31;
        marked.extend((last | part.len() as u32).to_be_bytes());
        marked.extend(part);
        data = rest;
    }
    marked.extend(data);
    marked
}

fuzz_target!(|input: (u8, &[u8], &[u8], &[u8])| {
    let (kind, plan, lengths, data) = input;
    let message = [BEGINNINGS[usize::from(kind >> 2) % BEGINNINGS.len()], data].concat();
    let data = if kind & 1 == 0 { message } else { marked(lengths, &message) };
    if kind & 2 == 0 {
        // A packet is there as a whole.
        let (answered, _, _) = run(&data, &[], Framing::Packet);
        if !answered.is_empty() {
            assert_eq!(answered[..4], data[..4]);
            check_reply(&answered);
        }
    } else {
        // A peer that falls silent in the middle is another matter.
        let plan: Vec<u8> = plan.iter().copied().filter(|length| *length != 255).collect();
        let whole = run(&data, &[], Framing::Records);
        let pieces = run(&data, &plan, Framing::Records);
        assert_eq!(whole.0, pieces.0);
        assert_eq!(whole.1, pieces.1);
        // Where it ends well, all of it has been read.
        assert!(whole.1 != Ok(Next::Done) || whole.2.is_empty());
    }
});
