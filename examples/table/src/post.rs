//! How the ends of rows come from children that were forked for one: over a pipe, in which what is
//! written at once stays together (pipe(7): up to `PIPE_BUF`).

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::store::End;

/// The least that `PIPE_BUF` is anywhere is 512 bytes; Linux has 4096.
const LONGEST: usize = 512;
/// The id, the number of the claim, and the length of the error, which is 1 more than there is, or 0.
const HEAD: usize = 8 + 4 + 2;

#[derive(Debug)]
pub(crate) struct Post {
    from: PipeReader,
    to: PipeWriter,
    /// What has come of an end, and not yet all.
    part: Mutex<Vec<u8>>,
}

impl Post {
    pub(crate) fn new() -> io::Result<Self> {
        let (from, to) = io::pipe()?;
        fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { from, to, part: Mutex::default() })
    }

    pub(crate) fn send(&self, end: &End) -> io::Result<()> {
        (&self.to).write_all(&pack(end))
    }

    /// All that has come.
    pub(crate) fn collect(&self, ends: &mut Vec<End>) -> io::Result<()> {
        let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; 4096];
        loop {
            match (&self.from).read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => part.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        while let Some((end, length)) = unpack(&part) {
            ends.push(end);
            part.drain(..length);
        }
        Ok(())
    }
}

impl AsFd for Post {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

fn pack(end: &End) -> Vec<u8> {
    let error =
        end.error.as_deref().map(|error| &error[..error.floor_char_boundary(LONGEST - HEAD)]);
    let mut bytes = Vec::with_capacity(LONGEST);
    bytes.extend(end.id.to_le_bytes());
    bytes.extend(end.number.to_le_bytes());
    let length = error.map_or(0, |error| error.len() + 1);
    bytes.extend(u16::try_from(length).unwrap_or_default().to_le_bytes());
    bytes.extend(error.unwrap_or_default().as_bytes());
    bytes
}

/// The first end, if all of it is there, and its length.
fn unpack(bytes: &[u8]) -> Option<(End, usize)> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let error = match length.checked_sub(1) {
        None => None,
        Some(length) => Some(String::from_utf8_lossy(rest.get(..length)?).into_owned()),
    };
    let whole = HEAD + length.saturating_sub(1);
    Some((End { id: i64::from_le_bytes(*id), number: i32::from_le_bytes(*number), error }, whole))
}
