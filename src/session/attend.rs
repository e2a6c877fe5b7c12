//! The wait of the thread that serves, while others pull.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use super::Session;
use crate::handler::Handler;
use crate::sys::{self, Bell};
use crate::transport::Transport;

impl<T: Transport, H: Handler<T::Request>> Session<T, H> {
    /// Waits until the session is over, and meanwhile calls
    /// [`service_actions`](Handler::service_actions) by the clock, and minds that of a stop that is
    /// announced.
    ///
    /// It waits at a `bell` of its own, which each stop rings: those who pull silence the common
    /// one, which also rings for them alone when there is a permit. Each time that it has rung, and
    /// at the time that the last call has said, `mind` is called.
    pub(crate) fn attend(
        &self,
        bell: &Arc<Bell>,
        mut mind: impl FnMut() -> Option<Instant>,
    ) -> io::Result<()> {
        let ring = Arc::clone(bell);
        self.worker.control().waking(
            move || ring.ring(),
            |_| {
                while !self.is_over() {
                    self.wait_at(bell, mind())?;
                }
                Ok(())
            },
        )
    }

    fn wait_at(&self, bell: &Bell, until: Option<Instant>) -> io::Result<()> {
        let reasons = [until, self.next_service.get(), self.entrance.announced.get()];
        let mut entry = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        sys::poll(&mut entry, reasons.into_iter().flatten().min())?;
        if entry[0].any().unwrap_or(true) {
            bell.drain();
        }
        self.service_by_clock();
        Ok(())
    }
}
