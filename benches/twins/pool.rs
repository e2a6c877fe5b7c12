//! A bounded number of threads by hand: each waits in accept(2) or recvfrom(2) until its socket is
//! shut down.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use nix::sys::socket::{Shutdown, shutdown};

use super::crew::Service;
use super::{Stop, passes};

/// As many as the composed server has.
pub const THREADS: usize = 8;

/// Serves until it is stopped, and waits for the threads. The socket is blocking.
pub(super) fn serve<S: Service>(service: &S, stop: &Stop) -> io::Result<()> {
    thread::scope(|scope| {
        let follow = || follow(service, stop).inspect_err(|_| stop.stop());
        let start = |_| thread::Builder::new().spawn_scoped(scope, follow);
        let threads: Vec<_> = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        stop.wait(&stop.wake)?;
        // It wakes them, though one of packets is not connected, and so this an error (ENOTCONN).
        let _ = shutdown(service.socket().as_fd().as_raw_fd(), Shutdown::Both);
        let panicked = |_| io::Error::other("a thread has panicked");
        threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked)?)
    })
}

fn follow<S: Service>(service: &S, stop: &Stop) -> io::Result<()> {
    loop {
        match service.take() {
            _ if stop.asked() => return Ok(()),
            Ok(request) => service.handle(request),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
