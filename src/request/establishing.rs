//! The second stage of a connection that wraps another, under a deadline of its own.

use std::io;
use std::time::{Duration, Instant};

use super::{Connection, Request};

/// How far the second stage is, which may be left and come back to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Establishing {
    /// The connection inside has to be established first.
    #[default]
    Inner,
    /// The peer is held to the deadline.
    Own,
    Done,
}

impl Establishing {
    /// Goes on with `run`, on a connection that is established itself, until that has succeeded. The
    /// peer may take `time` for it as a whole.
    pub(crate) fn go_on<R: Request + Connection>(
        &mut self,
        inner: &mut R,
        time: Duration,
        run: impl FnOnce(&mut R) -> io::Result<()>,
    ) -> io::Result<()> {
        if *self == Self::Inner {
            inner.establish()?;
            inner.set_stage_end(Instant::now().checked_add(time));
            *self = Self::Own;
        }
        if *self == Self::Own {
            run(inner)?;
            inner.set_stage_end(None);
            *self = Self::Done;
        }
        Ok(())
    }
}
