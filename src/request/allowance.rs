//! How much may be sent to a source that nobody has verified.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{error, fmt, io};

/// Any number of bytes.
const UNLIMITED: u64 = u64::MAX;

/// The bytes that may still be sent in reply to one packet, headers included.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: AtomicU64,
    /// What IP and UDP put before the bytes of each packet.
    header: usize,
}

impl Allowance {
    pub(crate) const fn unlimited() -> Self {
        Self { left: AtomicU64::new(UNLIMITED), header: 0 }
    }

    /// Up to `factor` times what a packet of `received` bytes was on the wire.
    #[inline]
    pub(crate) fn new(received: usize, header: usize, factor: u32) -> Self {
        let bytes = (received + header) as u64 * u64::from(factor);
        Self { left: AtomicU64::new(bytes), header }
    }

    /// What is left, for another process that goes on with it.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    /// Goes on with what another process has left.
    pub(super) fn set_left(&self, left: u64) {
        self.left.store(left, Relaxed);
    }

    pub(super) fn lift(&self) {
        self.left.store(UNLIMITED, Relaxed);
    }

    /// Takes what a reply of `bytes` needs, all or nothing.
    #[inline]
    pub(super) fn spend(&self, bytes: usize) -> io::Result<()> {
        let cost = self.cost(bytes);
        let less = |left| if left == UNLIMITED { None } else { u64::checked_sub(left, cost) };
        match self.left.fetch_update(Relaxed, Relaxed, less) {
            Ok(_) | Err(UNLIMITED) => Ok(()),
            Err(left) => {
                let allowed = left.saturating_sub(self.header as u64) as usize;
                Err(io::Error::new(
                    io::ErrorKind::QuotaExceeded,
                    Amplifies { reply: bytes, allowed },
                ))
            }
        }
    }

    /// Gives back what a reply was to cost that could not be sent.
    pub(super) fn refund(&self, bytes: usize) {
        let cost = self.cost(bytes);
        let more = |left| if left == UNLIMITED { None } else { Some(left + cost) };
        let _ = self.left.fetch_update(Relaxed, Relaxed, more);
    }

    fn cost(&self, bytes: usize) -> u64 {
        (bytes + self.header) as u64
    }
}

/// A reply over UDP was not sent, because it would be more than `max_amplification` times what
/// came from a source that nobody has verified; found inside an [`io::Error`] of the kind
/// `QuotaExceeded`.
///
/// The source address of a packet can be anybody's: a server that answers few bytes with many
/// sends them to whomever an attacker has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Amplifies {
    /// How many bytes the reply has.
    pub reply: usize,
    /// How many it may have, after the replies to this packet that have been sent.
    pub allowed: usize,
}

impl fmt::Display for Amplifies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a reply of {} bytes is too much for a source that nobody has verified, and {} is the \
             most; verify it and call set_verified, ask for longer packets, or set \
             max_amplification",
            self.reply, self.allowed
        )
    }
}

impl error::Error for Amplifies {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: io::Result<()>) -> Option<Amplifies> {
        result.err()?.get_ref()?.downcast_ref().copied()
    }

    #[test]
    fn replies_share_what_one_packet_allows() {
        let allowance = Allowance::new(2, 28, 3);
        assert!(allowance.spend(10).is_ok());
        assert_eq!(refusal(allowance.spend(25)), Some(Amplifies { reply: 25, allowed: 24 }));
        assert!(allowance.spend(24).is_ok());
        assert_eq!(refusal(allowance.spend(0)), Some(Amplifies { reply: 0, allowed: 0 }));
    }

    #[test]
    fn what_was_not_sent_is_not_spent() {
        let allowance = Allowance::new(0, 28, 1);
        for _ in 0..3 {
            assert!(allowance.spend(0).is_ok());
            allowance.refund(0);
        }
        assert!(allowance.spend(1).is_err());
    }

    #[test]
    fn a_verified_source_has_no_limit() {
        let allowance = Allowance::new(0, 48, 1);
        allowance.lift();
        assert!(allowance.spend(usize::MAX / 2).is_ok());
        allowance.refund(1);
        assert!(allowance.spend(usize::MAX / 2).is_ok());
    }
}
