//! The head of an HTTP request, as the example reads it: the same in one piece and in many, and
//! nothing behind it is taken.
#![no_main]

mod chunks;

#[path = "../../examples/serve/files"]
#[allow(dead_code, reason = "the example uses the rest")]
mod files {
    pub mod head;
    pub mod status;
}

use chunks::Chunks;
use files::head::{Head, Headless};
use libfuzzer_sys::fuzz_target;

/// How many bytes a head may have.
const LONGEST: usize = 16 * 1024;

/// What of a head can be seen, or why there is none.
type Seen = Result<(String, String, bool, bool, Option<String>), Option<u16>>;

/// What a head can begin with, as nobody finds that by chance.
const BEGINNINGS: [&[u8]; 4] =
    [b"", b"GET / HTTP/1.1\r\n", b"HEAD /x HTTP/1.0\n", b"GET / HTTP/1.1\r\nHost: here\r\n"];

fuzz_target!(|input: (u8, u8, &[u8], &[u8])| {
    let (beginning, times, plan, data) = input;
    let mut head = BEGINNINGS[usize::from(beginning) % BEGINNINGS.len()].to_vec();
    // Over and over, for heads that are too long.
    head.extend(data.repeat(usize::from(times)));
    check(&head, plan);
});

fn check(data: &[u8], plan: &[u8]) {
    // A peer that falls silent in the middle has another answer.
    let plan: Vec<u8> = plan.iter().copied().filter(|length| *length != 255).collect();
    let (whole, whole_taken) = read(data, &[]);
    let (pieces, pieces_taken) = read(data, &plan);
    assert_eq!(whole, pieces);
    if whole.is_ok() {
        assert_eq!(whole_taken, pieces_taken);
        let head = &data[..whole_taken];
        assert!(head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"), "it does not end at its end");
    }
}

fn read(data: &[u8], plan: &[u8]) -> (Seen, usize) {
    let mut input = Chunks::new(data, plan);
    let seen = match Head::read(&mut input) {
        Ok(head) => {
            let host = head.field("host").map(str::to_owned);
            Ok((head.line(), head.target.clone(), head.has_body, head.check_host().is_ok(), host))
        }
        Err(Headless::Silent) => Err(None),
        Err(Headless::Refused(status)) => Err(Some(status.code)),
        Err(Headless::Broken(error)) => panic!("nothing is broken: {error}"),
    };
    let taken = data.len() - input.rest().len();
    assert!(taken <= LONGEST, "{taken} bytes are no head");
    (seen, taken)
}
