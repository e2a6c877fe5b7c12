//! What stands for `control.rs` where control messages are not those of Linux: nothing is said of
//! a packet, and its reply leaves from where the system chooses.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use crate::request::Credentials;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Arrival,
    Credentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    #[expect(dead_code, reason = "not said here")]
    CameTo(Local),
    #[expect(dead_code, reason = "not said here")]
    SentBy(Credentials),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    pub(crate) ip: IpAddr,
}

impl Told {
    pub(crate) fn put(self, _bytes: &mut Vec<u8>) {}

    pub(crate) fn take(bytes: &[u8]) -> Option<(Self, &[u8])> {
        Some((Self::Nothing, bytes))
    }
}

/// # Errors
///
/// `Unsupported` where credentials are wanted: a handler that decides by them must not go without.
pub(crate) fn ask(_socket: &impl AsFd, wanted: Wanted) -> io::Result<()> {
    if wanted == Wanted::Credentials {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only Linux says which process has sent a packet: credentials can't be had here",
        ));
    }
    Ok(())
}

impl Wanted {
    pub(super) const fn room(self) -> usize {
        0
    }
}

pub(super) struct Room;

impl Room {
    pub(super) const fn new() -> Self {
        Self
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut []
    }

    pub(super) fn leave_from(&mut self, _local: Local) -> &[u8] {
        &[]
    }
}

pub(super) fn told(_messages: &[u8]) -> Told {
    Told::Nothing
}
