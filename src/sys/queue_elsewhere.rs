//! See the Linux twin: other systems wake all that wait.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::Woken;

#[derive(Debug)]
pub(crate) enum Queue {}

impl Queue {
    pub(crate) fn new(_bell: BorrowedFd<'_>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn wait(
        &self,
        _source: BorrowedFd<'_>,
        _deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        match *self {}
    }
}
