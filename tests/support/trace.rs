//! A record of what was called, in order, across threads and forked processes alike.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process;
use std::sync::Arc;

use tempfile::TempDir;

/// Lines in a file that is appended to, which the kernel does whole, whoever writes.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: TempDir,
    file: File,
    /// Whose trace it is: what another process notes is marked as a child's.
    owner: u32,
}

impl Trace {
    pub fn new() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = OpenOptions::new().create(true).append(true).open(dir.path().join("trace"))?;
        Ok(Self(Arc::new(Inner { dir, file, owner: process::id() })))
    }

    /// Notes one word, and whether it was said in the process that made the trace.
    pub fn note(&self, word: &str) {
        let place = if process::id() == self.0.owner { "parent" } else { "child" };
        let line = format!("{place} {word}\n");
        if let Err(error) = (&self.0.file).write_all(line.as_bytes()) {
            eprintln!("{word} could not be noted: {error}");
            process::abort();
        }
    }

    /// All words in order, wherever they were said.
    pub fn words(&self) -> io::Result<Vec<String>> {
        self.select(|_| true)
    }

    /// All of it in order, each word with the place where it was said.
    pub fn lines(&self) -> io::Result<Vec<String>> {
        let text = std::fs::read_to_string(self.0.dir.path().join("trace"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The words that were said in this process.
    pub fn here(&self) -> io::Result<Vec<String>> {
        self.select(|place| place == "parent")
    }

    /// The words that were said in forked children.
    pub fn in_children(&self) -> io::Result<Vec<String>> {
        self.select(|place| place == "child")
    }

    fn select(&self, which: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let text = std::fs::read_to_string(self.0.dir.path().join("trace"))?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.filter(|(place, _)| which(place)).map(|(_, word)| word.to_owned()).collect())
    }
}
