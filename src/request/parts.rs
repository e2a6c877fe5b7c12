//! Bytes one after the other, each with its length, on their way to another process.

use std::io::{self, ErrorKind};

/// Puts bytes with their length before them.
pub(super) fn put(part: &[u8], bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = u16::try_from(part.len()).map_err(io::Error::other)?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(part);
    Ok(())
}

/// What was put first, and the rest.
pub(super) fn take(bytes: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
    let length = usize::from(u16::from_le_bytes(*length));
    rest.split_at_checked(length).ok_or_else(|| ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_as_they_went() -> io::Result<()> {
        let mut bytes = Vec::new();
        for part in [&b"one"[..], b"", b"three"] {
            put(part, &mut bytes)?;
        }
        let (one, rest) = take(&bytes)?;
        let (none, rest) = take(rest)?;
        let (three, rest) = take(rest)?;
        assert_eq!((one, none, three, rest), (&b"one"[..], &b""[..], &b"three"[..], &b""[..]));
        assert!(put(&[0; 65_536], &mut bytes).is_err());
        Ok(())
    }

    #[test]
    fn what_is_cut_is_nothing() -> io::Result<()> {
        let mut bytes = Vec::new();
        put(b"part", &mut bytes)?;
        assert!((0..bytes.len()).all(|length| take(&bytes[..length]).is_err()));
        Ok(())
    }
}
