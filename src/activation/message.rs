//! What a process and the one that follows it say to each other: each message is one parcel.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the one that follows says, each with a socket for the answer.
pub(super) const TAKE: &[u8] = b"socketserver 1: take";
pub(super) const READY: &[u8] = b"socketserver 1: ready";

/// The longest message: the path of a Unix socket has 108 bytes at most, but an absolute one may be
/// made of a relative one.
pub(super) const LONGEST: usize = 16 * 1024;

const SOCKET: u8 = 1;
const END: u8 = 2;

/// What is answered to `TAKE`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A socket, which the parcel has; its name, and the file that goes with it.
    Socket(String, Option<PathBuf>),
    /// That was all.
    End,
}

impl Answer {
    pub(super) fn socket(name: &str, file: Option<&Path>) -> Vec<u8> {
        let file = file.map_or(&[][..], |file| file.as_os_str().as_bytes());
        [&[SOCKET], name.as_bytes(), &[0], file].concat()
    }

    pub(super) fn end() -> Vec<u8> {
        vec![END]
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            SOCKET => {
                let middle = rest.iter().position(|byte| *byte == 0)?;
                let name = String::from_utf8(rest[..middle].to_vec()).ok()?;
                let file = Some(&rest[middle + 1..]).filter(|file| !file.is_empty());
                Some(Self::Socket(name, file.map(|file| OsStr::from_bytes(file).into())))
            }
            END if rest.is_empty() => Some(Self::End),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_as_they_went() {
        let path = Path::new(OsStr::from_bytes(b"/run/\xff"));
        for (name, file) in [("127.0.0.1:80", None), ("", None), ("/run/x", Some(path))] {
            let answer = Answer::Socket(name.into(), file.map(Into::into));
            assert_eq!(Answer::parse(&Answer::socket(name, file)), Some(answer));
        }
        assert_eq!(Answer::parse(&Answer::end()), Some(Answer::End));
    }

    #[test]
    fn what_is_cut_or_unknown_is_nothing() {
        for bytes in [&b""[..], b"\x01", b"\x01name", b"\x01\xff\0", b"\x02x", b"\x03"] {
            assert_eq!(Answer::parse(bytes), None, "{bytes:?}");
        }
    }
}
