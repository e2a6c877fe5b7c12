//! Processes that serve side by side.

mod member;
mod sheet;
mod staff;
mod work;
mod workers;

pub use workers::Workers;

use std::io;

use self::staff::Staff;
use super::Concurrency;
use crate::drain::Closing;
use crate::handler::Handler;
use crate::session::Session;
use crate::transport::Transport;

/// A fixed number of processes serve side by side, each as the strategy `C` does: Python has nothing
/// like it, and those who need it there run several copies of their program.
#[derive(Debug)]
pub struct PreForking<C> {
    strategy: C,
    staff: Staff,
    block_on_close: bool,
    /// Whether the strategy has been prepared for serving in this process.
    prepared: bool,
}

impl<C> PreForking<C> {
    /// So many processes, each of which serves by `strategy`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 processes, and for more than 512; and where the system has no memory or
    /// descriptor for what they share.
    pub fn new(processes: usize, strategy: C) -> io::Result<Self> {
        let staff = Staff::new(Workers::new(processes)?);
        Ok(Self { strategy, staff, block_on_close: true, prepared: false })
    }

    /// How many requests a process takes before it is replaced; without limit by default.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn max_requests(mut self, most: u64) -> io::Result<Self> {
        if most == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "max_requests of 0 would replace processes that have done nothing; it has to be \
                 at least 1",
            ));
        }
        self.staff.max_requests = Some(most);
        Ok(self)
    }

    /// Whether closing the server waits for the processes; it does by default. Otherwise they finish
    /// what they have, and are zombies from their end to that of this process.
    #[must_use]
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// The handle to look at the processes with, and to steer them.
    #[must_use]
    pub fn workers(&self) -> Workers {
        self.staff.workers.clone()
    }
}

impl<T, H, C> Concurrency<T, H> for PreForking<C>
where
    T: Transport,
    H: Handler<T::Request>,
    C: Concurrency<T, H>,
{
    fn serve(&mut self, session: &Session<T, H>) -> io::Result<()> {
        self.staff.disown();
        if session.is_for_one() {
            // One request needs no other process.
            if !self.prepared {
                self.strategy.prepare(session)?;
                self.prepared = true;
            }
            return self.strategy.serve(session);
        }
        let served = self.staff.supervise(&mut self.strategy, session);
        self.staff.dismiss();
        served
    }

    fn close(&mut self, closing: &Closing<H>) -> io::Result<()> {
        self.staff.disown();
        let closed = if self.block_on_close {
            self.staff.close::<T::Request, H>(closing)
        } else {
            closing.report(0, 0, self.staff.in_hand());
            Ok(())
        };
        self.strategy.close(closing).and(closed)
    }
}
