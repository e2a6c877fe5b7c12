//! Time, for the tests that are about time.

use std::sync::mpsc;
use std::time::Duration;

/// Lets this much time pass. For what is to be shown not to happen in it, or to take it; never to
/// wait for something to happen.
pub(crate) fn let_pass(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(time);
}
