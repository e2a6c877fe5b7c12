//! Bounded lines, in whatever pieces they come, beside what a search for newlines says.
#![no_main]

mod chunks;

use std::io::{self, ErrorKind};

use chunks::Chunks;
use libfuzzer_sys::fuzz_target;
use socketserver::{LineTooLong, ReadLine};

fuzz_target!(|input: (u8, bool, &[u8], &[u8])| {
    let (max, text, plan, data) = input;
    let mut input = Chunks::new(data, plan);
    // Each call takes something, or uses up a piece of the plan, or is at the end.
    for _ in 0..=data.len() + plan.len() + 1 {
        let before = input.rest();
        let ended = match text {
            true => text_line(&mut input, before, usize::from(max)),
            false => bytes_line(&mut input, before, usize::from(max)),
        };
        if ended || max == 0 {
            return;
        }
    }
    panic!("{:?} is never read", input.rest());
});

/// The next line of `data`, and whether it is longer than allowed.
fn wanted(data: &[u8], max: usize) -> (&[u8], bool) {
    let length = data.iter().position(|byte| *byte == b'\n').map_or(data.len(), |at| at + 1);
    (&data[..length.min(max)], length > max)
}

fn taken<'a>(before: &'a [u8], input: &Chunks<'_>) -> &'a [u8] {
    &before[..before.len() - input.rest().len()]
}

fn is_too_long(error: &io::Error, max: usize) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<LineTooLong>());
    inner.is_some_and(|inner| inner.max == max)
}

/// Reads one line, and returns whether it was the end of the input.
fn bytes_line(input: &mut Chunks<'_>, before: &[u8], max: usize) -> bool {
    let mut line = b"kept".to_vec();
    let read = input.read_bytes_bounded(&mut line, max);
    let (line, taken) =
        (line.strip_prefix(b"kept").expect("what was there is"), taken(before, input));
    let (wanted, too_long) = wanted(before, max);
    match read {
        Ok(count) => {
            assert!(!too_long);
            assert_eq!((line, taken, count), (wanted, wanted, wanted.len()));
            count == 0
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            assert_eq!(line, taken);
            assert!(wanted.starts_with(taken) && taken.len() <= max);
            false
        }
        Err(error) => {
            assert!(too_long && is_too_long(&error, max));
            assert_eq!(taken, wanted);
            assert!(wanted.starts_with(line));
            false
        }
    }
}

/// The same for text.
fn text_line(input: &mut Chunks<'_>, before: &[u8], max: usize) -> bool {
    let mut line = "kept".to_owned();
    let read = input.read_line_bounded(&mut line, max);
    let (line, taken) =
        (line.strip_prefix("kept").expect("what was there is"), taken(before, input));
    let (wanted, too_long) = wanted(before, max);
    match read {
        Ok(count) => {
            assert!(!too_long);
            assert_eq!((line.as_bytes(), taken, count), (wanted, wanted, wanted.len()));
            count == 0
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            // What is not text yet is lost, as documented.
            assert_eq!(line, std::str::from_utf8(taken).unwrap_or_default());
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(line.is_empty());
            if is_too_long(&error, max) {
                assert!(too_long);
                assert_eq!(taken, wanted);
            } else {
                assert!(std::str::from_utf8(taken).is_err());
            }
            false
        }
    }
}
