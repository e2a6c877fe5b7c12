//! A request of HTTP, as the example reads it: the same in one piece and in many, nothing behind it
//! is taken, and what is said to be missing from its beginnings is.
#![no_main]

mod chunks;

#[path = "../../examples/serve/files"]
#[allow(dead_code, reason = "the example uses the rest")]
mod files {
    mod body;
    pub mod head;
    mod status;
}
#[path = "../../examples/serve/whole.rs"]
mod whole;

use chunks::Chunks;
use files::head::{Head, Headless, missing};
use libfuzzer_sys::fuzz_target;

/// How many bytes a request may have.
const LONGEST: usize = (16 + 64) * 1024;
/// More beginnings than this are not looked at.
const MOST_BEGINNINGS: usize = 200;

/// What of a request can be seen, or why there is none.
type Seen = Result<(String, String, bool, bool, Option<String>), Option<u16>>;

/// What a request can begin with, as nobody finds that by chance.
const BEGINNINGS: [&[u8]; 6] = [
    b"",
    b"GET / HTTP/1.1\r\n",
    b"HEAD /x HTTP/1.0\n",
    b"GET / HTTP/1.1\r\nHost: here\r\n",
    b"PUT / HTTP/1.1\r\nHost: here\r\nContent-Length: ",
    b"PUT / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n",
];

fuzz_target!(|input: (u8, u8, &[u8], &[u8])| {
    let (beginning, times, plan, data) = input;
    let mut request = BEGINNINGS[usize::from(beginning) % BEGINNINGS.len()].to_vec();
    // Over and over, for requests that are too long.
    request.extend(data.repeat(usize::from(times)));
    check(&request, plan);
});

fn check(data: &[u8], plan: &[u8]) {
    // A peer that falls silent in the middle has another answer.
    let plan: Vec<u8> = plan.iter().copied().filter(|length| *length != 255).collect();
    let (whole, whole_taken) = read(data, &[]);
    let (pieces, pieces_taken) = read(data, &plan);
    assert_eq!(whole, pieces);
    if whole.is_ok() {
        assert_eq!(whole_taken, pieces_taken);
        assert_eq!(missing(data), 0);
        let beginnings = (0..whole_taken).rev().take(MOST_BEGINNINGS);
        for length in beginnings {
            let lacks = missing(&data[..length]);
            assert!((1..=whole_taken - length).contains(&lacks), "{lacks} at {length}");
        }
    }
}

fn read(data: &[u8], plan: &[u8]) -> (Seen, usize) {
    let mut input = Chunks::new(data, plan);
    let seen = match Head::read(&mut input) {
        Ok(head) => {
            let host = head.field("host").map(str::to_owned);
            Ok((head.line(), head.target.clone(), head.leaves_body, head.persists(), host))
        }
        Err(Headless::Silent) => Err(None),
        Err(Headless::Refused(status)) => Err(Some(status.code)),
        Err(Headless::Broken(error)) => panic!("nothing is broken: {error}"),
    };
    let taken = data.len() - input.rest().len();
    assert!(taken <= LONGEST, "{taken} bytes are no request");
    (seen, taken)
}
