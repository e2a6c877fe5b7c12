//! The wake-up of those who wait for what is in no socket.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};

use crate::sys::{self, Bell};

/// Wakes those who have found no job, and asks nothing of the system while nobody has.
///
/// While a job waits, the bell rings, or is about to be rung, or somebody is about to look. A sender
/// puts its job there first and then looks whether anybody dozes; who dozes says so first, and then
/// looks for a job once more.
pub(super) struct Wakeup {
    bell: Bell,
    /// Somebody has found nothing since the bell last rang.
    dozes: AtomicBool,
    /// How many forks there had been; see [`sys::forks`].
    forks: u32,
}

impl Wakeup {
    pub(super) fn new() -> io::Result<Self> {
        sys::count_forks()?;
        Ok(Self { bell: Bell::new()?, dozes: AtomicBool::new(true), forks: sys::forks() })
    }

    /// There is a job, or there will never be another.
    #[inline]
    pub(super) fn rouse(&self) {
        fence(SeqCst);
        if self.dozes.load(SeqCst) && self.dozes.swap(false, SeqCst) {
            self.bell.ring();
        }
    }

    /// What `take` finds; where that is nothing, whoever puts something there from here on rings.
    #[inline]
    pub(super) fn look<V>(&self, take: impl Fn() -> Option<V>) -> Option<V> {
        take().or_else(|| self.look_again(take))
    }

    fn look_again<V>(&self, take: impl Fn() -> Option<V>) -> Option<V> {
        // In this order: the ring of whoever ends the dozing from here on is not silenced.
        self.bell.drain();
        self.dozes.store(true, SeqCst);
        fence(SeqCst);
        let found = take();
        if found.is_some() {
            // More may have come with it, and the ring that was for them has just been silenced.
            self.rouse();
        }
        found
    }

    /// What to wait at.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Whether this is a process forked from that of the channel: a copy, whose bell is the other's.
    #[inline]
    pub(super) fn is_elsewhere(&self) -> bool {
        sys::forks() != self.forks
    }
}
