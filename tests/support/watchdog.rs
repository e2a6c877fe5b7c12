//! A limit to what hangs.

use std::sync::mpsc;
use std::thread;

use super::net::PATIENCE;

/// What `run` returns, on a thread of its own, or an error where it hangs or panics.
pub fn without_hanging<V: Send + 'static>(
    run: impl FnOnce() -> V + Send + 'static,
) -> Result<V, mpsc::RecvTimeoutError> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(run()));
    told.recv_timeout(PATIENCE)
}
