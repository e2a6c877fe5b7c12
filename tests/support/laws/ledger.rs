//! What happened, in order, written by all threads and processes of a server.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::WATCHDOG;

/// How often it is looked whether another process has written something.
const LOOK: Duration = Duration::from_millis(1);

/// A file without a name, opened for appending: one `write(2)` is one entry, whoever writes it.
pub struct Ledger {
    file: File,
    written: Condvar,
    lock: Mutex<()>,
}

/// Something that happened to a request, or to none (serial 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub serial: usize,
    pub client: usize,
    pub event: String,
}

impl Ledger {
    pub fn new() -> io::Result<Self> {
        let file = tempfile::Builder::new().append(true).tempfile()?.into_file();
        Ok(Self { file, written: Condvar::new(), lock: Mutex::new(()) })
    }

    pub fn record(&self, serial: usize, client: usize, event: &str) {
        let line = format!("{serial} {client} {event}\n");
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.file).write_all(line.as_bytes()).unwrap();
        self.written.notify_all();
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut text = String::new();
        FromStart(&self.file, 0).read_to_string(&mut text).unwrap();
        text.lines().map(Entry::parse).collect()
    }

    /// Waits until the entries are as wanted; whether they came to be.
    pub fn wait_until(&self, wanted: impl Fn(&[Entry]) -> bool) -> bool {
        let until = Instant::now() + WATCHDOG;
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(&self.entries()) {
            if until <= Instant::now() {
                return false;
            }
            let waited = self.written.wait_timeout(lock, LOOK);
            lock = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Entry {
    fn parse(line: &str) -> Self {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().unwrap();
        Self {
            serial: next().parse().unwrap(),
            client: next().parse().unwrap(),
            event: next().to_owned(),
        }
    }
}

/// Reads without moving the file's own position.
struct FromStart<'a>(&'a File, u64);

impl Read for FromStart<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read_at(bytes, self.1)?;
        self.1 += count as u64;
        Ok(count)
    }
}
