//! The threads that `close` joins.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::process;
use std::thread::{JoinHandle, ThreadId};

/// So many threads that have ended are kept to be joined; by then the earlier ones are gone.
const UNJOINED: usize = 8;

/// The threads that `close` joins. Its lock is never held while one is started or joined.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// The process that the threads are of.
    owner: Option<u32>,
    running: HashMap<ThreadId, JoinHandle<()>>,
    /// Those that ended before they were entered as running.
    early: Vec<ThreadId>,
    /// The last that have ended, or are about to.
    ended: VecDeque<JoinHandle<()>>,
}

impl Threads {
    /// A thread has been started.
    pub(super) fn start(&mut self, handle: JoinHandle<()>) {
        let id = handle.thread().id();
        match self.early.iter().position(|early| *early == id) {
            Some(at) => {
                self.early.swap_remove(at);
                self.ended.push_back(handle);
            }
            None => drop(self.running.insert(id, handle)),
        }
    }

    /// The thread `id` ends. Nobody waits for it here: the destructors of a handler's thread-locals
    /// run for as long as they like. The last few may not be gone yet when the server is closed, and
    /// are joined then.
    pub(super) fn end(&mut self, id: ThreadId) {
        match self.running.remove(&id) {
            Some(own) => self.ended.push_back(own),
            None => self.early.push(id),
        }
        if self.ended.len() > UNJOINED {
            self.ended.pop_front();
        }
    }

    /// Forgets the threads of another process, which a fork of the application has left behind; to
    /// join or detach them here would be an error.
    pub(super) fn disown(&mut self) {
        if self.owner != Some(process::id()) {
            mem::forget(mem::take(self));
            self.owner = Some(process::id());
        }
    }

    /// Takes them all out.
    pub(super) fn all(&mut self) -> Vec<JoinHandle<()>> {
        let running = mem::take(&mut self.running).into_values();
        running.chain(mem::take(&mut self.ended)).collect()
    }
}
