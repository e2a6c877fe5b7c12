//! Values on their way to another process of this program.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// Puts bytes with their length before them.
pub(crate) fn put(part: &[u8], bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = u32::try_from(part.len()).map_err(io::Error::other)?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(part);
    Ok(())
}

/// What was put first, and the rest.
pub(crate) fn take(bytes: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(io::Error::other)?;
    rest.split_at_checked(length).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Values that come as they went, one after the other.
#[derive(Debug)]
pub(crate) struct Taking<'a>(pub(crate) &'a [u8]);

impl<'a> Taking<'a> {
    pub(crate) fn part(&mut self) -> io::Result<&'a [u8]> {
        let (part, rest) = take(self.0)?;
        self.0 = rest;
        Ok(part)
    }

    pub(crate) fn number(&mut self) -> io::Result<u64> {
        let (number, rest) = self.0.split_first_chunk().ok_or(ErrorKind::InvalidData)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    pub(crate) fn size(&mut self) -> io::Result<usize> {
        usize::try_from(self.number()?).map_err(io::Error::other)
    }

    pub(crate) fn time(&mut self) -> io::Result<Option<Duration>> {
        let (seconds, nanos) = (self.number()?, self.number()?);
        Ok(u32::try_from(nanos).ok().map(|nanos| Duration::new(seconds, nanos)))
    }
}

pub(crate) fn put_number(number: u64, bytes: &mut Vec<u8>) {
    bytes.extend(number.to_le_bytes());
}

pub(crate) fn put_time(time: Option<Duration>, bytes: &mut Vec<u8>) {
    put_number(time.map_or(0, |time| time.as_secs()), bytes);
    put_number(time.map_or(u64::MAX, |time| time.subsec_nanos().into()), bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_as_they_went_and_what_is_cut_is_an_error() -> io::Result<()> {
        let times = [None, Some(Duration::ZERO), Some(Duration::new(u64::MAX, 999_999_999))];
        let mut bytes = Vec::new();
        put(b"part", &mut bytes)?;
        put(b"", &mut bytes)?;
        put_number(u64::MAX, &mut bytes);
        times.iter().for_each(|time| put_time(*time, &mut bytes));
        bytes.extend(b"rest");

        let all = |bytes: &[u8]| -> io::Result<Vec<u8>> {
            let mut taking = Taking(bytes);
            assert_eq!((taking.part()?, taking.part()?), (&b"part"[..], &b""[..]));
            assert_eq!(taking.number()?, u64::MAX);
            for time in times {
                assert_eq!(taking.time()?, time);
            }
            Ok(taking.0.to_vec())
        };
        assert_eq!(all(&bytes)?, b"rest");
        for length in 0..bytes.len() - 4 {
            let cut = all(&bytes[..length]).map_err(|error| error.kind());
            assert_eq!(cut, Err(ErrorKind::InvalidData), "{length}");
        }
        Ok(())
    }
}
