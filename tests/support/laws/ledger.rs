//! What happened, in order, written by all threads and processes of a server.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked whether another process has written something.
const LOOK: Duration = Duration::from_millis(1);

/// A file without a name, opened for appending: one `write(2)` is one entry, whoever writes it. Or,
/// of servers that don't fork, a list.
pub struct Ledger {
    file: Option<File>,
    written: Condvar,
    list: Mutex<Vec<Entry>>,
    /// How long an entry is waited for.
    patience: Duration,
}

/// Something that happened to a request, or to none (serial 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub serial: usize,
    pub client: usize,
    pub event: String,
}

impl Ledger {
    pub fn new(memory: bool, patience: Duration) -> io::Result<Self> {
        let file = || Ok::<_, io::Error>(tempfile::Builder::new().append(true).tempfile()?);
        let file = (!memory).then(file).transpose()?.map(tempfile::NamedTempFile::into_file);
        Ok(Self { file, written: Condvar::new(), list: Mutex::default(), patience })
    }

    pub fn record(&self, serial: usize, client: usize, event: &str) {
        let mut list = self.lock();
        match &self.file {
            Some(file) => {
                let line = format!("{serial} {client} {event}\n");
                (&*file).write_all(line.as_bytes()).unwrap();
            }
            None => list.push(Entry { serial, client, event: event.to_owned() }),
        }
        self.written.notify_all();
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.look(&self.lock())
    }

    fn look(&self, list: &[Entry]) -> Vec<Entry> {
        let Some(file) = &self.file else { return list.to_vec() };
        let mut text = String::new();
        FromStart(file, 0).read_to_string(&mut text).unwrap();
        text.lines().map(Entry::parse).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the entries are as wanted; whether they came to be.
    pub fn wait_until(&self, wanted: impl Fn(&[Entry]) -> bool) -> bool {
        let until = Instant::now() + self.patience;
        let mut list = self.lock();
        while !wanted(&self.look(&list)) {
            if until <= Instant::now() {
                return false;
            }
            let waited = self.written.wait_timeout(list, LOOK);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
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
