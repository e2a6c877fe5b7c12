//! A bounded number of threads by hand: each takes what there is, and waits when there is nothing.

use std::io;
use std::thread;

use super::crew::Service;
use super::{Stop, passes};

/// As many as the composed server has.
pub const THREADS: usize = 8;

/// Serves until it is stopped, and waits for the threads.
pub(super) fn serve<S: Service>(service: &S, stop: &Stop) -> io::Result<()> {
    thread::scope(|scope| {
        let follow = || follow(service, stop).inspect_err(|_| stop.stop());
        let start = |_| thread::Builder::new().spawn_scoped(scope, follow);
        let threads: Vec<_> = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        let panicked = |_| io::Error::other("a thread has panicked");
        threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked)?)
    })
}

fn follow<S: Service>(service: &S, stop: &Stop) -> io::Result<()> {
    while !stop.asked() {
        match service.take() {
            Ok(request) => service.handle(request),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stop.wait(service.socket())?;
            }
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
