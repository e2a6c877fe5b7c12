//! Commands as they come: arrays of bulk strings, or words on a line for people at a terminal.

use crate::whole::{self, Seen};

/// The most words, the longest of them, and the longest command with all that stands around them.
const MOST_WORDS: usize = 1024;
const LONGEST_WORD: usize = 512 * 1024;
const LONGEST: usize = 1024 * 1024;
/// Longer lines have no end.
const LONGEST_LINE: usize = 64 * 1024;
/// The shortest word: `$0`, and two line ends.
const SHORTEST_WORD: usize = 6;

/// The words of a command; none where there is nothing to answer.
pub(crate) type Command = Vec<Vec<u8>>;

/// How many bytes at least are missing from a whole command; 0 where it is whole, or is known to be
/// wrong.
pub(crate) fn missing(input: &[u8]) -> usize {
    // Nothing is copied: the words are borrowed.
    whole::missing(&words(input))
}

/// Reads the command that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Result<Seen<Command>, &'static str> {
    Ok(match words(bytes)? {
        Seen::Whole(words, length) => {
            Seen::Whole(words.into_iter().map(<[u8]>::to_vec).collect(), length)
        }
        Seen::Missing(count) => Seen::Missing(count),
    })
}

fn words(bytes: &[u8]) -> Result<Seen<Vec<&[u8]>>, &'static str> {
    if bytes.first() != Some(&b'*') {
        return inline(bytes);
    }
    let Some((count, mut at)) = number(bytes, 0)? else {
        // The shortest array is the empty one.
        return Ok(Seen::Missing(b"*0\r\n".len().saturating_sub(bytes.len()).max(1)));
    };
    // Redis passes over what has no words, `*-1` included.
    let count = usize::try_from(count).unwrap_or(0);
    if count > MOST_WORDS {
        return Err("invalid multibulk length");
    }
    let mut words = Vec::new();
    for left in (0..count).rev() {
        match word(bytes, at)? {
            Seen::Whole(word, length) => {
                words.push(word);
                at += length;
            }
            Seen::Missing(count) => return Ok(Seen::Missing(count + left * SHORTEST_WORD)),
        }
    }
    Ok(Seen::Whole(words, at))
}

/// The bulk string that begins `at`.
fn word(bytes: &[u8], at: usize) -> Result<Seen<&[u8]>, &'static str> {
    if bytes.get(at).is_some_and(|first| *first != b'$') {
        return Err("expected '$'");
    }
    let Some((length, begin)) = number(bytes, at)? else {
        // At least the end of its line, and the end of a word of no bytes.
        return Ok(Seen::Missing(SHORTEST_WORD.saturating_sub(bytes.len() - at).max(3)));
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_WORD);
    let end = begin + length.ok_or("invalid bulk length")?;
    if end > LONGEST {
        return Err("too long a command");
    }
    match bytes.get(begin..end).zip(bytes.get(end..end + 2)) {
        Some((word, b"\r\n")) => Ok(Seen::Whole(word, end + 2 - at)),
        Some(_) => Err("expected a line end behind a bulk string"),
        None => Ok(Seen::Missing(end + 2 - bytes.len())),
    }
}

/// The number on the line that begins `at` with a sign of its kind, and where the next one begins.
fn number(bytes: &[u8], at: usize) -> Result<Option<(i64, usize)>, &'static str> {
    /// A sign of its kind, one of its own, and as many digits as an `i64` has.
    const LONGEST: usize = 21;
    let line = &bytes[at.min(bytes.len())..];
    let Some(end) = line.iter().take(LONGEST + 2).position(|byte| *byte == b'\n') else {
        let wrong = line.len() >= LONGEST + 2;
        return if wrong { Err("too long a length") } else { Ok(None) };
    };
    let digits = line[1..end].strip_suffix(b"\r").ok_or("expected a line end")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    let number = digits.and_then(|digits| digits.parse().ok()).ok_or("invalid length")?;
    Ok(Some((number, at + end + 1)))
}

fn inline(bytes: &[u8]) -> Result<Seen<Vec<&[u8]>>, &'static str> {
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        let wrong = bytes.len() >= LONGEST_LINE;
        return if wrong { Err("too big inline request") } else { Ok(Seen::Missing(1)) };
    };
    let words = bytes[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    Ok(Seen::Whole(words.collect(), end + 1))
}
