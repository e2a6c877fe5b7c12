//! What stands for `turns.rs` where there is no epoll(7): nobody waits in turns.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

/// There are none.
pub(crate) enum Turns {}

impl Turns {
    pub(crate) fn new(_bell: BorrowedFd<'_>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn end(&self) {
        match *self {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    #[expect(dead_code, reason = "nobody waits")]
    ByBell,
    #[expect(dead_code, reason = "nobody waits")]
    Otherwise,
}

#[derive(Debug)]
pub(crate) enum Turn {}

impl Turn {
    pub(crate) fn new(turns: &Arc<Turns>) -> Self {
        match **turns {}
    }

    pub(crate) fn dozing(self) -> Self {
        self
    }

    pub(crate) fn knows_source(&self) -> bool {
        match *self {}
    }

    pub(crate) fn doze(&self, _deadline: Option<Instant>) -> io::Result<Woken> {
        match *self {}
    }

    pub(crate) fn wait(
        &self,
        _source: BorrowedFd<'_>,
        _as_ever: bool,
        _deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        match *self {}
    }

    pub(crate) fn pass_on(&self) {
        match *self {}
    }
}
