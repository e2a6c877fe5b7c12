//! SIGTERM and SIGINT, heard without a thread: `Forking` needs a process that has only one.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use socketserver::StopHandle;

/// What a shell shows for a process that a signal has ended, less the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// What the signals that end this program do beside stopping the server.
pub(crate) struct Signals {
    ring: UnixStream,
    heard: UnixStream,
    once: Arc<AtomicBool>,
    server: Arc<OnceLock<StopHandle>>,
}

/// For those who wait for a peer, and need not for long once the server is to stop. Its descriptor
/// becomes readable with the first signal and stays so, as nobody reads from it.
pub(crate) struct Stopping {
    heard: UnixStream,
    server: Arc<OnceLock<StopHandle>>,
}

impl Stopping {
    /// Whether it is so by now: a look at memory, and no call.
    pub(crate) fn is_so(&self) -> bool {
        self.server.get().is_some_and(StopHandle::is_stopping)
    }
}

impl AsFd for Stopping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (ring, heard) = UnixStream::pair()?;
        Ok(Self { ring, heard, once: Arc::default(), server: Arc::default() })
    }

    pub(crate) fn stopping(&self) -> io::Result<Stopping> {
        Ok(Stopping { heard: self.heard.try_clone()?, server: Arc::clone(&self.server) })
    }

    /// Tells those who ask whether the server is to stop by what they can know it.
    pub(crate) fn know(&self, server: StopHandle) {
        // There is one server.
        let _ = self.server.set(server);
    }

    /// Whether one has come.
    pub(crate) fn came(&self) -> bool {
        self.once.load(Ordering::SeqCst)
    }

    /// Lets those know who wait for a peer, where the server has ended without a signal.
    pub(crate) fn ring(&self) {
        // A full pipe has been heard.
        let _ = (&self.ring).write_all(&[0]);
    }

    /// Has the first signal stop the server, and the second end the process at once.
    pub(crate) fn stop(&self, server: &StopHandle) -> io::Result<()> {
        for signal in [SIGTERM, SIGINT] {
            // Actions run in the order they are registered in: this one looks before the next sets.
            flag::register_conditional_shutdown(
                signal,
                ENDED_BY_SIGNAL + signal,
                Arc::clone(&self.once),
            )?;
            flag::register(signal, Arc::clone(&self.once))?;
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
