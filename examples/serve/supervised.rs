//! What a service manager is told of this process: where there is one, and the feature.

use std::io;
#[cfg(feature = "activation")]
use std::process;

/// It can serve. It names itself, as it may have taken over from the process that was started.
#[cfg(feature = "activation")]
pub(crate) fn ready() -> io::Result<()> {
    socketserver::notify(&format!("MAINPID={}\nREADY=1", process::id())).map(drop)
}

/// It is about to end. A manager that does not hear it sees the end.
#[cfg(feature = "activation")]
pub(crate) fn stopping() {
    let _ = socketserver::notify("STOPPING=1");
}

#[cfg(not(feature = "activation"))]
pub(crate) fn ready() -> io::Result<()> {
    Ok(())
}

#[cfg(not(feature = "activation"))]
pub(crate) fn stopping() {}
