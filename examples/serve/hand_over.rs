//! Upgrades without a gap: `--hand-over`.

use std::io;
use std::path::PathBuf;
#[cfg(feature = "activation")]
use std::{cell::RefCell, os::fd::AsFd};

use socketserver::StopHandle;
#[cfg(feature = "activation")]
use socketserver::{HandOver, Inheritable, Inherited, Offered};

/// Where this process meets the one before it, and the one after it.
pub(crate) struct Meeting {
    #[cfg(feature = "activation")]
    path: PathBuf,
    /// From the look for the one before until this process is ready.
    #[cfg(feature = "activation")]
    hand_over: RefCell<Option<HandOver>>,
}

#[cfg(feature = "activation")]
impl Meeting {
    pub(crate) fn at(path: PathBuf) -> Result<Self, String> {
        Ok(Self { path, hand_over: RefCell::default() })
    }

    /// The sockets of the one before, where there is one.
    pub(crate) fn follow(&self) -> io::Result<Inherited> {
        let (hand_over, sockets) = HandOver::take(&self.path)?;
        self.hand_over.replace(Some(hand_over));
        Ok(sockets)
    }

    /// Offers the sockets to the one after.
    pub(crate) fn offer<T: Inheritable + AsFd>(&self, transport: T) -> io::Result<Offered<T>> {
        match &*self.hand_over.borrow() {
            Some(hand_over) => hand_over.offer(transport),
            None => Err(io::Error::other("nobody has looked for the one before")),
        }
    }

    /// Has the one before end, now that this process can serve; the one after will stop it so.
    pub(crate) fn ready(&self, stop: StopHandle) -> io::Result<()> {
        self.hand_over.take().map_or(Ok(()), |hand_over| hand_over.with_stop(stop).ready())
    }
}

#[cfg(not(feature = "activation"))]
impl Meeting {
    pub(crate) fn at(_path: PathBuf) -> Result<Self, String> {
        Err("this serve can't hand over: build it with --features activation".into())
    }

    pub(crate) fn ready(&self, _stop: StopHandle) -> io::Result<()> {
        Ok(())
    }
}
