//! Messages in a stream: records, which consist of fragments (RFC 5531, section 11).

use std::io::{self, BufRead, ErrorKind};
use std::{error, fmt};

/// The bit of a fragment's mark that says that it is the last of its record; the others are its
/// length.
const LAST: u32 = 1 << 31;

/// So many fragments has a record at most. One is what all senders need; and who sends a fragment of
/// one byte after the other must not have every one of them looked at again each time.
const MOST_FRAGMENTS: usize = 1024;

/// A record that is longer than the server reads, in more fragments than it reads, or with an empty
/// fragment that is not its last: inside an `io::Error` of the kind `InvalidData`. What comes behind
/// it is not understood any more, so the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRecord {
    /// How many bytes a record may have.
    pub max: usize,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.max;
        write!(
            f,
            "a record of more than {max} bytes or {MOST_FRAGMENTS} fragments, or with an empty one"
        )
    }
}

impl error::Error for BadRecord {}

/// A fragment by its mark.
struct Fragment {
    length: usize,
    last: bool,
}

impl Fragment {
    fn new(mark: [u8; 4]) -> Self {
        let mark = u32::from_be_bytes(mark);
        // Where it is more than can be counted, it is more than is allowed.
        let length = usize::try_from(mark & !LAST).unwrap_or(usize::MAX);
        Self { length, last: mark & LAST != 0 }
    }

    /// Whether it can be the one behind `before` bytes of its record.
    fn fits(&self, before: usize, max: usize) -> bool {
        self.length <= max - before && (self.last || self.length > 0)
    }
}

/// How many bytes at least are missing from the record that `input` begins with; 0 where it is whole,
/// or is known to be wrong.
pub(super) fn missing(input: &[u8], max: usize) -> usize {
    let (mut rest, mut length) = (input, 0);
    for _ in 0..MOST_FRAGMENTS {
        let Some((mark, behind)) = rest.split_first_chunk() else { return 4 - rest.len() };
        let fragment = Fragment::new(*mark);
        if !fragment.fits(length, max) {
            return 0;
        }
        length += fragment.length;
        match behind.split_at_checked(fragment.length) {
            Some(_) if fragment.last => return 0,
            Some((_, next)) => rest = next,
            // Another one has at least a mark.
            None => return fragment.length - behind.len() + if fragment.last { 0 } else { 4 },
        }
    }
    0
}

/// Reads the next record, with its fragments joined; none at the end of the input.
///
/// # Errors
///
/// [`BadRecord`], `UnexpectedEof` where the input ends within one, and what reading says.
pub(super) fn read(from: &mut impl BufRead, max: usize) -> io::Result<Option<Vec<u8>>> {
    if is_at_end(from)? {
        return Ok(None);
    }
    let mut record = Vec::new();
    for _ in 0..MOST_FRAGMENTS {
        let mut mark = [0; 4];
        from.read_exact(&mut mark)?;
        let fragment = Fragment::new(mark);
        if !fragment.fits(record.len(), max) {
            break;
        }
        join(&mut record, from, fragment.length)?;
        if fragment.last {
            return Ok(Some(record));
        }
    }
    Err(io::Error::new(ErrorKind::InvalidData, BadRecord { max }))
}

fn is_at_end(from: &mut impl BufRead) -> io::Result<bool> {
    loop {
        match from.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            filled => return filled.map(<[u8]>::is_empty),
        }
    }
}

/// Appends so many bytes of the input.
fn join(record: &mut Vec<u8>, from: &mut impl BufRead, length: usize) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let come = match from.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            filled => filled?,
        };
        if come.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let part = &come[..come.len().min(left)];
        if record.capacity() - record.len() < part.len() {
            // Twice as much as has come, and no more than is going to: a mark alone gets none.
            record.reserve_exact(left.min(part.len().max(record.len())));
        }
        record.extend_from_slice(part);
        let count = part.len();
        from.consume(count);
        left -= count;
    }
    Ok(())
}

/// Room for a mark, at the beginning of what is to be a record.
pub(super) const ROOM: [u8; 4] = [0; 4];

/// Makes what stands behind the [`ROOM`] a record of one fragment.
///
/// # Errors
///
/// `InvalidInput` where it is too long for a fragment.
pub(super) fn mark(record: &mut [u8]) -> io::Result<()> {
    let Some((mark, body)) = record.split_first_chunk_mut() else { return Ok(()) };
    let length = u32::try_from(body.len()).ok().filter(|length| length & LAST == 0);
    let too_long = || io::Error::new(ErrorKind::InvalidInput, "a reply of 2 GiB or more");
    *mark = (length.ok_or_else(too_long)? | LAST).to_be_bytes();
    Ok(())
}
