//! Whether the next request is looked for, or waited for first.

use std::cell::Cell;

/// So many requests in a row are waited for first at most.
const MOST: u8 = 8;

/// What has come of the last looks that nothing had been waited for before.
///
/// One that finds nothing is dear: accept4(2) of Linux makes a socket and a file before it looks
/// whether there is a connection for them. Where looks are in vain, requests find the server asleep,
/// and the next ones are waited for first: one after the second such look in a row, and twice as many
/// after each further one. A look that finds a request is followed by others, so that under load
/// nobody waits, and where there is something every other time, it is looked for: the time that a
/// look takes may be what saves going to sleep.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How many requests are waited for before the next look.
    left: Cell<u8>,
    /// How many are to be after the next one in vain.
    next: Cell<u8>,
}

impl Patience {
    /// Whether the next request is waited for first.
    #[inline]
    pub(super) fn waits_first(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// A look has found a request.
    #[inline]
    pub(super) fn found(&self) {
        self.next.set(0);
    }

    /// A look has found nothing.
    pub(super) fn in_vain(&self) {
        let next = self.next.get();
        self.left.set(next);
        self.next.set((2 * next).clamp(1, MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests are waited for before the next look.
    fn waits(patience: &Patience) -> usize {
        (0..).take_while(|_| patience.waits_first()).count()
    }

    #[test]
    fn the_more_looks_are_in_vain_the_fewer_there_are() {
        let patience = Patience::default();
        assert_eq!(waits(&patience), 0);
        let after = [(); 7].map(|()| {
            patience.in_vain();
            waits(&patience)
        });
        assert_eq!(after, [0, 1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn a_look_that_finds_a_request_is_followed_by_others() {
        let patience = Patience::default();
        (0..3).for_each(|_| patience.in_vain());
        assert_eq!(waits(&patience), 2);
        patience.found();
        patience.in_vain();
        assert_eq!(waits(&patience), 0, "as at first");
        patience.in_vain();
        assert_eq!(waits(&patience), 1);
    }
}
