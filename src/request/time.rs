//! Whose time a connection is held to.

use std::time::Instant;

#[cfg(feature = "testing")]
use crate::testing::Clock;

/// The time of a connection. Of sockets it is the system's, and of no size.
#[derive(Debug, Clone)]
pub enum Time {
    System,
    #[cfg(feature = "testing")]
    Test(Clock),
}

impl Time {
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            #[cfg(feature = "testing")]
            Self::Test(clock) => clock.now(),
        }
    }
}
