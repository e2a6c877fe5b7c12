//! What is missing from a whole request, for the framings that most protocols have.

/// For [`Handler::missing`](crate::Handler::missing) of a protocol of lines: the next `\n`, unless
/// `max` bytes have come without one, which is the handler's to complain of (with
/// [`read_bytes_bounded`](crate::ReadLine::read_bytes_bounded), say).
#[must_use]
pub fn line_missing(input: &[u8], max: usize) -> usize {
    usize::from(input.len() <= max && !input.contains(&b'\n'))
}

/// For [`Handler::missing`](crate::Handler::missing) of a protocol whose requests begin with their
/// length, in `N` bytes, the first the most significant (network byte order), which themselves do
/// not count: as many bytes as the prefix says. One that is longer than `max` is the handler's to
/// complain of, when it has read the prefix.
///
/// # Examples
///
/// ```
/// use socketserver::frame_missing;
///
/// assert_eq!(frame_missing::<2>(b"", 512), 2);
/// assert_eq!(frame_missing::<2>(b"\x00\x05hel", 512), 2);
/// assert_eq!(frame_missing::<2>(b"\x00\x05hello", 512), 0);
/// assert_eq!(frame_missing::<2>(b"\xff\xff", 512), 0, "longer than the handler reads");
/// ```
#[must_use]
pub fn frame_missing<const N: usize>(input: &[u8], max: usize) -> usize {
    let Some((prefix, frame)) = input.split_first_chunk::<N>() else { return N - input.len() };
    let digit = |length: usize, byte: &u8| length.checked_mul(256)?.checked_add((*byte).into());
    match prefix.iter().try_fold(0, digit) {
        Some(length) if length <= max => length.saturating_sub(frame.len()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_with_its_end_or_when_it_is_too_long() {
        let missing = |input: &str| line_missing(input.as_bytes(), 4);
        assert_eq!(["", "a", "abcd"].map(missing), [1; 3]);
        assert_eq!(["\n", "abc\n", "abcd\n", "abcde", "a\nb"].map(missing), [0; 5]);
    }

    #[test]
    fn a_frame_is_whole_when_it_has_as_many_bytes_as_it_says() {
        let missing = |input: &[u8]| frame_missing::<3>(input, 258);
        let inputs = [&b""[..], b"\0\x01", b"\0\0\x02", b"\0\0\x02a", b"\0\x01\x02"];
        assert_eq!(inputs.map(missing), [3, 1, 2, 1, 258]);
        let whole = [&b"\0\0\0"[..], b"\0\0\x02ab", b"\0\0\x01ab", b"\0\x01\x03", b"\xff\xff\xff"];
        assert_eq!(whole.map(missing), [0; 5]);
        assert_eq!(frame_missing::<16>(&[0xff; 16], usize::MAX), 0, "no number that there is");
    }
}
