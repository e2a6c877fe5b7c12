//! Parts of files: RFC 9110, 14.

use std::ops::Range;

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole: where there is nothing else to be made of it, as the RFC has it.
    All,
    /// One part, which is not empty.
    Part(Range<u64>),
    /// A part that a file of this length does not have.
    Nothing,
}

impl Wanted {
    /// Reads `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`. Several at once are answered by
    /// the whole, which is allowed.
    pub(crate) fn parse(field: &str, length: u64) -> Self {
        Self::read(field, length).unwrap_or(Self::All)
    }

    fn read(field: &str, length: u64) -> Option<Self> {
        let (unit, range) = field.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        if first.is_empty() {
            return Some(match (number(last)?, length) {
                (0, _) => Self::Nothing,
                // The whole of nothing can't be written as a part.
                (_, 0) => Self::All,
                (count, _) => Self::Part(length.saturating_sub(count)..length),
            });
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        if last < first {
            return None;
        }
        if first >= length {
            return Some(Self::Nothing);
        }
        Some(Self::Part(first..last.saturating_add(1).min(length)))
    }
}

/// Digits alone; more than a `u64` holds is more than any file has.
fn number(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().unwrap_or(u64::MAX))
}
