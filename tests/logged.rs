//! The feature `log`: what the library has to say, and every event, reach the application's logger.
#![cfg(feature = "log")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use socketserver::{Logged, Outcome, StopAfterPanics, TcpRequest, TcpServer, handler_fn};

/// Keeps every line that it is given.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "socketserver"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

// One test: a process has one logger.
#[test]
fn events_and_failures_are_written_down() -> Result<(), Box<dyn Error>> {
    log::set_logger(&LINES)?;
    log::set_max_level(LevelFilter::Trace);
    let handler = handler_fn(|conn: &mut TcpRequest| match conn.read(&mut [0])? {
        0 => Err(io::Error::other("as it is told")),
        _ => panic!("as it is told"),
    });
    let handler = StopAfterPanics::new(handler, 1, Duration::from_secs(60))?;
    let mut server = TcpServer::bind("127.0.0.1:0", Logged(handler))?;
    for said in ["", "!"] {
        TcpStream::connect(server.local_addr()?)?.write_all(said.as_bytes())?;
        assert_eq!(server.handle_request()?, Outcome::Failed);
    }
    assert_eq!(server.handle_request()?, Outcome::Stopped);
    let lines = LINES.0.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = [
        "TRACE a request was accepted",
        "WARN handle: as it is told",
        "DEBUG a request failed: an error",
        "TRACE a request was accepted",
        "WARN handle panicked: as it is told",
        "DEBUG a request failed: a panic",
        "WARN the server is asked to stop, after a panic",
    ];
    assert_eq!(*lines, wanted);
    Ok(())
}
