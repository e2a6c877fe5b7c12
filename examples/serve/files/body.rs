//! Where the body of a request ends: RFC 9112, 6 and 7.1. What could be read in two ways is refused,
//! as a proxy on the way may have read it in the other one.

use httparse::Header;

use super::head::named;
use super::status::Status;
use crate::whole::Seen;

/// How many bytes a body may have, with all that is said between them.
pub(crate) const LARGEST: usize = 64 * 1024;
/// The shortest end of a chunked body.
const LAST_CHUNK: usize = b"0\r\n\r\n".len();
const LINE_END: &[u8] = b"\r\n";

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
}

impl Framing {
    /// What the fields of a request say of it.
    pub(crate) fn of(fields: &[Header<'_>], minor_version: u8) -> Result<Self, Status> {
        let mut lengths = named(fields, "content-length");
        let mut codings = named(fields, "transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Self::None),
            (Some(length), None) if lengths.next().is_none() => Self::of_length(length),
            (None, Some(coding)) if minor_version > 0 && codings.next().is_none() => {
                Self::of_coding(coding)
            }
            _ => Err(Status::BAD_REQUEST),
        }
    }

    /// Digits alone: `parse` would take a sign.
    fn of_length(value: &[u8]) -> Result<Self, Status> {
        let value = value.trim_ascii();
        let digits =
            std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
        match digits.filter(|digits| !digits.is_empty()).map(str::parse) {
            None => Err(Status::BAD_REQUEST),
            Some(Ok(0)) => Ok(Self::None),
            Some(Ok(length)) if length <= LARGEST => Ok(Self::Length(length)),
            Some(_) => Err(Status::CONTENT_TOO_LARGE),
        }
    }

    fn of_coding(value: &[u8]) -> Result<Self, Status> {
        let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).rev();
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        match (codings.next().is_some_and(is_chunked), codings.next()) {
            (true, None) => Ok(Self::Chunked),
            (true, Some(coding)) if !is_chunked(coding) => Err(Status::NOT_IMPLEMENTED),
            // Such a body has no end.
            _ => Err(Status::BAD_REQUEST),
        }
    }

    /// Where the body ends that `bytes` begin with.
    pub(crate) fn measure(self, bytes: &[u8]) -> Result<Seen<()>, Status> {
        match self {
            Self::None => Ok(Seen::Whole((), 0)),
            Self::Length(length) if length <= bytes.len() => Ok(Seen::Whole((), length)),
            Self::Length(length) => Ok(Seen::Missing(length - bytes.len())),
            Self::Chunked => match chunked(&bytes[..bytes.len().min(LARGEST)])? {
                Seen::Missing(_) if bytes.len() >= LARGEST => Err(Status::CONTENT_TOO_LARGE),
                seen => Ok(seen),
            },
        }
    }
}

fn chunked(bytes: &[u8]) -> Result<Seen<()>, Status> {
    let mut at = 0;
    loop {
        let Some((size, data)) = chunk_size(&bytes[at..])? else {
            return Ok(missing(at, bytes, LAST_CHUNK));
        };
        at += data;
        if size == 0 {
            return trailer(bytes, at);
        }
        let end = at.saturating_add(size);
        if end > LARGEST {
            return Err(Status::CONTENT_TOO_LARGE);
        }
        let Some(rest) = bytes.get(end..).filter(|rest| rest.len() >= LINE_END.len()) else {
            return Ok(Seen::Missing(end + LINE_END.len() + LAST_CHUNK - bytes.len()));
        };
        if !rest.starts_with(LINE_END) {
            return Err(Status::BAD_REQUEST);
        }
        at = end + LINE_END.len();
    }
}

/// The size of a chunk, and how long the line is that says it.
fn chunk_size(bytes: &[u8]) -> Result<Option<(usize, usize)>, Status> {
    let parsed = httparse::parse_chunk_size(bytes).map_err(|_| Status::BAD_REQUEST)?;
    let (line, size) = match parsed {
        httparse::Status::Complete((length, size)) => (&bytes[..length - 1], Some((size, length))),
        httparse::Status::Partial => (bytes, None),
    };
    // httparse takes a line without a size, and extensions with line ends of half a kind in them.
    if line.contains(&b'\n') || line.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(Status::BAD_REQUEST);
    }
    let Some((size, length)) = size else { return Ok(None) };
    let size = usize::try_from(size).map_err(|_| Status::CONTENT_TOO_LARGE)?;
    Ok(Some((size, length)))
}

/// The fields behind the last chunk, up to the empty line.
fn trailer(bytes: &[u8], mut at: usize) -> Result<Seen<()>, Status> {
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok(missing(at, bytes, LINE_END.len()));
        };
        let line = &rest[..=end];
        if !line.ends_with(LINE_END) {
            return Err(Status::BAD_REQUEST);
        }
        at += line.len();
        if line == LINE_END {
            return Ok(Seen::Whole((), at));
        }
    }
}

/// What is missing from a body whose last line begins `at`, and where `shortest` could follow.
fn missing(at: usize, bytes: &[u8], shortest: usize) -> Seen<()> {
    // A line that has begun needs its end at least, which may have begun too, and an empty one.
    let begun = bytes.len() - at;
    Seen::Missing(if begun <= 1 { shortest - begun } else { 1 })
}
