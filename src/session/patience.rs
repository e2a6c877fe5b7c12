//! Whether the next request is looked for, or waited for first.

use std::cell::Cell;

/// So many requests in a row are waited for first at most.
const MOST: u8 = 8;

/// What has come of the last looks that nothing had been waited for before.
///
/// One that finds nothing is dear: accept4(2) of Linux makes a socket and a file before it looks
/// whether there is a connection for them. Where looks are in vain, requests find the server asleep,
/// and the next ones are waited for first: one after the first such look, and twice as many after
/// each further one. A look that finds a request is followed by others, so that under load nobody
/// waits.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How many requests are waited for before the next look.
    left: Cell<u8>,
    /// How many were after the last one in vain, since one has found a request.
    last: Cell<u8>,
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
        self.last.set(0);
    }

    /// A look has found nothing.
    pub(super) fn in_vain(&self) {
        let next = (2 * self.last.get()).clamp(1, MOST);
        self.last.set(next);
        self.left.set(next);
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
        let after = [(); 6].map(|()| {
            patience.in_vain();
            waits(&patience)
        });
        assert_eq!(after, [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn a_look_that_finds_a_request_is_followed_by_others() {
        let patience = Patience::default();
        (0..3).for_each(|_| patience.in_vain());
        assert_eq!(waits(&patience), 4);
        patience.found();
        assert_eq!(waits(&patience), 0);
        patience.in_vain();
        assert_eq!(waits(&patience), 1, "as at first");
    }
}
