//! SIGTERM and SIGINT, heard without a thread: `Forking` needs a process that has only one.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use socketserver::StopHandle;

/// What a shell shows for a process that a signal has ended, less the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// What the signals that end this program do beside stopping the server.
pub(crate) struct Signals {
    ring: UnixStream,
    heard: UnixStream,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (ring, heard) = UnixStream::pair()?;
        Ok(Self { ring, heard })
    }

    /// A descriptor that becomes readable with the first signal and stays so, as nobody reads from
    /// it: for those who wait for a peer, and need not once the server stops.
    pub(crate) fn heard(&self) -> io::Result<UnixStream> {
        self.heard.try_clone()
    }

    /// Has the first signal stop the server, and the second end the process at once.
    pub(crate) fn stop(&self, server: &StopHandle) -> io::Result<()> {
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // Actions run in the order they are registered in: this one looks before the next sets.
            flag::register_conditional_shutdown(
                signal,
                ENDED_BY_SIGNAL + signal,
                Arc::clone(&once),
            )?;
            flag::register(signal, Arc::clone(&once))?;
            low_level::pipe::register(signal, self.ring.try_clone()?)?;
            let server = server.clone();
            #[expect(
                unsafe_code,
                reason = "what runs in a signal handler has to be promised safe"
            )]
            // SAFETY: `StopHandle::stop` is async-signal-safe, and the closure does nothing else.
            unsafe {
                low_level::register(signal, move || server.stop())?
            };
        }
        Ok(())
    }
}
