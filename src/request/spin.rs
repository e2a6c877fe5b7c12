//! Looking again and again instead of sleeping.

use std::hint;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Repeats a `look` that would have to wait, for so long at most.
pub(super) fn spin<V>(time: Duration, mut look: impl FnMut() -> io::Result<V>) -> io::Result<V> {
    let begun = Instant::now();
    loop {
        match look() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && begun.elapsed() < time => {
                hint::spin_loop();
            }
            done => return done,
        }
    }
}
