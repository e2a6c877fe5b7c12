//! A forged length gets no memory: what a peer says is going to come is not what has come.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]
#![expect(unsafe_code, reason = "a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use socketserver::Handler;
use socketserver::rpc::{Bounded, Call, Fault, Framing, Program, Rpc, RpcRequest};

thread_local! {
    /// The largest piece of memory that was asked for, and all that was held at once.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST_HELD: Cell<usize> = const { Cell::new(0) };
}

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn got(size: usize) {
    LARGEST.set(LARGEST.get().max(size));
    HELD.set(HELD.get().wrapping_add(size));
    MOST_HELD.set(MOST_HELD.get().max(HELD.get()));
}

fn gave(size: usize) {
    HELD.set(HELD.get().wrapping_sub(size));
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        got(layout.size());
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        got(size);
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// A connection, or a packet, that holds these bytes and comes in pieces of so many.
struct Input<'b>(&'b [u8], usize, Framing);

impl Read for Input<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.0[..self.1.min(self.0.len())])
    }

    fn consume(&mut self, amount: usize) {
        self.0 = &self.0[amount..];
    }
}

impl Write for Input<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RpcRequest for Input<'_> {
    fn framing(&self) -> Framing {
        self.2
    }

    fn caller(&self) -> Option<SocketAddr> {
        None
    }
}

/// Takes the largest there are.
struct Greedy;

const NO_BOUND: usize = usize::MAX;

impl Program for Greedy {
    fn versions(&self, _program: u32) -> Option<RangeInclusive<u32>> {
        Some(0..=u32::MAX)
    }

    fn call(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        match call.procedure() {
            1 => call.arguments::<Bounded<String, NO_BOUND>>().map(drop),
            2 => call.arguments::<Bounded<Vec<u8>, NO_BOUND>>().map(drop),
            3 => call.arguments::<Bounded<Vec<u64>, NO_BOUND>>().map(drop),
            4 => call.arguments::<Bounded<Vec<Bounded<Vec<u8>, NO_BOUND>>, NO_BOUND>>().map(drop),
            _ => Err(Fault::ProcUnavail),
        }
    }
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The largest piece, and the most held at once, while these bytes are handled in pieces.
fn memory_for(bytes: &[u8], piece: usize, framing: Framing, max: usize) -> (usize, usize) {
    let (rpc, mut input) = (Rpc::new(Greedy).max_record(max), Input(bytes, piece, framing));
    LARGEST.set(0);
    let before = HELD.get();
    MOST_HELD.set(before);
    while matches!(rpc.handle(&mut input), Ok(socketserver::Next::Again)) {}
    (LARGEST.get(), MOST_HELD.get() - before)
}

/// What a reply and an error take.
const SMALL: usize = 256;

#[test]
fn a_forged_length_of_a_record_gets_no_memory() {
    for length in [4, 1000, 65_536, 65_537, 0x7fff_ffff] {
        for last in [0, 0x8000_0000] {
            for come in [0, 1, 100] {
                let bytes = [words(&[length | last]), vec![7; come]].concat();
                let (_, held) = memory_for(&bytes, 8192, Framing::Records, 65_536);
                assert!(held <= 2 * come + SMALL, "{held} for {come} of {length}");
            }
        }
    }
}

#[test]
fn a_record_never_has_more_memory_than_its_bound() {
    for max in [1000, 65_536] {
        for parts in [1, 3, 700] {
            for piece in [1, 100, 8192, 1 << 20] {
                // All of it has come, and one more fragment is announced.
                let part = max / parts;
                let mark = words(&[u32::try_from(part).unwrap()]);
                let mut bytes = [&mark[..], &vec![7; part]].concat().repeat(parts);
                bytes.extend(words(&[u32::MAX]));
                let (largest, held) = memory_for(&bytes, piece, Framing::Records, max);
                assert!(largest <= max, "{largest} at once, of {max} allowed");
                // While it grows there are two of it.
                assert!(held <= 2 * max + SMALL, "{held}, of {max} allowed");
            }
        }
    }
}

#[test]
fn forged_lengths_in_messages_get_no_memory() {
    let call = |procedure, rest: &[u32]| {
        words(&[&[7, 0, 2, 1, 1, procedure, 0, 0, 0, 0][..], rest].concat())
    };
    let huge = [4, 1000, 0x7fff_ffff, u32::MAX - 3, u32::MAX];
    let arguments = huge.iter().flat_map(|length| {
        (1..=4).flat_map(move |procedure| {
            [
                call(procedure, &[*length]),
                call(procedure, &[1, *length]),
                call(procedure, &[2, 0, *length]),
            ]
        })
    });
    // Of a credential, of a verifier, and within a credential: a name, and groups.
    let credentials = huge.iter().flat_map(|length| {
        [
            words(&[7, 0, 2, 1, 1, 1, 1, *length]),
            words(&[7, 0, 2, 1, 1, 1, 0, 0, 0, *length]),
            words(&[7, 0, 2, 1, 1, 1, 1, 20, 9, *length, 0, 0, 0, 0, 0]),
            words(&[7, 0, 2, 1, 1, 1, 1, 20, 9, 0, 0, 0, *length, 0, 0]),
        ]
    });
    for message in arguments.chain(credentials) {
        let (_, held) = memory_for(&message, 8192, Framing::Packet, 65_536);
        assert!(held <= SMALL, "{held} bytes for {message:?}");
        let mark = words(&[0x8000_0000 | u32::try_from(message.len()).unwrap()]);
        let (_, held) =
            memory_for(&[mark, message.clone()].concat(), 8192, Framing::Records, 65_536);
        assert!(held <= message.len() + SMALL, "{held} bytes for {message:?}");
    }
}

#[test]
fn the_allocator_watches() -> Result<(), Box<dyn Error>> {
    let text = vec![b'a'; 10_000];
    let length = u32::try_from(text.len())?;
    let message = [&words(&[7, 0, 2, 1, 1, 1, 0, 0, 0, 0, length])[..], &text].concat();
    let (largest, held) = memory_for(&message, usize::MAX, Framing::Packet, 65_536);
    assert!(largest >= 10_000 && held >= 10_000, "{largest}, {held}");
    Ok(())
}
