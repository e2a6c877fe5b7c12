//! Whoever waits for a job in memory is woken for it.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use platform::kernel;
use platform::os::fd::AsFd;
use platform::poll::{PollFd, PollFlags};

use super::*;
use crate::wakeup::Wakeup;

/// Jobs, which are a number, and the wake-up of those who want one.
struct Jobs(AtomicU32, Wakeup);

impl Jobs {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(0), Wakeup::new().unwrap()))
    }

    fn put(&self) {
        self.0.fetch_add(1, SeqCst);
        self.1.rouse();
    }

    fn try_take(&self) -> Option<()> {
        let less = |jobs: u32| jobs.checked_sub(1);
        self.1.look(|| self.0.fetch_update(SeqCst, SeqCst, less).ok().map(drop))
    }

    fn take(&self) {
        while self.try_take().is_none() {
            kernel::poll(&mut [PollFd::new(self.1.bell().as_fd(), PollFlags::POLLIN)], None);
        }
    }
}

/// 3 threads: one that sends two jobs, and two that have one each, for ever.
#[test]
fn two_jobs_wake_two() {
    model(|| {
        let jobs = Jobs::new();
        let takers = [(); 2].map(|()| {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || jobs.take())
        });
        jobs.put();
        jobs.put();
        join(takers);
    });
}

/// 3 threads: two that send a job each, and one that takes both.
#[test]
fn who_is_about_to_wait_hears_of_every_job() {
    model(|| {
        let jobs = Jobs::new();
        let senders = [(); 2].map(|()| {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || jobs.put())
        });
        jobs.take();
        jobs.take();
        join(senders);
    });
}
