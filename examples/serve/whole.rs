//! Reading a request as a whole, and not a byte of the next one.

use std::io::{self, BufRead, ErrorKind};

/// What the beginning of an input is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<V> {
    /// A request, and how many bytes it has.
    Whole(V, usize),
    /// The beginning of one, and how many bytes it lacks at least.
    Missing(usize),
}

/// Why there is no request.
pub(crate) enum Trouble<E> {
    /// The peer has said nothing, and has gone or was not waited for any longer.
    Silent,
    /// It has ended in the middle.
    Cut,
    /// It has not gone on in time.
    Late,
    /// What it says is wrong.
    Wrong(E),
    /// The connection is of no use any more.
    Broken(io::Error),
}

/// Reads what `parse` says is whole. It is shown all that has come, from the first byte on, and has
/// to find fault with what is too long: what it says is not whole yet is kept.
pub(crate) fn read<V, E>(
    input: &mut impl BufRead,
    parse: impl Fn(&[u8]) -> Result<Seen<V>, E>,
) -> Result<V, Trouble<E>> {
    let mut kept = Vec::new();
    loop {
        let before = kept.len();
        let more = match input.fill_buf() {
            Ok([]) if before == 0 => return Err(Trouble::Silent),
            Ok([]) => return Err(Trouble::Cut),
            Ok(more) => more,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => continue,
                ErrorKind::WouldBlock | ErrorKind::TimedOut if before == 0 => {
                    return Err(Trouble::Silent);
                }
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Trouble::Late),
                _ => return Err(Trouble::Broken(error)),
            },
        };
        let count = more.len();
        // Most come in one piece, which need not be copied.
        let seen = if before == 0 {
            parse(more)
        } else {
            kept.extend_from_slice(more);
            parse(&kept)
        };
        match seen.map_err(Trouble::Wrong)? {
            Seen::Whole(value, length) => {
                input.consume(length - before);
                return Ok(value);
            }
            Seen::Missing(_) if before == 0 => kept.extend_from_slice(more),
            Seen::Missing(_) => {}
        }
        input.consume(count);
    }
}

/// How many bytes at least an input lacks to be a request as a whole; none where it is one, or is
/// known to be none.
pub(crate) fn missing<V, E>(seen: &Result<Seen<V>, E>) -> usize {
    match seen {
        Ok(Seen::Missing(count)) => *count,
        Ok(Seen::Whole(..)) | Err(_) => 0,
    }
}
